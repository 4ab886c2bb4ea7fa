// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/options.hpp"
#include "models/task.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace gnn_hpc {

/// Names that the key `system` of an input file may have, in order of the table.
std::vector<std::string> system_names();

/// Builds the task of that name from its blocks of the input file (`data`, `graph`, `model` ...); it reads and checks them,
/// `root.finish()` is the caller's. Weights are drawn from the seed. Throws Error(Exit::usage) for an unknown name.
template <class T>
std::unique_ptr<Task<T>> make_task(const std::string& name, Config& root, std::uint64_t seed);

}  // namespace gnn_hpc
