// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

namespace gnn_hpc {

/// 0 .. n-1 in the order of Python's `random.seed(seed); random.shuffle(list(range(n)))` (CPython 3.2 and later): MT19937 seeded by
/// `init_by_array`, Fisher-Yates from the end, draws by rejection of the top bits. Reproduces published splits.
std::vector<std::int64_t> python_shuffled(std::int64_t n, std::int64_t seed);

}  // namespace gnn_hpc
