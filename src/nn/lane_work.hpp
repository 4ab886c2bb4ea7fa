// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "nn/chunks.hpp"

#include <initializer_list>
#include <vector>

namespace gnn_hpc {

/// Rows cut into equal chunks of at most kChunkRows, a multiple of the lanes in number, so that all lanes have the same work even where
/// rows are few. On a GPU one chunk.
struct RowChunks {
  int rows = 0, count = 0;
  explicit RowChunks(int num_rows);
  int begin(int i) const { return static_cast<int>(static_cast<long>(rows) * i / count); }
  int end(int i) const { return begin(i + 1); }
  /// The largest chunk.
  int longest() const { return count == 0 ? 0 : (rows + count - 1) / count; }
};

/// body(lane, exec, begin, end) for every chunk of rows.
template <class Body>
void for_each_row_chunk(const Exec& exec, int rows, const Body& body) {
  const RowChunks chunks(rows);
  if (chunks.count == 0) return;
  for_each_chunk(exec, chunks.count, [&](const int lane, const ChunkExec& space, const int i) {
    if (chunks.begin(i) < chunks.end(i)) body(lane, space, chunks.begin(i), chunks.end(i));
  });
}

/// Operands of a product whose rows are shared out among the lanes: for products too small for a threaded library.
template <class T>
struct Product {
  View2<T> a, b, c;
  T beta = 0;
};
/// c[R,N] = a[R,K] b[N,K]' for each.
template <class T>
void lanes_nt(const Exec& exec, std::initializer_list<Product<T>> products);
/// c[R,N] = a[R,K] b[K,N] + beta c for each, in this order.
template <class T>
void lanes_nn(const Exec& exec, std::initializer_list<Product<T>> products);

/// Gradients of weights and biases, collected during the backward pass and formed at its end in one go: every lane takes a share of the
/// *outputs* of each, so that no lane needs a copy to add to and the result does not depend on their number.
///   dweight[o,i] += sum over r of dy[r,o] x[r,i],   dbias[o] += sum over r of dy[r,o]  (in double)
template <class T>
class WeightGradients {
 public:
  /// x, dweight may be empty (only a bias), dbias may be empty. All memory must live until `add`.
  void push(View2<T> dy, View2<T> x, View2<T> dweight, View1<T> dbias = {});
  /// Forms all of them and forgets them.
  void add(Step<T>& step);

 private:
  struct Item {
    View2<T> dy, x, dweight;
    View1<T> dbias;
  };
  std::vector<Item> items_;
};

}  // namespace gnn_hpc
