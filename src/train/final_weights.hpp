// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/comm.hpp"
#include "nn/param.hpp"
#include "train/checkpoint.hpp"

#include <cstdint>
#include <string>

namespace gnn_hpc {

/// Whose errors the final table shows.
struct FinalWeights {
  std::string name;        ///< best | last
  std::int64_t epoch = 0;  ///< after which they stood so
  std::string note;        ///< for the table: why they are not those that were asked for; empty if they are
};

/// Loads the weights of the final evaluation: if `best` is wanted and there was a best epoch, those of the file whose own header
/// names it (`find_best_checkpoint`). Otherwise the present ones stay, and where that is not what was wanted a warning and the note
/// say so. Collective.
template <class T>
FinalWeights load_final_weights(ParamStore<T>& store, bool best_wanted, const std::string& best, const TrainState& state, const Comm& comm);

}  // namespace gnn_hpc
