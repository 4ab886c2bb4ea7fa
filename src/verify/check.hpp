// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "verify/comparison.hpp"
#include "verify/golden_file.hpp"

#include <string_view>

namespace gnn_hpc::verify {

/// Reads the inputs of a golden file, runs this program on them, and compares. Throws Error(Exit::data) for a malformed file.
using Check = void (*)(GoldenFile& file, bool single_precision, Report& report);

/// How files of one system and kind are checked.
struct GoldenCheck {
  std::string_view system, kind;
  Check check;
};

}  // namespace gnn_hpc::verify
