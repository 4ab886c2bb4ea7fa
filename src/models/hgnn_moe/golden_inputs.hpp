// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/hgnn_moe/options.hpp"
#include "nn/param.hpp"
#include "verify/golden_file.hpp"

#include <string>

namespace gnn_hpc::verify::hgnn_moe {

/// Model options from the attributes of a group of a golden file ("config", "gnn_4/config"); what it does not say keeps its default.
/// Throws Error(Exit::data) for unknown words, numbers out of range and options that exclude each other.
gnn_hpc::hgnn_moe::ModelOptions read_options(const GoldenFile& file, const std::string& group);

/// Fills every parameter of the store from data sets `group`/NAME. Throws Error(Exit::data) for one that is missing or has another
/// shape, and for one that the model does not have.
template <class T>
void load_parameters(GoldenFile& file, const std::string& group, ParamStore<T>& store);

}  // namespace gnn_hpc::verify::hgnn_moe
