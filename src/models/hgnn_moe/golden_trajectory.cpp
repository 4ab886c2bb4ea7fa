// SPDX-License-Identifier: Apache-2.0
#include "models/hgnn_moe/golden_trajectory.hpp"

namespace gnn_hpc::verify::hgnn_moe {

Trajectory golden_trajectory(GoldenFile& file) {
  Trajectory t;
  TrainOptions& o = t.options;
  o.epochs = 1;
  o.optimizer = "adamw";
  o.schedule = "cosine";
  o.no_decay.clear();
  o.weight_decay = 0.01;
  o.clip_norm = 1.0;
  const RealTensor rates = file.real("trajectory/lr");
  if (rates.values.empty()) file.fail("trajectory/lr is empty, expected one rate a step");
  o.learning_rate = rates.values[0];
  if (file.has_attribute("config", "weight_decay")) o.weight_decay = file.number_attribute("config", "weight_decay");
  if (file.has_attribute("config", "clip_norm")) o.clip_norm = file.number_attribute("config", "clip_norm");
  if (file.has_attribute("config", "eta_min")) o.minimum_learning_rate = file.number_attribute("config", "eta_min");
  t.steps_per_epoch = static_cast<std::int64_t>(rates.values.size());
  return t;
}

}  // namespace gnn_hpc::verify::hgnn_moe
