// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "nn/batch_norm.hpp"
#include "nn/linear.hpp"

#include <string>

namespace gnn_hpc::comformer {

/// The two-layer network of ComFormer's keys and messages over a concatenation [a; b; g] of three C-wide inputs (specification
/// 4.1): Linear 3C -> C, silu, Linear C -> C. The first Linear is used in column blocks, so that terms of nodes and of
/// crystals are formed once per node and crystal instead of once per edge.
template <class T>
struct UpdateNet {
  Linear<T> first;   ///< `name.0`, [C, 3C]
  Linear<T> second;  ///< `name.2`, [C, C]

  UpdateNet() = default;
  UpdateNet(ParamStore<T>& store, const std::string& name, int width)
      : first(store, name + ".0", 3 * width, width), second(store, name + ".2", width, width) {}
  /// Columns of block 0 (first input), 1 or 2.
  View2<T> block(int b) const;
  View2<T> block_grad(int b) const;
};

/// Key and message networks side by side: everything between the inputs and the gate has rows [key | message] of width 2C.
template <class T>
struct KeyMessage {
  UpdateNet<T> message, key;
  int width = 0;

  KeyMessage() = default;
  /// Registers `name.lin_msg_update.*` and `name.key_update.*`.
  KeyMessage(ParamStore<T>& store, const std::string& name, int width);

  /// out[r, 0:C] = key_in[r] B_key', out[r, C:2C] = message_in[r] B_msg' with column blocks b of the first Linears.
  void apply_block(Step<T>& step, int b, View2<T> key_in, View2<T> message_in, View2<T> out) const;
  /// Gradients of the blocks; dkey_in and dmessage_in = beta * themselves + what comes back.
  void apply_block_backward(Step<T>& step, int b, View2<T> key_in, View2<T> message_in, View2<T> dout, View2<T> dkey_in, View2<T> dmessage_in,
                            T beta) const;

  /// The product of block b with a Linear in front of it, per head h: fold[h, 0:C, :] = B_key W_key[h], fold[h, C:2C, :] = B_msg
  /// W_msg[h]: [H 2C, C] for weights [H C, C]. The folded bias is that of `fold_bias`.
  View2<T> fold(Step<T>& step, int b, const Linear<T>& key_lin, const Linear<T>& message_lin) const;
  /// bias[h, 0:C] += B_key b_key[h], bias[h, C:2C] += B_msg b_msg[h] for bias [H, 2C].
  void add_folded_bias(Step<T>& step, int b, const Linear<T>& key_lin, const Linear<T>& message_lin, View2<T> bias) const;
  /// From the gradients of the fold [H 2C, C] and of its output summed over rows [H 2C]: gradients of B, W and b.
  void fold_backward(Step<T>& step, int b, const Linear<T>& key_lin, const Linear<T>& message_lin, View2<T> dfold, View2<T> dbias) const;

  /// The first Linears' biases for H heads: [H, 2C].
  View2<T> first_bias(Step<T>& step, int heads) const;
  void first_bias_backward(Step<T>& step, View2<T> dbias) const;

  /// For one chunk: key = hidden[:, 0:C] W2', message = hidden[:, C:2C] W2', biases left to the caller.
  void second(const ChunkExec& exec, View2<T> hidden, View2<T> key, View2<T> message) const;
  /// For one chunk, from dkm [R, 2C]: dhidden, and adds to the gradients of the second Linears' weights (a lane's copies).
  void second_backward(const ChunkExec& exec, View2<T> hidden, View2<T> dkm, View2<T> dhidden, View2<T> dkey_weight, View2<T> dmessage_weight) const;
};

}  // namespace gnn_hpc::comformer
