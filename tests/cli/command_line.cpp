// SPDX-License-Identifier: Apache-2.0
#include "cli/command_line.hpp"

#include <gtest/gtest.h>

namespace gnn_hpc {
namespace {

ParsedCommandLine parse(const std::vector<std::string>& words) {
  std::vector<const char*> argv{"gnn_hpc"};
  for (const std::string& word : words) argv.push_back(word.c_str());
  return parse_command_line(static_cast<int>(argv.size()), argv.data());
}
CommandLine good(const std::vector<std::string>& words) {
  const ParsedCommandLine p = parse(words);
  EXPECT_FALSE(p.exit) << p.exit->text;
  return p.line;
}
EarlyExit ended(const std::vector<std::string>& words) {
  const ParsedCommandLine p = parse(words);
  EXPECT_TRUE(p.exit);
  return p.exit.value_or(EarlyExit{-1, ""});
}

TEST(CommandLine, AnInputFileAloneTrains) {
  const CommandLine line = good({"in.yaml", "train.epochs=3", "run.dir=a b"});
  EXPECT_EQ(line.command, "train");
  EXPECT_EQ(line.input, "in.yaml");
  EXPECT_EQ(line.overrides, (std::vector<std::string>{"train.epochs=3", "run.dir=a b"}));
  EXPECT_FALSE(line.dry_run);
}

TEST(CommandLine, FlagsMayStandAnywhere) {
  for (const auto& words : std::vector<std::vector<std::string>>{{"--dry-run", "in.yaml", "a.b=1"},
                                                                 {"in.yaml", "--dry-run", "a.b=1"},
                                                                 {"in.yaml", "a.b=1", "--dry-run"},
                                                                 {"train", "in.yaml", "a.b=1", "--dry-run"},
                                                                 {"--dry-run", "train", "in.yaml", "a.b=1"}}) {
    const CommandLine line = good(words);
    EXPECT_EQ(line.command, "train");
    EXPECT_EQ(line.input, "in.yaml");
    EXPECT_EQ(line.overrides, std::vector<std::string>{"a.b=1"});
    EXPECT_TRUE(line.dry_run);
  }
}

TEST(CommandLine, EveryCommand) {
  EXPECT_EQ(good({"predict", "in.yaml", "--checkpoint", "c.h5", "--data", "x.cif", "--output", "p.csv"}).checkpoint, "c.h5");
  EXPECT_EQ(good({"build-graphs", "in.yaml", "graph.max_neighbors=12"}).command, "build-graphs");
  const CommandLine verify = good({"verify", "f.h5", "--precision", "float"});
  EXPECT_EQ(verify.input, "f.h5");
  EXPECT_EQ(verify.precision, "float");
  const CommandLine bench = good({"bench", "in.yaml", "--repeat", "7", "--warmup=0", "--batch", "32", "--what", "load"});
  EXPECT_EQ(bench.repeat, 7);
  EXPECT_EQ(bench.warmup, 0);
  EXPECT_EQ(bench.batch, 32);
  EXPECT_EQ(bench.what, "load");
  EXPECT_EQ(good({"sweep", "in.yaml", "--point", "3"}).point, 3);
  EXPECT_EQ(good({"sweep", "in.yaml"}).point, -1);
  EXPECT_EQ(good({"info"}).input, "");
  EXPECT_EQ(good({"info", "x.h5", "--full"}).input, "x.h5");
}

TEST(CommandLine, SchemaTakesASystemOrNone) {
  const CommandLine none = good({"info", "--schema"});
  EXPECT_TRUE(none.schema);
  EXPECT_EQ(none.system, "");
  const CommandLine one = good({"info", "--schema", "comformer"});
  EXPECT_TRUE(one.schema);
  EXPECT_EQ(one.system, "comformer");
  EXPECT_FALSE(good({"info"}).schema);
}

TEST(CommandLine, KokkosOptionsArePassedOn) {
  const CommandLine line = good({"in.yaml", "--kokkos-num-threads=2", "a.b=1", "--kokkos-print-configuration"});
  EXPECT_EQ(line.kokkos, (std::vector<std::string>{"--kokkos-num-threads=2", "--kokkos-print-configuration"}));
  EXPECT_EQ(line.overrides, std::vector<std::string>{"a.b=1"});
}

TEST(CommandLine, HelpAndVersionEndWithZero) {
  EXPECT_EQ(ended({"--help"}).code, 0);
  for (const char* command : {"train", "predict", "build-graphs", "verify", "bench", "sweep", "info"}) {
    const EarlyExit help = ended({command, "--help"});
    EXPECT_EQ(help.code, 0);
    EXPECT_NE(help.text.find(std::string("Usage: gnn_hpc ") + command), std::string::npos) << help.text;
    EXPECT_NE(help.text.find("Exit codes"), std::string::npos);
    EXPECT_NE(ended({"--help"}).text.find(command), std::string::npos);
  }
  EXPECT_EQ(ended({"--version"}).text.substr(0, 8), "gnn_hpc ");
  EXPECT_EQ(good({"--version", "--verbose"}).command, "version");
}

TEST(CommandLine, MistakesEndWithTwoAndSayWhatIsAllowed) {
  EXPECT_EQ(ended({}).code, 2);
  const EarlyExit misspelt = ended({"trian", "in.yaml"});
  EXPECT_EQ(misspelt.code, 2);
  EXPECT_NE(misspelt.text.find("did you mean train?"), std::string::npos) << misspelt.text;
  EXPECT_EQ(ended({"train"}).text, "gnn_hpc: INPUT is required; see gnn_hpc train --help\n");
  const EarlyExit what = ended({"bench", "in.yaml", "--what", "foo"});
  EXPECT_EQ(what.code, 2);
  EXPECT_NE(what.text.find("{step,graph,load,subnormals,coarsen,coupler,partitioner,components}"), std::string::npos) << what.text;
  EXPECT_EQ(ended({"bench", "in.yaml", "--repeat", "0"}).code, 2);
  EXPECT_EQ(ended({"bench", "in.yaml", "--repeat", "x"}).code, 2);
  EXPECT_EQ(ended({"in.yaml", "--no-such-flag"}).code, 2);
  EXPECT_EQ(ended({"--version", "x"}).code, 2);
}

TEST(CommandLine, AnOverrideInPlaceOfTheInputFileIsNamedAsThat) {
  const EarlyExit train = ended({"train", "data.path=x.csv", "train.epochs=3"});
  EXPECT_EQ(train.code, 2);
  EXPECT_EQ(train.text,
            "gnn_hpc: 'data.path=x.csv' stands where an input file must come first: gnn_hpc train INPUT.yaml data.path=x.csv ...; "
            "see gnn_hpc train --help\n");
  EXPECT_NE(ended({"data.path=/a/b.yaml"}).text.find("gnn_hpc train INPUT.yaml data.path=/a/b.yaml"), std::string::npos);
  EXPECT_NE(ended({"predict", "run.dir=x", "in.yaml"}).text.find("gnn_hpc predict in.yaml run.dir=x"), std::string::npos);
  EXPECT_NE(ended({"generate", "model.x=3"}).text.find("a run folder or checkpoint must come first"), std::string::npos);
  for (const char* command : {"build-graphs", "bench", "sweep", "replicates"}) {
    EXPECT_NE(ended({command, "run.dir=x"}).text.find("an input file must come first"), std::string::npos) << command;
  }
  EXPECT_EQ(good({"train", "lr=0.1.yaml", "train.epochs=3"}).input, "lr=0.1.yaml");  // a file's name may hold =
  EXPECT_EQ(good({"runs=3/in.yaml"}).input, "runs=3/in.yaml");
}

}  // namespace
}  // namespace gnn_hpc
