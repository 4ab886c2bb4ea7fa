// SPDX-License-Identifier: Apache-2.0
#include "nn/matmul.hpp"

#include "base/error.hpp"
#include "nn/operand_count.hpp"

#include <KokkosBlas3_gemm.hpp>

#include <atomic>

namespace gnn_hpc {

namespace {

std::atomic<double> g_flops{0.0};
std::atomic<std::int64_t> g_products{0};  // chunks run side by side

/// The same matrix as a View of the space that multiplies; Kokkos Kernels looks for the vendor library by it.
template <class T, class Space>
using Matrix = Kokkos::View<T**, Kokkos::LayoutRight, Kokkos::Device<Space, Memory>, Kokkos::MemoryTraits<Kokkos::Unmanaged>>;

/// c = beta c; beta 0 overwrites NaN, too.
template <class T, class Space>
void scale(const Space& exec, View2<T> c, T beta) {
  const int width = c.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::Matmul::scale", Kokkos::RangePolicy<Space, Kokkos::IndexType<int>>(exec, 0, c.extent_int(0) * width),
      KOKKOS_LAMBDA(const int i) { c(i / width, i % width) = beta == T(0) ? T(0) : beta * c(i / width, i % width); });
}

/// c = a b + beta c of one column whose entries are strided.
template <class T, class Space>
void multiply_column(const Space& exec, View2<T> a, View2<T> b, View2<T> c, T beta) {
  const int inner = a.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::Matmul::column", Kokkos::RangePolicy<Space, Kokkos::IndexType<int>>(exec, 0, c.extent_int(0)), KOKKOS_LAMBDA(const int r) {
        T sum = 0;
        for (int k = 0; k < inner; ++k) sum += a(r, k) * b(k, 0);
        c(r, 0) = beta == T(0) ? sum : sum + beta * c(r, 0);
      });
}

template <class T, class Space>
void gemm(const Space& exec, char ta, char tb, View2<T> a, View2<T> b, View2<T> c, T beta) {
  const auto rows = ta == 'N' ? a.extent(0) : a.extent(1), inner = ta == 'N' ? a.extent(1) : a.extent(0);
  const auto columns = tb == 'N' ? b.extent(1) : b.extent(0), inner_b = tb == 'N' ? b.extent(0) : b.extent(1);
  GNN_HPC_REQUIRE(inner == inner_b && c.extent(0) == rows && c.extent(1) == columns, "matmul {}{}: {}x{} times {}x{} into {}x{}", ta, tb, a.extent(0),
                  a.extent(1), b.extent(0), b.extent(1), c.extent(0), c.extent(1));
  if (rows == 0 || columns == 0) return;
  if (inner == 0) {
    scale(exec, c, beta);
    return;
  }
  ++g_products;
  g_flops += 2.0 * static_cast<double>(rows) * static_cast<double>(columns) * static_cast<double>(inner);
  if constexpr (kExecIsHost) {
    if (OperandCount* count = OperandCount::active()) {
      count->note(ta == 'T' ? OperandCount::Form::tn : tb == 'T' ? OperandCount::Form::nt : OperandCount::Form::nn, a, b, c);
    }
  }
  // Kokkos Kernels 4.7 hands one column to gemv as if its entries were consecutive.
  if (ta == 'N' && tb == 'N' && columns == 1 && (b.stride(0) != 1 || c.stride(0) != 1)) {
    multiply_column(exec, a, b, c, beta);
    return;
  }
  const Matrix<const T, Space> left = a, right = b;
  const Matrix<T, Space> out = c;
  KokkosBlas::gemm(exec, &ta, &tb, T(1), left, right, beta, out);
}

}  // namespace

template <class T>
template <class Space>
void Matmul<T>::nt(const Space& exec, View2<T> a, View2<T> b, View2<T> c, T beta) {
  gemm<T>(exec, 'N', 'T', a, b, c, beta);
}
template <class T>
template <class Space>
void Matmul<T>::nn(const Space& exec, View2<T> a, View2<T> b, View2<T> c, T beta) {
  gemm<T>(exec, 'N', 'N', a, b, c, beta);
}
template <class T>
template <class Space>
void Matmul<T>::tn(const Space& exec, View2<T> a, View2<T> b, View2<T> c, T beta) {
  gemm<T>(exec, 'T', 'N', a, b, c, beta);
}

double matmul_flops() { return g_flops.load(); }
std::int64_t matmul_products() { return g_products.load(); }
void reset_matmul_flops() {
  g_flops = 0.0;
  g_products = 0;
}

#define GNN_HPC_MATMUL(T, Space)                                                     \
  template void Matmul<T>::nt<Space>(const Space&, View2<T>, View2<T>, View2<T>, T); \
  template void Matmul<T>::nn<Space>(const Space&, View2<T>, View2<T>, View2<T>, T); \
  template void Matmul<T>::tn<Space>(const Space&, View2<T>, View2<T>, View2<T>, T);

GNN_HPC_MATMUL(float, Exec)
GNN_HPC_MATMUL(double, Exec)
#if !defined(GNN_HPC_ONE_EXEC)
GNN_HPC_MATMUL(float, ChunkExec)
GNN_HPC_MATMUL(double, ChunkExec)
#endif

}  // namespace gnn_hpc
