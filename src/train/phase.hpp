// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/options.hpp"
#include "train/options.hpp"

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace gnn_hpc {

/// The weight of a part of the loss over the epochs of a phase: constant, or a linear ramp.
struct LossWeight {
  double first = 1.0, last = 1.0;
  int ramp_epochs = 0;  ///< 0: `last` from the beginning
  /// @param epoch of the phase, from 0
  double at(std::int64_t epoch) const;
};

/// An option of a phase that only some system knows.
struct PhaseFlag {
  std::string_view name;
  double value;  ///< by default; 0 and 1 of one that is true or false
  bool is_bool;  ///< otherwise a number that is not negative
  std::string_view doc;
};

/// What the blocks of `phases` may hold besides what all systems know.
struct PhaseVocabulary {
  std::span<const PhaseFlag> flags;
  std::span<const std::string_view> loss_parts;  ///< names in `loss_weights`
};

/// A stage of training with an optimiser, a schedule and a best checkpoint of its own. An input without `phases` has one, without a name.
struct Phase {
  std::string name;
  TrainOptions options;             ///< the block `train` with what the phase says otherwise
  std::vector<std::string> freeze;  ///< parts of names of parameters that stay as they are; "all": every one, without a backward pass
  std::string start_from = "last";  ///< last | best: which weights of the phase before it begins with
  std::map<std::string, LossWeight, std::less<>> loss_weights;  ///< of the parts that it names
  std::map<std::string, double, std::less<>> flags;             ///< every one of the vocabulary

  bool freezes_all() const;
  /// 0 for a name that the vocabulary lacks.
  double flag(std::string_view name) const;
  /// The weight of a part in an epoch of the phase; `otherwise` where the phase does not name it.
  double loss_weight(std::string_view part, std::int64_t epoch, double otherwise) const;
};

/// Reads the list `phases`; without one, or in a schema, one phase without a name. `train.epochs` becomes the sum of theirs.
std::vector<Phase> parse_phases(Config root, TrainOptions& train, const PhaseVocabulary& vocabulary);

/// One phase of these options, as an input without `phases` has it.
std::vector<Phase> one_phase(const TrainOptions& train, const PhaseVocabulary& vocabulary = {});

}  // namespace gnn_hpc
