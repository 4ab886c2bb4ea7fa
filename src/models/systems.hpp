// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/system.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace gnn_hpc {

/// All systems, in order of the table; the first one is what an input without the key `system` means.
std::span<const System* const> systems();
/// Their names.
std::vector<std::string> system_names();
/// Throws Error(Exit::usage) for an unknown name.
const System& find_system(std::string_view name);

/// Builds the task of that name from its blocks of the input file; see `TaskFactory`.
template <class T>
std::unique_ptr<Task<T>> make_task(const std::string& name, Config& root, std::uint64_t seed);

/// The checks of all systems.
std::vector<verify::GoldenCheck> golden_checks();
/// A table for `gnn_hpc info --systems`: names, summaries, what `bench` times alone and `verify` checks.
std::string systems_table();

}  // namespace gnn_hpc
