// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/partoken/task.hpp"
#include "models/protein/files.hpp"

namespace gnn_hpc::partoken {

inline ModelOptions model_options() {
  ModelOptions o;
  o.protein = protein::model_options();
  o.protein.encoder.node_scalars = 12;
  o.partitioner.hidden = 6;
  o.partitioner.max_clusters = 3;
  o.partitioner.cluster_size_max = 4;
  o.codebook.codes = 5;
  o.kmeans_batches = 2;
  o.complete();
  return o;
}

/// Stages as the published curriculum has them: classes alone, codes for weights that stand still, all together.
inline std::vector<Phase> stages(const TrainOptions& train, int epochs) {
  Phase baseline = one_phase(train, {kPhaseFlags, kLossParts}).front(), codes = baseline, joint = baseline;
  for (Phase* p : {&baseline, &codes, &joint}) p->options.epochs = epochs;
  baseline.name = "baseline";
  baseline.flags["bypass_codebook"] = 1.0;
  codes.name = "codes";
  codes.freeze = {"all"};
  joint.name = "joint";
  joint.flags["kmeans_init"] = 0.0;
  joint.flags["freeze_codebook_last"] = 1.0;
  joint.loss_weights["card"] = {1e-3, 5e-3, 2};
  return {baseline, codes, joint};
}

inline TrainOptions train_options(int batch) {
  TrainOptions train;
  train.batch_size = batch;
  train.keep_last_batch = true;
  train.optimizer = "adam";
  train.schedule = "none";
  train.learning_rate = 2e-3;
  return train;
}

}  // namespace gnn_hpc::partoken
