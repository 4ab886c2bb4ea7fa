// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace gnn_hpc {

/// The overrides by which a labelled data set reads `path` and nothing else.
std::vector<std::string> labelled_prediction_input(const std::string& path);

}  // namespace gnn_hpc
