// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/config.hpp"

#include <cstdint>

namespace gnn_hpc {

/// Dense products through Kokkos Kernels (vendor BLAS). All matrices are row-major; rows may be strided (`column_range`).
/// `beta` scales what stands in c before the product is added (0: overwritten, even if it holds NaN). Shapes are checked:
/// Error(Exit::internal). Zero rows, columns or inner extent are legal.
/// Space is Exec (all threads) or ChunkExec (one chunk's thread).
template <class T>
struct Matmul {
  /// c[R,N] = a[R,K] b[N,K]' + beta c: a Linear forward.
  template <class Space>
  static void nt(const Space& exec, View2<T> a, View2<T> b, View2<T> c, T beta = 0);
  /// c[R,N] = a[R,K] b[K,N] + beta c: the gradient of a Linear's input.
  template <class Space>
  static void nn(const Space& exec, View2<T> a, View2<T> b, View2<T> c, T beta = 0);
  /// c[M,N] = a[R,M]' b[R,N] + beta c: the gradient of a Linear's weight (adds by default).
  template <class Space>
  static void tn(const Space& exec, View2<T> a, View2<T> b, View2<T> c, T beta = 1);
};

/// Multiply-adds done by Matmul since the last reset, times two; host bookkeeping for `bench`.
double matmul_flops();
/// Products since then.
std::int64_t matmul_products();
void reset_matmul_flops();

}  // namespace gnn_hpc
