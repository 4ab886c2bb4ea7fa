// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/hgnn_moe/combiner.hpp"
#include "models/hgnn_moe/experts.hpp"
#include "models/hgnn_moe/options.hpp"
#include "nn/traced_tensor.hpp"

#include <memory>
#include <string>
#include <vector>

namespace gnn_hpc::hgnn_moe {

/// An intermediate of a coupler, for tracing: host numbers with their shape.
struct CouplerTap {
  std::string name;
  std::vector<std::size_t> shape;
  std::vector<double> values;
};

/// Mixes the expert outputs of every token: X [R, E D] (any row stride) -> one row of D. Tokens do not see each other: no operation here
/// joins two rows.
template <class T>
class Coupler {
 public:
  virtual ~Coupler() = default;
  /// y [R,D] = base + coupled (base empty: coupled alone). Keeps what backward needs.
  virtual void forward(Step<T>& step, View2<T> x, View2<T> base, View2<T> y) = 0;
  /// From dy [R,D] (kept) of the last forward: parameters' gradients, and the gradient of X in memory of the arena. What forward saved is
  /// used up.
  virtual OutputGradient<T> backward(Step<T>& step, View2<T> dy) = 0;
  /// Intermediates of the last forward as golden files name them, before backward. Fences.
  virtual std::vector<CouplerTap> taps(Step<T>& step) const = 0;
  /// Parameters worth following in a log. Fences.
  virtual std::vector<CouplerTap> report() const = 0;
  /// Smallest |D_v| of a hypergraph with learnable weights; infinite where there is none. Fences.
  virtual double smallest_degree(const Exec& exec) const = 0;
};

/// By `options.coupler_type`; parameters `name.*`.
template <class T>
std::unique_ptr<Coupler<T>> make_coupler(ParamStore<T>& store, const std::string& name, const ModelOptions& options);

/// Rows that one thread takes through a coupler at a time: equal pieces, at most `most` rows.
struct RowPieces {
  int rows = 0, piece = 1, count = 0;
  RowPieces(int num_rows, int most);
  int begin(int i) const { return i * piece; }
  int end(int i) const { return (i + 1) * piece < rows ? (i + 1) * piece : rows; }
};

}  // namespace gnn_hpc::hgnn_moe
