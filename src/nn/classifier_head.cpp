// SPDX-License-Identifier: Apache-2.0
#include "nn/classifier_head.hpp"

namespace gnn_hpc {

template <class T>
ClassifierHead<T>::ClassifierHead(ParamStore<T>& store, const std::string& prefix, int width, int hidden, int columns)
    : name(prefix),
      first(store, prefix + ".0", width, 2 * hidden),
      second(store, prefix + ".3", 2 * hidden, hidden),
      last(store, prefix + ".6", hidden, columns) {}

template <class T>
View2<T> ClassifierHead<T>::forward(Step<T>& step, const RowDropout<T>& dropout, View2<T> x, Saved& s) const {
  const std::size_t rows = x.extent(0), hidden = second.weight.info().shape[0];
  s.x = x;
  s.first = step.arena.template matrix<T>(rows, 2 * hidden);
  s.second = step.arena.template matrix<T>(rows, hidden);
  s.keep_first = dropout.factors(step, name + ".2", rows, static_cast<int>(2 * hidden));
  s.keep_second = dropout.factors(step, name + ".5", rows, static_cast<int>(hidden));
  const View2<T> y = step.arena.template matrix<T>(rows, last.weight.info().shape[0]);
  first.forward(step, x, s.first);
  relu_drop(step.exec, s.keep_first, s.first);
  second.forward(step, s.first, s.second);
  relu_drop(step.exec, s.keep_second, s.second);
  last.forward(step, s.second, y);
  return y;
}

template <class T>
void ClassifierHead<T>::backward(Step<T>& step, const Saved& s, View2<T> dy, View2<T> dx) const {
  ArenaFrame frame(step.arena);
  const auto dfirst = step.arena.template matrix<T>(s.first.extent(0), s.first.extent(1));
  const auto dsecond = step.arena.template matrix<T>(s.second.extent(0), s.second.extent(1));
  last.backward(step, s.second, dy, dsecond);
  relu_drop_backward(step.exec, s.keep_second, s.second, dsecond);
  second.backward(step, s.first, dsecond, dfirst);
  relu_drop_backward(step.exec, s.keep_first, s.first, dfirst);
  first.backward(step, s.x, dfirst, dx);
}

template struct ClassifierHead<float>;
template struct ClassifierHead<double>;

}  // namespace gnn_hpc
