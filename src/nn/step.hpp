// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/arena.hpp"
#include "base/comm.hpp"
#include "base/config.hpp"
#include "base/random.hpp"

#include <cstdint>

namespace gnn_hpc {

enum class Mode { train, evaluate };

/// What every layer is handed: where to run, where to put activations, training or evaluation, the random stream of this
/// optimiser step, and the ranks over which batch statistics are summed.
/// Contract of all layers: activations' gradients are overwritten, parameters' gradients are added to; zero rows are legal;
/// no fence inside a layer (reductions over ranks apart).
template <class T>
struct Step {
  Exec exec;
  Arena& arena;
  Mode mode = Mode::train;
  RandomKey key;
  const Comm& comm;
  std::int64_t index = 0;        ///< of the optimiser step, from 0; for terms that are switched on slowly
  std::int64_t phase = 0;        ///< of training, from 0
  std::int64_t epoch = 0;        ///< epochs trained before, over all phases
  std::int64_t phase_epoch = 0;  ///< of this phase
  bool training() const { return mode == Mode::train; }
};

}  // namespace gnn_hpc
