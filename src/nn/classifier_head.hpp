// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "nn/linear.hpp"
#include "nn/row_dropout.hpp"

#include <string>

namespace gnn_hpc {

/// y = W6 drop(relu(W3 drop(relu(W0 x + b0)) + b3)) + b6: width -> 2 h -> h -> columns, with the names of published checkpoints (`NAME.0`,
/// `NAME.3`, `NAME.6`; dropouts `NAME.2`, `NAME.5`).
template <class T>
struct ClassifierHead {
  std::string name;
  Linear<T> first, second, last;

  ClassifierHead() = default;
  ClassifierHead(ParamStore<T>& store, const std::string& name, int width, int hidden, int columns);

  struct Saved {
    View2<T> x, first, second;         ///< [G,C]; [G,2h], [G,h] after dropout
    View2<T> keep_first, keep_second;  ///< factors of dropout; empty: nothing is dropped
  };
  View2<T> forward(Step<T>& step, const RowDropout<T>& dropout, View2<T> x, Saved& saved) const;
  /// dx is overwritten.
  void backward(Step<T>& step, const Saved& saved, View2<T> dy, View2<T> dx) const;
};

}  // namespace gnn_hpc
