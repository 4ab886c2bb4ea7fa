// SPDX-License-Identifier: Apache-2.0
#include "nn/target_losses.hpp"

#include "base/error.hpp"
#include "nn/rows.hpp"

namespace gnn_hpc {

namespace {

struct SliceLoss {
  TargetSlice::Kind kind;
  int first, classes;  // columns
  double weight;
  View1<double> class_weight;

  /// Value of the loss at row g and its gradient, both without the divisor's inverse, which the gradient takes.
  template <class T>
  KOKKOS_INLINE_FUNCTION double operator()(const View2<T>& output, const View2<T>& doutput, int g, double y, double inverse) const {
    const double factor = weight * inverse;
    if (!Kokkos::isfinite(y)) {
      for (int c = 0; c < classes; ++c) doutput(g, first + c) = T(0);
      return 0.0;
    }
    const double p = static_cast<double>(output(g, first));
    if (kind == TargetSlice::Kind::regression) {
      doutput(g, first) = static_cast<T>(2.0 * (p - y) * factor);
      return weight * (p - y) * (p - y);
    }
    if (kind == TargetSlice::Kind::absolute) {
      const double d = p - y;
      doutput(g, first) = static_cast<T>((d > 0.0 ? 1.0 : d < 0.0 ? -1.0 : 0.0) * factor);
      return weight * Kokkos::abs(d);
    }
    if (kind == TargetSlice::Kind::binary) {
      const double e = Kokkos::exp(-Kokkos::abs(p));
      const double probability = p >= 0.0 ? 1.0 / (1.0 + e) : e / (1.0 + e);
      doutput(g, first) = static_cast<T>((probability - y) * factor);
      return weight * ((p > 0.0 ? p : 0.0) - p * y + Kokkos::log1p(e));
    }
    double largest = p, sum = 0.0;
    for (int c = 1; c < classes; ++c) largest = Kokkos::fmax(largest, static_cast<double>(output(g, first + c)));
    for (int c = 0; c < classes; ++c) sum += Kokkos::exp(static_cast<double>(output(g, first + c)) - largest);
    const int label = static_cast<int>(y);
    const double of_label = class_weight.extent(0) > 0 ? class_weight(label) : 1.0;
    for (int c = 0; c < classes; ++c) {
      const double probability = Kokkos::exp(static_cast<double>(output(g, first + c)) - largest) / sum;
      doutput(g, first + c) = static_cast<T>((probability - (c == label ? 1.0 : 0.0)) * factor * of_label);
    }
    return weight * of_label * (largest + Kokkos::log(sum) - static_cast<double>(output(g, first + label)));
  }
};

/// `count` targets of one kind side by side, in one launch; adds to row_loss.
template <class T>
void slice_loss(const Exec& exec, const SliceLoss& slice, int first_target, int count, View2<T> output, View2<double> target, double inverse,
                View2<T> doutput, View2<double> row_loss) {
  Kokkos::parallel_for(
      "gnn_hpc::target_loss", Rows(exec, 0, output.extent_int(0)), KOKKOS_LAMBDA(const int g) {
        SliceLoss one = slice;
        for (int k = 0; k < count; ++k, one.first += one.classes) {
          row_loss(g, 0) += one(output, doutput, g, target(g, first_target + k), inverse) * inverse;
        }
      });
}

bool alike(const TargetSlice& a, const TargetSlice& b) { return a.kind == b.kind && a.classes == b.classes && a.weight == b.weight; }

}  // namespace

int num_columns(std::span<const TargetSlice> slices) {
  int columns = 0;
  for (const TargetSlice& slice : slices) columns += slice.classes;
  return columns;
}

template <class T>
View1<double> target_loss(Step<T>& step, std::span<const TargetSlice> slices, View2<T> output, View2<double> target, double divisor, View2<T> doutput,
                          View1<double> class_weight) {
  GNN_HPC_REQUIRE(output.extent_int(1) == num_columns(slices) && target.extent(0) == output.extent(0) &&
                      (target.extent(1) == slices.size() || target.extent(0) == 0),
                  "output {}x{}, target {}x{}, {} slices of {} columns", output.extent(0), output.extent(1), target.extent(0), target.extent(1),
                  slices.size(), num_columns(slices));
  const auto total = step.arena.template array<double>(1);
  ArenaFrame frame(step.arena);
  const auto row_loss = step.arena.template matrix<double>(output.extent(0), 1);
  Kokkos::deep_copy(step.exec, row_loss, 0.0);
  const double inverse = divisor > 0.0 ? 1.0 / divisor : 0.0;
  int first = 0;
  for (std::size_t k = 0; k < slices.size();) {
    const TargetSlice& s = slices[k];
    std::size_t end = k + 1;
    while (end < slices.size() && alike(s, slices[end])) ++end;
    slice_loss(step.exec, {s.kind, first, s.classes, s.weight, class_weight}, static_cast<int>(k), static_cast<int>(end - k), output, target, inverse,
               doutput, row_loss);
    first += s.classes * static_cast<int>(end - k);
    k = end;
  }
  sum_partials(step, row_loss, total);
  return total;
}

template View1<double> target_loss<float>(Step<float>&, std::span<const TargetSlice>, View2<float>, View2<double>, double, View2<float>,
                                          View1<double>);
template View1<double> target_loss<double>(Step<double>&, std::span<const TargetSlice>, View2<double>, View2<double>, double, View2<double>,
                                           View1<double>);

}  // namespace gnn_hpc
