// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/hgnn_moe/model.hpp"
#include "train/generate.hpp"

#include <span>
#include <vector>

namespace gnn_hpc::hgnn_moe {

/// One sequence, continued token by token: keys and values of every expert are kept, so that a token costs one position, not the prefix.
/// With the coupler done per token every layer is causal, so the logits are those of running the whole sequence.
template <class T>
class TokenDecoder final : public Decoder {
 public:
  explicit TokenDecoder(Model<T>& model) : model_(model), cache_(model.options(), 1) {}

  int longest() const override { return model_.options().max_seq_length; }
  int vocabulary() const override { return model_.options().vocab_size; }
  std::vector<double> append(std::span<const int> tokens) override;

 private:
  Model<T>& model_;
  DecodeCache<T> cache_;
  Exec exec_;
  Arena arena_{std::size_t{1} << 22};
  Comm comm_;
};

}  // namespace gnn_hpc::hgnn_moe
