// SPDX-License-Identifier: Apache-2.0
#include "base/foreign_keys.hpp"

#include "base/error.hpp"
#include "base/options.hpp"

#include <gtest/gtest.h>

namespace gnn_hpc {
namespace {

TEST(ForeignKeys, NamesOfOtherProgramsAreKnownHoweverTheyAreWritten) {
  for (const char* key : {"ensemble_size", "ensemble-size", "Ensembles", "data_weights_path", "weights", "n_early_stopping", "block_size"}) {
    EXPECT_NE(foreign_key_advice(key), "") << key;
  }
  for (const char* key : {"", " ", "epochs", "ensemble size", "weights_of_nothing", "batch_size"}) EXPECT_EQ(foreign_key_advice(key), "") << key;
}

TEST(ForeignKeys, TheMessageSaysWhatToDoInsteadOfTheNearestSpelling) {
  Config root = Config::from_text("train:\n  ensemble_size: 5\n  weight_decai: 1\nweights: w.csv\n", "in.yaml");
  Config train = root.block("train", "");
  double decay = 0.0;
  train.number("weight_decay", decay, non_negative, "");
  train.done();
  root.done();
  try {
    root.finish();
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Exit::usage);
    const std::string text = error.what();
    EXPECT_NE(text.find("in.yaml:2: train.ensemble_size: unknown key (there are no ensembles here"), std::string::npos) << text;
    EXPECT_NE(text.find("in.yaml:3: train.weight_decai: unknown key (did you mean weight_decay?)"), std::string::npos) << text;
    EXPECT_NE(text.find("in.yaml:4: weights: unknown key (samples, classes and targets have no weights here"), std::string::npos) << text;
  }
}

}  // namespace
}  // namespace gnn_hpc
