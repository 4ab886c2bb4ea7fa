// SPDX-License-Identifier: Apache-2.0
#include "nn/linear.hpp"

#include "nn/matmul.hpp"
#include "nn/rows.hpp"

#include <cmath>

namespace gnn_hpc {

template <class T>
Linear<T>::Linear(ParamStore<T>& store, const std::string& name, int in, int out, bool with_bias, bool used) : has_bias(with_bias) {
  const auto rows = static_cast<std::size_t>(out), columns = static_cast<std::size_t>(in);
  const Init init = Init::uniform(1.0 / std::sqrt(static_cast<double>(in)));
  weight = store.add(name + ".weight", {rows, columns}, init, used);
  if (with_bias) bias = store.add(name + ".bias", {rows}, init, used);
}

template <class T>
void Linear<T>::forward(Step<T>& step, View2<T> x, View2<T> y) const {
  Matmul<T>::nt(step.exec, x, weight.value(), y);
  if (has_bias) RowOps<T>::add_bias(step.exec, y, bias.value1());
}

template <class T>
void Linear<T>::backward_parameters(Step<T>& step, View2<T> x, View2<T> dy) const {
  Matmul<T>::tn(step.exec, dy, x, weight.grad());
  if (has_bias) RowOps<T>::add_column_sums(step, dy, bias.grad1());
}

template <class T>
void Linear<T>::backward(Step<T>& step, View2<T> x, View2<T> dy, View2<T> dx, T beta) const {
  backward_parameters(step, x, dy);
  Matmul<T>::nn(step.exec, dy, weight.value(), dx, beta);
}

template struct Linear<float>;
template struct Linear<double>;

}  // namespace gnn_hpc
