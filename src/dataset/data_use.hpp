// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace gnn_hpc {

/// What data are opened for.
enum class DataUse {
  training,           ///< whatever is not there yet is built; splits, and the label scaling of the training part
  training_if_built,  ///< the same if nothing has to be built for it (`--dry-run`)
  prediction,         ///< built as well; targets may be missing, no splits, and the data state comes from a checkpoint afterwards
};

}  // namespace gnn_hpc
