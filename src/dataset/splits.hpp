// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace gnn_hpc {

/// Which samples train, validate and test: indices into a data set, disjoint, in an order that is a pure function of the split options
/// and the seed. The order of `train` is the canonical one before shuffling.
struct Splits {
  std::vector<std::int64_t> train, validation, test;
};

/// One record of the input, good or bad, in the order of the input.
struct InputRecord {
  std::string id;
  std::int64_t sample = -1;  ///< data-set index; -1 if the record could not be used
};

}  // namespace gnn_hpc
