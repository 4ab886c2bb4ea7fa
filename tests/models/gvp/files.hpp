// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/gvp/task.hpp"
#include "models/protein/files.hpp"

namespace gnn_hpc::gvp {

using protein::chain_text;
using protein::data_options;
using protein::model_options;
using protein::write_proteins;

}  // namespace gnn_hpc::gvp
