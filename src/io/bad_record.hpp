// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

namespace gnn_hpc {

/// A record of an input that cannot be used, and why; one row of `skipped.csv`.
struct BadRecord {
  std::string id;
  std::string file;
  std::int64_t line = 0;
  std::string reason;
};

}  // namespace gnn_hpc
