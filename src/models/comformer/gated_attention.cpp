// SPDX-License-Identifier: Apache-2.0
#include "models/comformer/gated_attention.hpp"

#include "nn/channels.hpp"
#include "nn/matmul.hpp"
#include "nn/rows.hpp"

namespace gnn_hpc::comformer {

namespace {

/// Head h of a weight [H C, K]: C rows.
template <class T>
View2<T> head_rows(View2<T> x, int h, int width) {
  return row_range(x, h * width, (h + 1) * width);
}

template <class T>
void add_rows(const Exec& exec, View1<T> key, View1<T> message, View2<T> bias) {
  const int width = key.extent_int(0);
  Kokkos::parallel_for(
      "gnn_hpc::KeyMessage::bias", RowMajor2(exec, {0, 0}, {bias.extent_int(0), 2 * width}),
      KOKKOS_LAMBDA(const int h, const int c) { bias(h, c) = c < width ? key(c) : message(c - width); });
}

/// db[c] += sum over h of dbias[h, offset + c]
template <class T>
void sum_heads(const Exec& exec, View2<T> dbias, int offset, View1<T> db) {
  const int heads = dbias.extent_int(0);
  Kokkos::parallel_for(
      "gnn_hpc::KeyMessage::bias_backward", Rows(exec, 0, db.extent_int(0)), KOKKOS_LAMBDA(const int c) {
        for (int h = 0; h < heads; ++h) db(c) += dbias(h, offset + c);
      });
}

}  // namespace

template <class T>
View2<T> UpdateNet<T>::block(int b) const {
  const int width = static_cast<int>(first.weight.info().rows());
  return column_range(first.weight.value(), b * width, (b + 1) * width);
}
template <class T>
View2<T> UpdateNet<T>::block_grad(int b) const {
  const int width = static_cast<int>(first.weight.info().rows());
  return column_range(first.weight.grad(), b * width, (b + 1) * width);
}

template <class T>
KeyMessage<T>::KeyMessage(ParamStore<T>& store, const std::string& name, int c)
    : message(store, name + ".lin_msg_update", c), key(store, name + ".key_update", c), width(c) {}

template <class T>
void KeyMessage<T>::apply_block(Step<T>& step, int b, View2<T> key_in, View2<T> message_in, View2<T> out) const {
  Matmul<T>::nt(step.exec, key_in, key.block(b), column_range(out, 0, width));
  Matmul<T>::nt(step.exec, message_in, message.block(b), column_range(out, width, 2 * width));
}

template <class T>
void KeyMessage<T>::apply_block_backward(Step<T>& step, int b, View2<T> key_in, View2<T> message_in, View2<T> dout, View2<T> dkey_in,
                                         View2<T> dmessage_in, T beta) const {
  const auto dkey = column_range(dout, 0, width), dmessage = column_range(dout, width, 2 * width);
  Matmul<T>::tn(step.exec, dkey, key_in, key.block_grad(b));
  Matmul<T>::tn(step.exec, dmessage, message_in, message.block_grad(b));
  Matmul<T>::nn(step.exec, dkey, key.block(b), dkey_in, beta);
  Matmul<T>::nn(step.exec, dmessage, message.block(b), dmessage_in, beta);
}

template <class T>
View2<T> KeyMessage<T>::fold(Step<T>& step, int b, const Linear<T>& key_lin, const Linear<T>& message_lin) const {
  const int heads = static_cast<int>(key_lin.weight.info().rows()) / width;
  const auto columns = key_lin.weight.info().columns();
  const auto f = step.arena.template matrix<T>(static_cast<std::size_t>(heads) * 2 * width, columns);
  for (int h = 0; h < heads; ++h) {
    Matmul<T>::nn(step.exec, key.block(b), head_rows(key_lin.weight.value(), h, width), head_rows(f, 2 * h, width));
    Matmul<T>::nn(step.exec, message.block(b), head_rows(message_lin.weight.value(), h, width), head_rows(f, 2 * h + 1, width));
  }
  return f;
}

template <class T>
void KeyMessage<T>::add_folded_bias(Step<T>& step, int b, const Linear<T>& key_lin, const Linear<T>& message_lin, View2<T> bias) const {
  const int heads = bias.extent_int(0);
  Matmul<T>::nt(step.exec, reshape(key_lin.bias.value(), heads, width), key.block(b), column_range(bias, 0, width), T(1));
  Matmul<T>::nt(step.exec, reshape(message_lin.bias.value(), heads, width), message.block(b), column_range(bias, width, 2 * width), T(1));
}

template <class T>
void KeyMessage<T>::fold_backward(Step<T>& step, int b, const Linear<T>& key_lin, const Linear<T>& message_lin, View2<T> dfold,
                                  View2<T> dbias) const {
  const int heads = dfold.extent_int(0) / (2 * width);
  const auto one = [&](const UpdateNet<T>& net, const Linear<T>& lin, int side) {
    for (int h = 0; h < heads; ++h) {
      const auto df = head_rows(dfold, 2 * h + side, width);
      Matmul<T>::nt(step.exec, df, head_rows(lin.weight.value(), h, width), net.block_grad(b), T(1));
      Matmul<T>::tn(step.exec, net.block(b), df, head_rows(lin.weight.grad(), h, width));
    }
    if (!lin.has_bias) return;
    const auto db = column_range(dbias, side * width, (side + 1) * width);
    Matmul<T>::tn(step.exec, db, reshape(lin.bias.value(), heads, width), net.block_grad(b));
    Matmul<T>::nn(step.exec, db, net.block(b), reshape(lin.bias.grad(), heads, width), T(1));
  };
  one(key, key_lin, 0);
  one(message, message_lin, 1);
}

template <class T>
View2<T> KeyMessage<T>::first_bias(Step<T>& step, int heads) const {
  const auto bias = step.arena.template matrix<T>(heads, 2 * static_cast<std::size_t>(width));
  add_rows(step.exec, key.first.bias.value1(), message.first.bias.value1(), bias);
  return bias;
}

template <class T>
void KeyMessage<T>::first_bias_backward(Step<T>& step, View2<T> dbias) const {
  sum_heads(step.exec, dbias, 0, key.first.bias.grad1());
  sum_heads(step.exec, dbias, width, message.first.bias.grad1());
}

template <class T>
void KeyMessage<T>::second(const ChunkExec& exec, View2<T> hidden, View2<T> key_out, View2<T> message_out) const {
  Matmul<T>::nt(exec, column_range(hidden, 0, width), key.second.weight.value(), key_out);
  Matmul<T>::nt(exec, column_range(hidden, width, 2 * width), message.second.weight.value(), message_out);
}

template <class T>
void KeyMessage<T>::second_backward(const ChunkExec& exec, View2<T> hidden, View2<T> dkm, View2<T> dhidden, View2<T> dkey_weight,
                                    View2<T> dmessage_weight) const {
  const auto one = [&](const UpdateNet<T>& net, int side, View2<T> dweight) {
    const int begin = side * width, end = begin + width;
    const auto d = column_range(dkm, begin, end);
    Matmul<T>::tn(exec, d, column_range(hidden, begin, end), dweight);
    Matmul<T>::nn(exec, d, net.second.weight.value(), column_range(dhidden, begin, end));
  };
  one(key, 0, dkey_weight);
  one(message, 1, dmessage_weight);
}

template struct UpdateNet<float>;
template struct UpdateNet<double>;
template struct KeyMessage<float>;
template struct KeyMessage<double>;

}  // namespace gnn_hpc::comformer
