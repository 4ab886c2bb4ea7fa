// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "train/checkpoint.hpp"

#include <string>
#include <vector>

namespace gnn_hpc {

/// True if a run continued with another value of this option (dotted key) would not be the same run: whatever shapes the model, its inputs
/// or its targets (`shapes_the_model`), the seed, the precision, and of `train` all but what only decides when to stop, look, save or
/// print. The other options of `data` are compared by what came out of them: `CheckpointInfo::data_state` and `split_digest`.
bool changes_the_run(const std::string& key);

/// One line per option that changes the run and differs between two resolved YAML texts: key, old and new value.
std::vector<std::string> changed_options(const std::string& old_yaml, const std::string& new_yaml);

/// Compares a checkpoint with the run about to continue it. Throws Error(Exit::usage) listing every difference with old and new
/// value, unless `allow_change` (then the lines are returned, for warnings). Another system or precision is never allowed.
std::vector<std::string> check_continuation(const std::string& path, const CheckpointInfo& old_run, const CheckpointInfo& new_run, bool allow_change);

}  // namespace gnn_hpc
