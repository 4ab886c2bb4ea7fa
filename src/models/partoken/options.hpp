// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/partoken/codebook.hpp"
#include "models/partoken/partitioner.hpp"
#include "models/protein/options.hpp"

namespace gnn_hpc::partoken {

/// What training minimises (specification spec/partoken.md, section 5).
enum class LossKind {
  composite,  ///< cls + l_vq vq + l_psc psc + l_card card
  loop,       ///< cls + vq, as the published training scripts have it
  ce          ///< cls alone
};

/// The block `model` of ParToken (specification spec/partoken.md, section 7).
struct ModelOptions {
  protein::ModelOptions protein;  ///< encoder, pooling, dropout, head
  PartitionerOptions partitioner;
  CodebookOptions codebook;
  int heads = 4;           ///< of the attention over clusters
  bool quantized = false;  ///< codes instead of clusters go on to attention
  LossKind loss = LossKind::composite;
  double lambda_vq = 1.0, lambda_psc = 1e-2, lambda_card = 0.005;  ///< weights of the loss where a phase does not set them
  bool corrected = true;                                           ///< false: the published program's gradients (fidelity: upstream)
  int kmeans_batches = 10;                                         ///< training batches whose clusters start the codebook

  static ModelOptions parse(Config& node);
  /// Widths that follow from others; call after a change of one.
  void complete();
  int width() const { return protein.encoder.node_scalars; }
};

std::string name_of(LossKind kind);

}  // namespace gnn_hpc::partoken
