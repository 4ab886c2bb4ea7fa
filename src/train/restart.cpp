// SPDX-License-Identifier: Apache-2.0
#include "train/restart.hpp"

#include "base/error.hpp"
#include "base/text.hpp"
#include "train/trained_options.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <string_view>

namespace gnn_hpc {

namespace {

template <class Value>
std::string in_words(const std::vector<Value>& values) {
  if (values.size() > 8) return fmt::format("[{} values]", values.size());
  return fmt::format("[{}]", fmt::join(values, ", "));
}

/// One line for everything in `before` that is another in `after`, or none.
template <class Value>
void compare_states(const std::map<std::string, std::vector<Value>>& before, const std::map<std::string, std::vector<Value>>& after,
                    std::vector<std::string>& lines) {
  for (const auto& [key, values] : before) {
    const auto now = after.find(key);
    if (now == after.end())
      lines.push_back(fmt::format("data: {}: was {}, is absent", key, in_words(values)));
    else if (now->second != values)
      lines.push_back(fmt::format("data: {}: was {}, is {}", key, in_words(values), in_words(now->second)));
  }
}

}  // namespace

bool changes_the_run(const std::string& key) {
  static constexpr std::array<std::string_view, 9> kFreeTrainKeys{"early_stopping",      "max_bad_steps",    "train_metrics_every",
                                                                  "evaluate_batch_size", "checkpoint_every", "checkpoint_minutes",
                                                                  "final_weights",       "predictions",      "eval_every"};
  const auto dot = key.find('.');
  const std::string block = key.substr(0, dot);
  const std::string rest = dot == std::string::npos ? "" : key.substr(dot + 1);
  if (block == "train") return std::find(kFreeTrainKeys.begin(), kFreeTrainKeys.end(), rest) == kFreeTrainKeys.end();
  if (block == "phases") return true;
  if (block == "run") return rest == "seed" || rest == "precision";
  return shapes_the_model(key);
}

std::vector<std::string> changed_options(const std::string& old_yaml, const std::string& new_yaml) {
  const auto before = flat_options(old_yaml, "options of the checkpoint"), after = flat_options(new_yaml, "options of this run");
  std::vector<std::string> lines;
  for (const auto& [key, value] : before) {
    if (!changes_the_run(key)) continue;
    const auto now = after.find(key);
    if (now == after.end())
      lines.push_back(fmt::format("{}: was {}, is not set any more", key, value));
    else if (now->second != value)
      lines.push_back(fmt::format("{}: was {}, is {}", key, value, now->second));
  }
  for (const auto& [key, value] : after) {
    if (changes_the_run(key) && !before.contains(key)) lines.push_back(fmt::format("{}: was not set, is {}", key, value));
  }
  return lines;
}

std::vector<std::string> check_continuation(const std::string& path, const CheckpointInfo& old_run, const CheckpointInfo& new_run,
                                            bool allow_change) {
  if (old_run.system != new_run.system || old_run.precision != new_run.precision) {
    throw Error(Exit::usage, fmt::format("{}: made by {} in {}, this run is {} in {}; choose another run.dir or run.restart=never", path,
                                         old_run.system, old_run.precision, new_run.system, new_run.precision));
  }
  std::vector<std::string> lines = changed_options(old_run.resolved_yaml, new_run.resolved_yaml);
  if (old_run.split_digest != new_run.split_digest) {
    lines.push_back(fmt::format("split: the ids of the training, validation and test parts differ (digest was {}, is {})", old_run.split_digest,
                                new_run.split_digest));
  }
  compare_states(old_run.data_state.numbers, new_run.data_state.numbers, lines);
  compare_states(old_run.data_state.texts, new_run.data_state.texts, lines);
  if (!lines.empty() && !allow_change) {
    throw Error(Exit::usage, fmt::format("{} belongs to a run with other options:\n  {}\nset them back, choose another run.dir, start anew "
                                         "with run.restart=never, or continue all the same with run.restart_allow_change=true",
                                         path, fmt::join(lines, "\n  ")));
  }
  return lines;
}

}  // namespace gnn_hpc
