// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "train/checkpoint.hpp"

#include <functional>
#include <map>
#include <string>
#include <vector>

namespace gnn_hpc {

/// All options of a YAML text, `block.key` -> value in flow style. `name` is for messages.
std::map<std::string, std::string> flat_options(const std::string& yaml, const std::string& name);

/// The options that an input file or an override (`block.key=value`) gives a value, as written; the others stand at their defaults.
std::map<std::string, std::string> given_options(const std::string& yaml, const std::string& name, const std::vector<std::string>& overrides);

/// True if trained weights would mean something else with another value of this option (dotted key): whatever shapes the model
/// (`model`), its inputs (`graph`; `data`: how a record becomes a sample) or its targets (`data`: which, in which order, and of
/// what kind). Every option of these blocks does, unless it only says where records stand (files, columns, frames), how they are
/// divided among parts, or how graphs are built and kept; an option that is new shapes until it is known not to. `train`, `run`,
/// `log` and `mpi` do not.
bool shapes_the_model(const std::string& key);

/// All options of an input as YAML text, defaults included, once these overrides are added to it.
using ResolveOptions = std::function<std::string(const std::vector<std::string>& overrides)>;

/// What a job on other data must be told so that it uses a trained model as it was trained: an override for every option that
/// shapes the model and that the input leaves open. A default of today is no answer: what the input does not say is what the
/// training had.
/// @param given  by the input, see `given_options`
/// Throws Error(Exit::usage) with the two values of every option that the input gives and the training had otherwise, and what
/// `resolve` throws.
std::vector<std::string> trained_options(const std::string& checkpoint, const CheckpointInfo& trained,
                                         const std::map<std::string, std::string>& given, const ResolveOptions& resolve);

}  // namespace gnn_hpc
