// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/options.hpp"
#include "train/options.hpp"
#include "train/part_bench.hpp"
#include "train/task.hpp"
#include "verify/check.hpp"

#include <nlohmann/json_fwd.hpp>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace gnn_hpc {

/// Builds a task from its blocks of the input file (`data`, `graph`, `model` ...); it reads and checks them, `root.finish()` is the
/// caller's. Weights are drawn from the seed.
template <class T>
using TaskFactory = std::unique_ptr<Task<T>> (*)(Config& root, std::uint64_t seed);

/// Times a part of a system's step alone; the result is what `gnn_hpc bench --what NAME` prints below its head.
/// Throws Error(Exit::usage) if the task as it is set up has no such part.
template <class T>
using PartBenchFunction = nlohmann::ordered_json (*)(Task<T>& task, const PartBenchRequest& request);

/// A part that `gnn_hpc bench --what NAME` times alone.
struct PartBench {
  std::string_view name, summary;
  PartBenchFunction<float> run_float;
  PartBenchFunction<double> run_double;
};

/// All that the program knows of a system: one row of the table in models/systems.cpp.
struct System {
  std::string_view name;     ///< as the key `system` of an input file has it
  std::string_view summary;  ///< one line, for `gnn_hpc info --systems`
  TaskFactory<float> make_float;
  TaskFactory<double> make_double;
  /// What the block `train` holds where the input says nothing.
  TrainOptions (*train_defaults)();
  /// Overrides of an input that name a file to predict (`predict --data FILE`); null: the system predicts nothing by sample.
  std::vector<std::string> (*prediction_input)(const std::string& path);
  /// True for a language model (`gnn_hpc generate`), whose tasks offer TextModel.
  bool continues_texts = false;
  std::span<const verify::GoldenCheck> golden_checks;
  std::span<const PartBench> part_benches;
  PhaseVocabulary phase_vocabulary{};  ///< what its phases may say
};

}  // namespace gnn_hpc
