// SPDX-License-Identifier: Apache-2.0
#include "train/final_weights.hpp"

#include "base/log.hpp"

#include <vector>

namespace gnn_hpc {

template <class T>
FinalWeights load_final_weights(ParamStore<T>& store, bool best_wanted, const std::string& best, const TrainState& state, const Comm& comm) {
  if (!best_wanted || state.best_epoch == 0) return {"last", state.epoch, {}};
  std::vector<std::string> warnings;
  const std::string path = find_best_checkpoint(best, state, comm, warnings);
  for (const std::string& line : warnings) log_warning("{}", line);
  if (path.empty()) {
    return {"last", state.epoch, fmt::format("; the best ones, of epoch {}, are in no file that can be read", state.best_epoch)};
  }
  load_checkpoint<T>(path, store, nullptr);
  return {"best", state.best_epoch, {}};
}

template FinalWeights load_final_weights<float>(ParamStore<float>&, bool, const std::string&, const TrainState&, const Comm&);
template FinalWeights load_final_weights<double>(ParamStore<double>&, bool, const std::string&, const TrainState&, const Comm&);

}  // namespace gnn_hpc
