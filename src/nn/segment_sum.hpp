// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/config.hpp"

namespace gnn_hpc {

/// How sums over segments are formed: `csr` has one writer per output row and items in stored order (bitwise reproducible);
/// `scatter` adds every item where it belongs through Kokkos' ScatterView (duplicated per thread on CPUs, atomic on GPUs).
enum class Reduction { csr, scatter };

/// Items grouped into segments of consecutive positions: position i of segment n holds row item(i) and owner(i) = n.
struct Segments {
  View1<int> row_ptr;  ///< [N+1]
  View1<int> item;     ///< [I]; empty: item(i) = i
  View1<int> owner;    ///< [I]; read only by `scatter`
};

/// Sum of the item rows that belong to each segment; with the transposed index it is also the gradient of a gather.
///   forward    y[n,c] = sum over i in [row_ptr(n), row_ptr(n+1)) of x[item(i),c]
///   backward   dx[item(i),c] = dy[n,c] for i in row n
/// Linear: nothing is saved. An empty segment yields 0.
template <class T>
struct SegmentSum {
  static void forward(const Exec& exec, Reduction reduction, const Segments& segments, View2<T> x /*[I,C]*/, View2<T> y /*[N,C]*/);
  static void backward(const Exec& exec, const Segments& segments, View2<T> dy /*[N,C]*/, View2<T> dx /*[I,C]*/);
};

/// Mean of the rows of each segment of consecutive rows, and its gradient dx[i,:] = dy[n,:] / (rows of n).
template <class T>
struct SegmentMean {
  static void forward(const Exec& exec, View1<int> row_ptr /*[N+1]*/, View2<T> x /*[I,C]*/, View2<T> y /*[N,C]*/);
  static void backward(const Exec& exec, View1<int> row_ptr, View2<T> dy /*[N,C]*/, View2<T> dx /*[I,C]*/);
};

}  // namespace gnn_hpc
