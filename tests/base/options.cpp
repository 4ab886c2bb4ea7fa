// SPDX-License-Identifier: Apache-2.0
#include "base/options.hpp"

#include "base/error.hpp"
#include "base/yaml_tree.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <functional>

#include <unistd.h>

namespace gnn_hpc {
namespace {

/// A small input of the kind the program reads.
struct Sample {
  std::string dir = "runs/x", schedule = "one_cycle";
  double learning_rate = 1e-3, test_fraction = 0.1;
  int epochs = 10, batch_size = 64;
  std::int64_t seed = 1;
  bool shuffle = true;
  std::vector<std::string> targets{"energy"};
  std::vector<double> milestones;
  std::vector<std::int64_t> limits{1, 2};

  static Sample parse(Config root) {
    Sample s;
    Config run = root.block("run", "where results go");
    run.text("dir", s.dir, "folder of the run");
    run.number("seed", s.seed, non_negative, "seed of all random numbers");
    run.done();
    Config train = root.block("train", "training");
    train.choice("schedule", s.schedule, {"one_cycle", "cosine", "constant"}, "learning-rate schedule");
    train.number("learning_rate", s.learning_rate, positive, "peak rate");
    train.number("epochs", s.epochs, at_least_one, "passes over the training set");
    train.number("batch_size", s.batch_size, at_least_one, "graphs per step over all ranks");
    train.flag("shuffle", s.shuffle, "new order every epoch");
    train.list("milestones", s.milestones, positive, "epochs");
    train.list("limits", s.limits, any_number, "whole numbers");
    train.done();
    Config data = root.block("data", "input");
    data.list("targets", s.targets, "names of the values to learn");
    data.number("test_fraction", s.test_fraction, unit_interval, "share");
    data.done();
    root.done();
    return s;
  }
};

Sample read(const std::string& text, const std::vector<std::string>& overrides = {}) {
  Config config = Config::from_text(text, "in.yaml", overrides);
  Sample s = Sample::parse(config);
  config.finish();
  return s;
}

/// The message and code of the Error that `f` throws.
std::pair<std::string, Exit> error_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& e) {
    return {e.what(), e.code()};
  }
  return {"no error", Exit::ok};
}
std::string message_of(const std::string& text, const std::vector<std::string>& overrides = {}) {
  const auto [message, code] = error_of([&] { read(text, overrides); });
  EXPECT_EQ(code, Exit::usage) << message;
  return message;
}

TEST(Options, MissingKeysKeepDefaults) {
  for (const char* text : {"", "\n", "# only a comment\n", "train:\n", "---\n", "train: {}\n"}) {
    const Sample s = read(text);
    EXPECT_EQ(s.epochs, 10) << text;
    EXPECT_EQ(s.dir, "runs/x");
  }
}

TEST(Options, ReadsEveryType) {
  const Sample s = read(
      "run:\n  dir: a b/c\n  seed: 9007199254740993\n"
      "train:\n  schedule: cosine\n  learning_rate: 3e-4\n  epochs: +5\n  shuffle: False\n  milestones: [1, 2.5]\n  limits: -3\n"
      "data:\n  targets: gap\n  test_fraction: 1\n");
  EXPECT_EQ(s.dir, "a b/c");
  EXPECT_EQ(s.seed, 9007199254740993);
  EXPECT_EQ(s.schedule, "cosine");
  EXPECT_EQ(s.learning_rate, 3e-4);
  EXPECT_EQ(s.epochs, 5);
  EXPECT_FALSE(s.shuffle);
  EXPECT_EQ(s.milestones, (std::vector<double>{1, 2.5}));
  EXPECT_EQ(s.limits, std::vector<std::int64_t>{-3});
  EXPECT_EQ(s.targets, std::vector<std::string>{"gap"});
  EXPECT_EQ(s.test_fraction, 1.0);
}

TEST(Options, NumbersAreStrict) {
  const auto rate = [](const std::string& v) { return message_of("train:\n  learning_rate: " + v + "\n"); };
  const std::string prefix = "in.yaml:2: train.learning_rate: found ";
  EXPECT_EQ(rate("abc"), prefix + "'abc', allowed: a number > 0");
  EXPECT_EQ(rate("0"), prefix + "'0', allowed: a number > 0");
  EXPECT_EQ(rate("-1e-3"), prefix + "'-1e-3', allowed: a number > 0");
  EXPECT_EQ(rate("1e-3x"), prefix + "'1e-3x', allowed: a number > 0");
  EXPECT_EQ(rate("1,5"), prefix + "'1,5', allowed: a number > 0");
  EXPECT_EQ(rate("0x10"), prefix + "'0x10', allowed: a number > 0");
  EXPECT_EQ(rate("nan"), prefix + "'nan', allowed: a number > 0");
  EXPECT_EQ(rate(".inf"), prefix + "'.inf', allowed: a number > 0");
  EXPECT_EQ(rate("inf"), prefix + "'inf', allowed: a number > 0");
  EXPECT_EQ(rate("1e400"), prefix + "'1e400', allowed: a number > 0 (out of the range of double precision)");
  EXPECT_EQ(rate("'1e-3'"), prefix + "the text '1e-3', allowed: a number > 0 (remove the quotes)");
  EXPECT_EQ(rate("[1]"), prefix + "a list of 1, allowed: a number > 0");
  EXPECT_EQ(rate("{a: 1}"), prefix + "a block of keys, allowed: a number > 0");
  EXPECT_EQ(rate(""), prefix + "nothing, allowed: a number > 0");
  EXPECT_EQ(rate("+"), prefix + "'+', allowed: a number > 0");
  EXPECT_EQ(rate("+-1"), prefix + "'+-1', allowed: a number > 0");
  EXPECT_EQ(read("train: {learning_rate: +1.}").learning_rate, 1.0);
  EXPECT_EQ(read("train: {learning_rate: .5}").learning_rate, 0.5);
  EXPECT_EQ(read("train: {learning_rate: 1E-3}").learning_rate, 1e-3);
}

TEST(Options, IntegersAreStrict) {
  const auto epochs = [](const std::string& v) { return message_of("train: {epochs: " + v + "}\n"); };
  const std::string prefix = "in.yaml:1: train.epochs: found ";
  EXPECT_EQ(epochs("1e3"), prefix + "'1e3', allowed: an integer >= 1 (write 1000)");
  EXPECT_EQ(epochs("10.0"), prefix + "'10.0', allowed: an integer >= 1 (write 10)");
  EXPECT_EQ(epochs("1.5"), prefix + "'1.5', allowed: an integer >= 1");
  EXPECT_EQ(epochs("3000000000"), prefix + "'3000000000', allowed: an integer >= 1 (the largest is 2147483647)");
  EXPECT_EQ(epochs("99999999999999999999"), prefix + "'99999999999999999999', allowed: an integer >= 1 (the largest is 2147483647)");
  EXPECT_EQ(epochs("true"), prefix + "'true', allowed: an integer >= 1");
}

TEST(Options, FlagsAreTrueOrFalse) {
  for (const char* word : {"yes", "no", "on", "off", "1", "0", "y", "TrUe"}) {
    EXPECT_EQ(message_of(std::string("train: {shuffle: ") + word + "}"),
              std::string("in.yaml:1: train.shuffle: found '") + word + "', allowed: true or false");
  }
  EXPECT_EQ(message_of("train: {shuffle: 'true'}"), "in.yaml:1: train.shuffle: found the text 'true', allowed: true or false (remove the quotes)");
}

TEST(Options, ChoicesSuggest) {
  EXPECT_EQ(message_of("train: {schedule: cosin}"),
            "in.yaml:1: train.schedule: found 'cosin', allowed: one_cycle, cosine, constant (did you mean cosine?)");
  EXPECT_EQ(message_of("train: {schedule: step}"), "in.yaml:1: train.schedule: found 'step', allowed: one_cycle, cosine, constant");
}

TEST(Options, ListsNameTheItem) {
  EXPECT_EQ(message_of("train:\n  milestones:\n    - 1\n    - -2\n    - x\n"),
            "in.yaml:4: train.milestones: found '-2', allowed: numbers > 0\n"
            "in.yaml:5: train.milestones: found 'x', allowed: numbers > 0");
  EXPECT_EQ(message_of("data: {targets: [[a]]}"), "in.yaml:1: data.targets: found a list of 1, allowed: text or a list of texts");
  EXPECT_TRUE(read("data: {targets: []}").targets.empty());
}

TEST(Options, UnknownKeysNameTheNearest) {
  EXPECT_EQ(message_of("train:\n  learning_rte: 1\n"), "in.yaml:2: train.learning_rte: unknown key (did you mean learning_rate?)");
  EXPECT_EQ(message_of("run:\n  batch_sise: 1\n"), "in.yaml:2: run.batch_sise: unknown key (did you mean train.batch_size?)");
  EXPECT_EQ(message_of("epochs: 3\n"), "in.yaml:1: epochs: unknown key (did you mean train.epochs?)");
  EXPECT_EQ(message_of("trian:\n  epochs: 3\n"), "in.yaml:1: trian: unknown key (did you mean train?)");
  EXPECT_EQ(message_of("train.epochs: 3\n"),
            "in.yaml:1: train.epochs: unknown key (dots are for the command line; in the file write the key inside its block)");
  EXPECT_EQ(message_of("run: {colour: blue}\n"), "in.yaml:1: run.colour: unknown key (known here: dir, seed)");
}

TEST(Options, AllProblemsAtOnceInFileOrder) {
  EXPECT_EQ(message_of("data:\n  test_fraction: 2\ntrain:\n  epochs: 0\n  lerning_rate: 1\n  epochs: 5\nrun: 7\n", {"run.sed=1", "x"}),
            "in.yaml:2: data.test_fraction: found '2', allowed: a number in [0, 1]\n"
            "in.yaml:4: train.epochs: found '0', allowed: an integer >= 1\n"
            "in.yaml:5: train.lerning_rate: unknown key (did you mean learning_rate?)\n"
            "in.yaml:6: train.epochs: key given twice (first in line 4); remove one\n"
            "in.yaml:7: run: found '7', allowed: a block of keys\n"
            "command line: run.sed: run is '7', not a block\n"
            "command line: 'x' is no override; write block.key=value");
}

/// Suggestions cost a comparison with every known key, and a search of each among the others costs their square: a file of another program
/// with 60,000 keys took 23 s. Most of what is left is the YAML parser's.
TEST(Options, ManyUnknownKeysAreReportedInLinearTimeAndCounted) {
  std::string text = "train:\n";
  for (int k = 0; k < 60000; ++k) text += "  learning_rate_of_layer_" + std::to_string(k) + ": 1\n";
  const std::clock_t begin = std::clock();  // of the processor, not of the wall: other work does not count
  const std::string message = message_of(text);
  EXPECT_LT(static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC, 8.0);
  EXPECT_EQ(message.substr(0, message.find(": unknown key")), "in.yaml:2: train.learning_rate_of_layer_0");
  EXPECT_EQ(std::count(message.begin(), message.end(), '\n'), 50);  // 50 problems and the rest
  EXPECT_TRUE(message.ends_with("in.yaml: ... and 59,950 more problems")) << message.substr(message.size() - 200);
}

TEST(Options, EndlessKeysAreCutInMessages) {
  const std::string message = message_of("train:\n  ? " + std::string(1000000, 'k') + "\n  : 1\n");
  EXPECT_LT(message.size(), 2000U);
  EXPECT_NE(message.find("unknown key"), std::string::npos) << message.substr(0, 300);
}

TEST(Options, OverridesFaceTheSameChecks) {
  const Sample s = read("train:\n  epochs: 3\n", {"train.epochs=7", "run.dir=out: x=y #1", "data.targets=[a, b]", "train.milestones=2",
                                                  "train.shuffle=false", "train.epochs=8"});
  EXPECT_EQ(s.epochs, 8) << "the last one wins";
  EXPECT_EQ(s.dir, "out: x=y #1") << "the text as given";
  EXPECT_EQ(s.targets, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(s.milestones, std::vector<double>{2});
  EXPECT_FALSE(s.shuffle);
  EXPECT_EQ(message_of("", {"train.epochs=0"}), "command line: train.epochs: found '0', allowed: an integer >= 1");
  EXPECT_EQ(message_of("", {"train.epochs="}), "command line: train.epochs: found '', allowed: an integer >= 1");
  EXPECT_EQ(message_of("", {"train.learning_rte=1"}), "command line: train.learning_rte: unknown key (did you mean learning_rate?)");
  EXPECT_EQ(message_of("", {"epochs=1"}), "command line: epochs: unknown key (did you mean train.epochs?)");
  EXPECT_EQ(message_of("", {"=1"}), "command line: '=1' is no override; write block.key=value");
  EXPECT_EQ(message_of("", {"train..epochs=1"}), "command line: 'train..epochs=1': empty part in the key; write block.key=value");
  EXPECT_EQ(message_of("train:\n  epochs: 3\n", {"train.epochs.x=1"}), "command line: train.epochs.x: train.epochs is '3', not a block");
  EXPECT_EQ(message_of("", {"data.targets=[a"}).substr(0, 27), "command line: data.targets:");
  EXPECT_EQ(read("", {"train={epochs: 4}"}).epochs, 4);
  EXPECT_EQ(read("", {"run.dir="}).dir, "");
}

TEST(Options, TextThatIsNoYamlNamesTheLine) {
  EXPECT_EQ(message_of("train:\n\tepochs: 3\n"), "in.yaml:2: a tab in the indentation; YAML allows only spaces there");
  EXPECT_EQ(message_of(std::string("\xFF\xFEt\0r\0", 6)), "in.yaml:1: this is UTF-16 text; save the file as UTF-8");
  EXPECT_EQ(message_of("run:\n  dir: \xE9t\xE9\n"), "in.yaml:2: bytes that are no UTF-8; save the file as UTF-8");
  EXPECT_EQ(message_of(std::string("run:\n  dir: a\0b\n", 16)), "in.yaml:2: a zero byte: this is no text file");
  EXPECT_EQ(message_of("a: 1\rb: 2\r"), "in.yaml:1: carriage return inside a line; save the file with LF or CRLF line ends");
  EXPECT_EQ(message_of("- 1\n- 2\n"), "in.yaml:1: found a list of 2, expected `key: value` lines");
  EXPECT_EQ(message_of("hello\n"), "in.yaml:1: found 'hello', expected `key: value` lines");
  EXPECT_EQ(message_of("run: {dir: a}\n---\nrun: {dir: b}\n"), "in.yaml:3: a second YAML document; one per file");
  EXPECT_EQ(message_of("train:\n  epochs: [1, 2\n").substr(0, 10), "in.yaml:3:");
  EXPECT_EQ(message_of("train:\n  epochs: 3\n bad: 1\n").substr(0, 10), "in.yaml:3:");
  EXPECT_EQ(message_of("? [a]\n: 1\n"), "in.yaml:1: a key must be a word");
  EXPECT_EQ(message_of("a: &x {epochs: 3}\ntrain:\n  <<: *x\n").substr(0, 16), "in.yaml:1: a: un");
}

TEST(Options, CrlfAndByteOrderMarkAreAccepted) {
  const Sample s = read("\xEF\xBB\xBFtrain:\r\n  epochs: 4\r\n  schedule: cosine\r\n");
  EXPECT_EQ(s.epochs, 4);
  EXPECT_EQ(s.schedule, "cosine");
  EXPECT_EQ(read("train:\n  epochs: 4\t# tab before a comment\n\t\n").epochs, 4);
}

TEST(Options, HostileTextEnds) {
  std::string bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 9; ++i) {
    const std::string p = "*a" + std::to_string(i - 1);
    bomb += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + p + ", " + p + ", " + p + ", " + p + ", " + p + ", " + p + ", " + p + ", " +
            p + ", " + p + ", " + p + "]\n";
  }
  EXPECT_NE(message_of(bomb).find("more than 100000 values"), std::string::npos);
  EXPECT_FALSE(message_of("a: " + std::string(80, '[') + std::string(80, ']')).empty());
  EXPECT_FALSE(message_of("a: " + std::string(100000, '[')).empty());
  EXPECT_FALSE(message_of("a: &x [*x]\n").empty());
}

TEST(Options, MissingFileIsADataError) {
  const auto [message, code] = error_of([] { Config::from_file("no/such/input.yaml"); });
  EXPECT_EQ(code, Exit::data);
  EXPECT_EQ(message, "cannot read 'no/such/input.yaml': No such file or directory; relative paths start at the working directory");
  const auto [folder, folder_code] = error_of([] { Config::from_file("/"); });
  EXPECT_EQ(folder_code, Exit::data);
  EXPECT_EQ(folder, "cannot read '/': it is a folder; relative paths start at the working directory");
}

TEST(Options, PathsStartAtTheWorkingDirectoryOrTheInputFile) {
  namespace fs = std::filesystem;
  const fs::path folder = fs::temp_directory_path() / ("gnn_hpc_options_" + std::to_string(getpid()));
  fs::create_directories(folder / "inputs/data");
  std::ofstream(folder / "inputs/data/a.csv") << "x";
  std::ofstream(folder / "inputs/in.yaml") << "one: data/a.csv\ntwo: [data/a.csv, data/absent.csv, /]\nthree: /absent\n";
  Config config = Config::from_file((folder / "inputs/in.yaml").string());
  std::string one, three;
  std::vector<std::string> two;
  config.path("one", one, "");
  config.paths("two", two, "");
  config.path("three", three, "");
  config.done();
  config.finish();
  EXPECT_EQ(one, (folder / "inputs/data/a.csv").string());
  EXPECT_EQ(two, (std::vector<std::string>{one, "data/absent.csv", "/"}));
  EXPECT_EQ(three, "/absent");
  EXPECT_NE(config.resolved().find("one: " + one + "\n"), std::string::npos) << config.resolved();
  fs::remove_all(folder);
}

TEST(Options, ProblemsOfTheCallerNameTheLine) {
  Config config = Config::from_text("train:\n  epochs: 3\n", "in.yaml");
  Config train = config.block("train", "");
  train.problem("epochs", "must divide 4");
  train.problem("batch_size", "needed with epochs");
  config.problem("data", "missing");
  const auto [message, code] = error_of([&] { config.finish(); });
  EXPECT_EQ(message, "in.yaml: data: missing\nin.yaml:1: train.batch_size: needed with epochs\nin.yaml:2: train.epochs: must divide 4");
}

TEST(Options, ResolvedTextReadsBackAsTheSame) {
  Config config = Config::from_text("run: {dir: 'a: \"b\" #c'}\ntrain: {learning_rate: 0.1, milestones: [1e-7, 2]}\n", "in.yaml",
                                    {"data.targets=['1', 'yes', x y, '']"});
  Sample::parse(config);
  config.finish();
  const std::string resolved = config.resolved();
  EXPECT_EQ(resolved,
            "run:\n  dir: \"a: \\\"b\\\" #c\"\n  seed: 1\n"
            "train:\n  schedule: one_cycle\n  learning_rate: 0.1\n  epochs: 10\n  batch_size: 64\n  shuffle: true\n"
            "  milestones: [1e-07, 2]\n  limits: [1, 2]\n"
            "data:\n  targets: [\"1\", \"yes\", x y, \"\"]\n  test_fraction: 0.1\n");
  Config again = Config::from_text(resolved, "resolved.yaml");
  const Sample s = Sample::parse(again);
  again.finish();
  EXPECT_EQ(again.resolved(), resolved);
  EXPECT_EQ(s.dir, "a: \"b\" #c");
  EXPECT_EQ(s.targets, (std::vector<std::string>{"1", "yes", "x y", ""}));
}

TEST(Options, SchemaIsAnInputFileWithTheDefaults) {
  Config schema = Config::for_schema();
  EXPECT_TRUE(schema.is_schema());
  Sample::parse(schema);
  schema.problem("run", "ignored");
  schema.finish();
  const std::string text = schema.schema_text();
  EXPECT_NE(text.find("  learning_rate: 0.001"), std::string::npos) << text;
  EXPECT_NE(text.find("# number > 0; peak rate"), std::string::npos) << text;
  EXPECT_NE(text.find("# one_cycle | cosine | constant; learning-rate schedule"), std::string::npos) << text;
  Config config = Config::from_text(text, "schema.yaml");
  Sample::parse(config);
  config.finish();
}

TEST(Options, CopiesShareTheDocument) {
  Config config = Config::from_text("train:\n  epochs: 3\n  extra: 2\n", "in.yaml");
  Config first = config.block("train", "");
  int epochs = 0, extra = 0;
  first.number("epochs", epochs, at_least_one, "");
  first.done();
  Config second = config.block("train", "");  // another module asks for its own keys of the same block
  second.number("extra", extra, at_least_one, "");
  config.done();
  EXPECT_NO_THROW(config.finish());
  EXPECT_EQ(extra, 2);
}

TEST(Options, TreesKeepUnknownKeys) {
  Config config = Config::from_text("sweep:\n  train.seed: [1, 2]\n", "in.yaml");
  const YamlTree* tree = config.tree("sweep", "keys -> values");
  config.done();
  config.finish();
  ASSERT_NE(tree, nullptr);
  ASSERT_NE(tree->find("train.seed"), nullptr);
  EXPECT_EQ(tree->find("train.seed")->children.size(), 2U);
  EXPECT_EQ(config.resolved(), "sweep: {train.seed: [1, 2]}\n");
  EXPECT_EQ(config.tree("absent", ""), nullptr);
}

TEST(Options, RangesDescribeThemselves) {
  EXPECT_EQ(positive.describe(), "> 0");
  EXPECT_EQ(at_least_one.describe(), ">= 1");
  EXPECT_EQ(below_one.describe(), "in [0, 1)");
  EXPECT_EQ(any_number.describe(), "");
  EXPECT_EQ((Range{-kInfinity, 3.0, false, false}.describe()), "<= 3");
}

}  // namespace
}  // namespace gnn_hpc
