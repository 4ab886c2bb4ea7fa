// SPDX-License-Identifier: Apache-2.0
#include "nn/matmul.hpp"

#include "base/error.hpp"

#include <KokkosBlas3_gemm.hpp>

namespace gnn_hpc {

namespace {

double g_flops = 0.0;

template <class T>
void gemm(const Exec& exec, char ta, char tb, View2<T> a, View2<T> b, View2<T> c, T beta) {
  const auto rows = ta == 'N' ? a.extent(0) : a.extent(1), inner = ta == 'N' ? a.extent(1) : a.extent(0);
  const auto columns = tb == 'N' ? b.extent(1) : b.extent(0), inner_b = tb == 'N' ? b.extent(0) : b.extent(1);
  GNN_HPC_REQUIRE(inner == inner_b && c.extent(0) == rows && c.extent(1) == columns,
                  "matmul {}{}: {}x{} times {}x{} into {}x{}", ta, tb, a.extent(0), a.extent(1), b.extent(0), b.extent(1),
                  c.extent(0), c.extent(1));
  if (rows == 0 || columns == 0) return;
  if (inner == 0) {
    if (beta == T(0)) Kokkos::deep_copy(exec, c, T(0));
    return;
  }
  g_flops += 2.0 * static_cast<double>(rows) * static_cast<double>(columns) * static_cast<double>(inner);
  KokkosBlas::gemm(exec, &ta, &tb, T(1), a, b, beta, c);
}

}  // namespace

template <class T>
void Matmul<T>::nt(const Exec& exec, View2<T> a, View2<T> b, View2<T> c, T beta) {
  gemm(exec, 'N', 'T', a, b, c, beta);
}
template <class T>
void Matmul<T>::nn(const Exec& exec, View2<T> a, View2<T> b, View2<T> c, T beta) {
  gemm(exec, 'N', 'N', a, b, c, beta);
}
template <class T>
void Matmul<T>::tn(const Exec& exec, View2<T> a, View2<T> b, View2<T> c, T beta) {
  gemm(exec, 'T', 'N', a, b, c, beta);
}

double matmul_flops() { return g_flops; }
void reset_matmul_flops() { g_flops = 0.0; }

template struct Matmul<float>;
template struct Matmul<double>;

}  // namespace gnn_hpc
