// SPDX-License-Identifier: Apache-2.0
#include "nn/losses.hpp"

#include "base/error.hpp"
#include "nn/rows.hpp"

namespace gnn_hpc {

namespace {

struct LossValue {
  double value, gradient;
};

KOKKOS_INLINE_FUNCTION LossValue loss_of(Criterion criterion, double p, double y) {
  const double d = p - y;
  if (criterion == Criterion::mse) return {d * d, 2.0 * d};
  if (criterion == Criterion::l1) return {Kokkos::abs(d), d > 0.0 ? 1.0 : (d < 0.0 ? -1.0 : 0.0)};
  const double e = Kokkos::exp(-Kokkos::abs(p));
  const double probability = p >= 0.0 ? 1.0 / (1.0 + e) : e / (1.0 + e);
  return {(p > 0.0 ? p : 0.0) - p * y + Kokkos::log1p(e), probability - y};
}

}  // namespace

template <class T>
View1<double> masked_loss(Step<T>& step, Criterion criterion, View2<T> prediction, View2<double> target, double divisor,
                          View2<T> dprediction) {
  GNN_HPC_REQUIRE(prediction.extent(0) == target.extent(0) && prediction.extent(1) == target.extent(1),
                  "prediction {}x{}, target {}x{}", prediction.extent(0), prediction.extent(1), target.extent(0),
                  target.extent(1));
  const auto total = step.arena.template array<double>(1);
  ArenaFrame frame(step.arena);
  const int rows = prediction.extent_int(0), width = prediction.extent_int(1);
  const auto row_loss = step.arena.template matrix<double>(rows, 1);
  const double inverse = divisor > 0.0 ? 1.0 / divisor : 0.0;
  Kokkos::parallel_for(
      "gnn_hpc::masked_loss", Rows(step.exec, 0, rows), KOKKOS_LAMBDA(const int g) {
        double sum = 0.0;
        for (int k = 0; k < width; ++k) {
          const double y = target(g, k);
          LossValue l{0.0, 0.0};
          if (Kokkos::isfinite(y)) l = loss_of(criterion, static_cast<double>(prediction(g, k)), y);
          sum += l.value;
          dprediction(g, k) = static_cast<T>(l.gradient * inverse);
        }
        row_loss(g, 0) = sum * inverse;
      });
  sum_partials(step, row_loss, total);
  return total;
}

template View1<double> masked_loss<float>(Step<float>&, Criterion, View2<float>, View2<double>, double, View2<float>);
template View1<double> masked_loss<double>(Step<double>&, Criterion, View2<double>, View2<double>, double, View2<double>);

}  // namespace gnn_hpc
