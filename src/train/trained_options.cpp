// SPDX-License-Identifier: Apache-2.0
#include "train/trained_options.hpp"

#include "base/error.hpp"
#include "base/yaml_tree.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <string_view>

namespace gnn_hpc {

namespace {

void flatten(const YamlTree& tree, const std::string& prefix, std::map<std::string, std::string>& out) {
  if (tree.kind == YamlTree::Kind::map) {
    for (std::size_t i = 0; i < tree.keys.size(); ++i) {
      flatten(tree.children[i], prefix.empty() ? tree.keys[i] : prefix + "." + tree.keys[i], out);
    }
    return;
  }
  out[prefix] = tree.flow();
}

/// Options of `data`, of any system, that say where records stand, how they are divided, or how graphs are built and kept.
constexpr std::array<std::string_view, 32> kFreeDataKeys{"path",
                                                         "format",
                                                         "index",
                                                         "smiles",
                                                         "id_column",
                                                         "cif_column",
                                                         "path_column",
                                                         "chain_column",
                                                         "ignore",
                                                         "train",
                                                         "validation",
                                                         "test",
                                                         "split",
                                                         "split_seed",
                                                         "replicate",
                                                         "folds",
                                                         "train_size",
                                                         "stratify",
                                                         "group_by",
                                                         "split_column",
                                                         "split_file",
                                                         "train_ratio",
                                                         "validation_ratio",
                                                         "test_ratio",
                                                         "shuffle",
                                                         "num_train_samples",
                                                         "num_eval_samples",
                                                         "cache_dir",
                                                         "max_bad_fraction",
                                                         "threads",
                                                         "mode",
                                                         "min_chars"};

/// What the input of the training left to its data (`[]`, `auto`), as it was found there: as much a part of the model as what was
/// named.
std::map<std::string, std::string> found_in_data(const CheckpointInfo& trained) {
  std::map<std::string, std::string> out;
  std::string list;
  for (const std::string& name : trained.data_state.text("targets")) list += (list.empty() ? "" : ", ") + yaml_scalar(name);
  if (!list.empty()) out["data.targets"] = "[" + list + "]";
  if (const auto& notation = trained.data_state.text("notation"); !notation.empty()) out["data.notation"] = notation.front();
  return out;
}

}  // namespace

std::map<std::string, std::string> flat_options(const std::string& yaml, const std::string& name) {
  std::vector<YamlProblem> problems;
  std::map<std::string, std::string> out;
  flatten(read_yaml(yaml, name, problems), "", out);
  return out;
}

std::map<std::string, std::string> given_options(const std::string& yaml, const std::string& name, const std::vector<std::string>& overrides) {
  std::map<std::string, std::string> out = flat_options(yaml, name);
  for (const std::string& text : overrides) {
    const std::size_t equals = text.find('=');
    if (equals == std::string::npos) continue;
    try {
      flatten(read_override(text.substr(equals + 1), text.substr(0, equals)), text.substr(0, equals), out);
    } catch (const Error&) {  // no YAML: Config reports it with all other mistakes
    }
  }
  return out;
}

bool shapes_the_model(const std::string& key) {
  const auto dot = key.find('.');
  const std::string block = key.substr(0, dot), rest = dot == std::string::npos ? "" : key.substr(dot + 1);
  if (block == "data") return std::find(kFreeDataKeys.begin(), kFreeDataKeys.end(), rest) == kFreeDataKeys.end();
  if (block == "graph") return rest.find("cache") == std::string::npos && rest.find("thread") == std::string::npos;
  return block == "model" || block == "task" || block == "system";
}

std::vector<std::string> trained_options(const std::string& checkpoint, const CheckpointInfo& trained,
                                         const std::map<std::string, std::string>& given, const ResolveOptions& resolve) {
  if (const auto system = given.find("system"); system != given.end() && system->second != trained.system) {  // the other keys are others, too
    throw Error(Exit::usage, fmt::format("{}: a checkpoint of system {}, the input says system: {}", checkpoint, trained.system, system->second));
  }
  const auto found = found_in_data(trained);
  const auto open = [&found](const std::string& key, const std::string& value) { return found.contains(key) && (value == "[]" || value == "auto"); };
  std::map<std::string, std::string> meant;
  for (const auto& [key, value] : flat_options(trained.resolved_yaml, "options of " + checkpoint)) {
    if (!shapes_the_model(key)) continue;
    meant[key] = open(key, value) ? found.at(key) : value;
  }
  std::vector<std::string> overrides, differing;
  for (const auto& [key, value] : meant) {
    if (!given.contains(key)) overrides.push_back(key + "=" + value);
  }
  const auto now = flat_options(resolve(overrides), "options of the input");
  for (const auto& [key, value] : meant) {
    const auto at = now.find(key);
    if (!given.contains(key) || at == now.end() || at->second == value) continue;
    if (open(key, at->second))
      overrides.push_back(key + "=" + value);  // left to data, which were those of the training
    else
      differing.push_back(fmt::format("{}: trained with {}, the input says {}", key, value, at->second));
  }
  if (differing.empty()) return overrides;
  throw Error(Exit::usage,
              fmt::format("{} is of a model that was trained with other options:\n  {}\nremove them from the input or set them back: what shapes a "
                          "model, its inputs or its targets comes from the checkpoint; for another model, train it in another run.dir",
                          checkpoint, fmt::join(differing, "\n  ")));
}

}  // namespace gnn_hpc
