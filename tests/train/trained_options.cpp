// SPDX-License-Identifier: Apache-2.0
#include "train/trained_options.hpp"

#include <gtest/gtest.h>

#include "base/error.hpp"
#include "base/options.hpp"
#include "models/systems.hpp"
#include "train/restart.hpp"

#include <set>

namespace gnn_hpc {
namespace {

CheckpointInfo trained(const std::string& yaml) {
  CheckpointInfo out;
  out.system = "comformer";
  out.resolved_yaml = yaml;
  return out;
}

/// What a job with this input is told.
std::vector<std::string> told(const CheckpointInfo& info, const std::string& input, const std::string& defaults) {
  return trained_options("best.h5", info, given_options(input, "in.yaml", {}), [&](const std::vector<std::string>&) { return defaults; });
}

std::string refusal(const std::string& then, const std::string& input, const std::string& resolved) {
  try {
    told(trained(then), input, resolved);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Exit::usage);
    return error.what();
  }
  return "no error";
}

TEST(TrainedOptions, WhatTheInputLeavesOpenComesFromTheTraining) {
  const std::string then = "system: comformer\ndata: {path: a.csv, targets: [\"E, eV\"]}\ngraph: {max_neighbors: 6}\nmodel: {depth: 3}\n";
  const std::string now = "system: comformer\ndata: {path: b.csv, targets: [y]}\ngraph: {max_neighbors: 25}\nmodel: {depth: 3}\n";
  const auto overrides = told(trained(then), "system: comformer\ndata: {path: b.csv}\n", now);
  EXPECT_EQ(overrides, (std::vector<std::string>{"data.targets=[\"E, eV\"]", "graph.max_neighbors=6", "model.depth=3"}));
}

TEST(TrainedOptions, WhatTheTrainingLeftToItsDataIsWhatItFoundThere) {
  CheckpointInfo info = trained("data: {targets: [], notation: auto}\n");
  info.data_state.texts = {{"targets", {"a: x", "b"}}, {"notation", {"smiles"}}};
  const std::vector<std::string> found{"data.notation=smiles", "data.targets=[\"a: x\", b]"};
  const std::string open = "data: {targets: [], notation: auto}\n", same = "data: {targets: [\"a: x\", b], notation: smiles}\n",
                    other = "data: {targets: [b, \"a: x\"], notation: polymer}\n";
  EXPECT_EQ(told(info, "", open), found);
  EXPECT_EQ(told(info, open, open), found);
  EXPECT_EQ(told(info, same, same).size(), 0U);
  info.resolved_yaml = same;
  EXPECT_EQ(told(info, open, open), found) << "an input that leaves them to the data says nothing else";
  try {
    told(info, other, other);
    FAIL();
  } catch (const Error& error) {
    const std::string message = error.what();
    EXPECT_NE(message.find("data.targets: trained with [\"a: x\", b], the input says [b, \"a: x\"]"), std::string::npos) << message;
    EXPECT_NE(message.find("data.notation: trained with smiles, the input says polymer"), std::string::npos) << message;
  }
}

TEST(TrainedOptions, ADifferingValueIsRefusedWithBothValuesOfAllKeys) {
  const std::string then = "system: comformer\ngraph: {max_neighbors: 6, use_lattice: true}\ntrain: {epochs: 2}\ndata: {targets: [a, b]}\n";
  const std::string now = "system: comformer\ngraph: {max_neighbors: 12, use_lattice: true}\ntrain: {epochs: 9}\ndata: {targets: [b, a]}\n";
  const std::string message = refusal(then, now, now);
  EXPECT_NE(message.find("graph.max_neighbors: trained with 6, the input says 12"), std::string::npos) << message;
  EXPECT_NE(message.find("data.targets: trained with [a, b], the input says [b, a]"), std::string::npos) << message;
  EXPECT_EQ(message.find("use_lattice"), std::string::npos) << message;
  EXPECT_EQ(message.find("epochs"), std::string::npos) << message;
}

TEST(TrainedOptions, AnotherSystemIsRefusedBeforeAnyKey) {
  EXPECT_NE(refusal("system: comformer\n", "system: hgnn_moe\n", "").find("a checkpoint of system comformer, the input says system: hgnn_moe"),
            std::string::npos);
}

TEST(TrainedOptions, GivenAreTheKeysOfTheFileAndOfOverrides) {
  const auto given = given_options("model:\n  depth: 3\n", "in.yaml", {"graph.cutoff=5", "data={path: x, targets: [y]}", "bad", "k=[1"});
  EXPECT_EQ(given, (std::map<std::string, std::string>{{"model.depth", "3"}, {"graph.cutoff", "5"}, {"data.path", "x"}, {"data.targets", "[y]"}}));
}

/// Options of `data` that say where records stand or how they are divided. A new option shapes the model until it stands here.
TEST(TrainedOptions, EveryOptionOfModelGraphAndDataShapesTheModelUnlessItIsKnownNotTo) {
  const std::set<std::string> shaping_data{"targets",     "descriptors", "notation", "task", "classes", "classification", "classification_threshold",
                                           "non_periodic"};
  std::size_t seen = 0;
  for (const std::string& system : system_names()) {
    Config schema = Config::for_schema();
    make_task<float>(system, schema, 0);
    for (const auto& [key, value] : flat_options(schema.schema_text(), system)) {
      const std::string block = key.substr(0, key.find('.')), rest = key.substr(key.find('.') + 1);
      const bool expected = block != "data" || shaping_data.contains(rest);
      EXPECT_EQ(shapes_the_model(key), expected) << system << ": " << key;
      EXPECT_EQ(changes_the_run(key), expected) << system << ": " << key;
      seen += block == "data" && expected;
    }
  }
  EXPECT_EQ(seen, shaping_data.size() + 7);  // `targets` of four systems, `task` and `classes` of three
  for (const char* key : {"run.dir", "train.batch_size", "log.level", "mpi.gpu_aware"}) EXPECT_FALSE(shapes_the_model(key)) << key;
}

}  // namespace
}  // namespace gnn_hpc
