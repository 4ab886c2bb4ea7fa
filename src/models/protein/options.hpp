// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/options.hpp"
#include "nn/gvp_encoder.hpp"
#include "nn/node_pooling.hpp"

#include <string>

namespace gnn_hpc::protein {

/// What the blocks `model` of all systems on residue graphs hold (specification spec/gvp.md, sections 3 and 4).
struct ModelOptions {
  GvpEncoderOptions encoder;
  double drop_rate = 0.1;  ///< of layers and head
  PoolingKind pooling = PoolingKind::sum;
  std::string class_weights = "none";  ///< none | balanced: every class has the same share of the loss
  int outputs = 2;                     ///< columns of the head; from the data

  /// Reads these keys of the block `model`; what else a system has there it reads from the same node, whose `done` is the caller's.
  static ModelOptions parse(Config& node);
};

std::string name_of(PoolingKind kind);

}  // namespace gnn_hpc::protein
