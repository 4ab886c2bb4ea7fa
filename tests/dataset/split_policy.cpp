// SPDX-License-Identifier: Apache-2.0
#include "dataset/split_policy.hpp"

#include "base/error.hpp"
#include "graph/split.hpp"
#include "support/paths.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <set>

namespace gnn_hpc {
namespace {

using Numbers = std::vector<std::int64_t>;

std::vector<NamedSample> named(int n) {
  std::vector<NamedSample> out;
  for (int i = 0; i < n; ++i) out.push_back({fmt::format("m{}", i), i + (i >= 3 ? 1 : 0)});  // record 3 could not be used
  return out;
}

std::string message_of(const auto& work) {
  try {
    work();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Exit::data);
    return error.what();
  }
  return "no error";
}

TEST(RandomParts, FollowTheNamedProgram) {
  SplitOptions o;
  o.split_seed = 123;
  const auto order = python_shuffled(38, 123);
  const Splits ratios = random_parts(o, 38, {}, {}, true, true);
  EXPECT_EQ(ratios.train, Numbers(order.begin(), order.begin() + 30));
  EXPECT_EQ(ratios.test, Numbers(order.begin() + 33, order.end()));
  o.split = "holdout";
  o.split_seed = 42;
  o.replicate = 3;
  EXPECT_EQ(random_parts(o, 40, {}, {}, true, true).test, holdout_parts(40, 45).test);
  EXPECT_EQ(random_parts(o, 90, {}, {}, true, false).validation.size(), 10U) << "a ninth where a file tests";
  o.train_ratio = 0.5;
  o.validation_ratio = 0.25;
  o.test_ratio = 0.25;
  const Splits quarters = random_parts(o, 40, {}, {}, true, true);
  EXPECT_EQ(quarters.train.size(), 20U);
  EXPECT_EQ(quarters.test.size(), 10U);
  o.split = "kfold";
  o.replicate = 5;
  EXPECT_NE(message_of([&] { random_parts(o, 40, {}, {}, true, true); }).find("folds"), std::string::npos);
}

TEST(RandomParts, GroupsStayTogether) {
  Numbers groups;
  for (int i = 0; i < 300; ++i) groups.push_back(i * i % 60);
  std::vector<std::string> keys;
  for (const auto g : groups) keys.push_back(fmt::format("g{}", g));
  groups = groups_of(keys);
  for (const char* policy : {"ratios", "holdout", "kfold"}) {
    SCOPED_TRACE(policy);
    SplitOptions o;
    o.split = policy;
    const Splits parts = random_parts(o, 300, {}, groups, true, true);
    std::set<std::int64_t> all, train, validation, test;
    for (const auto& [part, seen] : {std::pair{&parts.train, &train}, {&parts.validation, &validation}, {&parts.test, &test}}) {
      EXPECT_FALSE(part->empty());
      for (const auto s : *part) {
        EXPECT_TRUE(all.insert(s).second);
        seen->insert(groups[static_cast<std::size_t>(s)]);
      }
    }
    EXPECT_EQ(all.size(), 300U);
    for (const auto g : validation) EXPECT_FALSE(train.contains(g) || test.contains(g));
    for (const auto g : test) EXPECT_FALSE(train.contains(g));
  }
}

TEST(Groups, EqualKeysAreOneGroupAndEmptyOnesNone) {
  EXPECT_EQ(groups_of(std::vector<std::string>{"b", "a", "", "b", " ", "a"}), (Numbers{0, 1, 2, 0, 3, 1}));
  EXPECT_EQ(groups_of(std::vector<std::uint64_t>{7, 7, 0, 9}), (Numbers{0, 0, 1, 2}));
}

TEST(PartsOfWords, TakeTheUsualWords) {
  const auto samples = named(6);
  const Splits s = parts_of_words(std::vector<std::string>{"train", "Val", " test ", "", "validation", "TRAINING"}, samples, "split");
  EXPECT_EQ(s.train, (Numbers{0, 5}));
  EXPECT_EQ(s.validation, (Numbers{1, 4}));
  EXPECT_EQ(s.test, Numbers{2});
  const std::string text = message_of([&] {
    parts_of_words(std::vector<std::string>{"train", "a", "test", "", "", "holdout"}, samples, "my split");
  });
  for (const char* part : {"row 2", "m1", "my split", "'a'", "train, validation"}) EXPECT_NE(text.find(part), std::string::npos) << text;
}

class PartFiles : public testing::Test {
 protected:
  std::string put(const std::string& name, const std::string& text) const {
    std::ofstream(folder / name) << text;
    return (folder / name).string();
  }
  Splits read(const std::string& text) const { return parts_of_files({put("parts.json", text)}, named(6), 7); }
  test::TemporaryFolder folder;
};

TEST_F(PartFiles, OfIdsAndOfNumbers) {
  const Splits ids = read(R"({"id_train": ["m5", "m0"], "id_val": ["m1"], "id_test": ["m4", "m3"]})");
  EXPECT_EQ(ids.train, (Numbers{5, 0})) << "in the order of the file";
  EXPECT_EQ(ids.validation, Numbers{1});
  EXPECT_EQ(ids.test, (Numbers{4, 3}));
  const Splits numbers = read(R"({"train": [0, 4], "validation": [1], "test": [6, 5]})");
  EXPECT_EQ(numbers.train, (Numbers{0, 3})) << "record 4 is sample 3";
  EXPECT_EQ(numbers.test, (Numbers{5, 4}));
  const Splits lines = parts_of_files({put("a", "0\n4\n\n"), put("b", "1\n"), put("c", "6\n5\n")}, named(6), 7);
  EXPECT_EQ(lines.train, numbers.train);
  EXPECT_EQ(lines.validation, numbers.validation);
  EXPECT_EQ(lines.test, numbers.test);
}

TEST_F(PartFiles, RowsSettleWhichOfSeveralIsMeant) {
  std::vector<NamedSample> samples{{"a", 0}, {"a", 1}, {"b", 2}};
  const std::string path =
      put("parts.json", R"({"id_train": ["a"], "row_train": [1], "id_val": ["b"], "row_val": [2], "id_test": ["a"], "row_test": [0]})");
  const Splits s = parts_of_files({path}, samples, 3);
  EXPECT_EQ(s.train, Numbers{1});
  EXPECT_EQ(s.test, Numbers{0});
  put("parts.json", R"({"train": ["a"], "val": ["b"], "test": []})");
  EXPECT_NE(message_of([&] { parts_of_files({path}, samples, 3); }).find("several records have the id 'a'"), std::string::npos);
}

TEST_F(PartFiles, MistakesAreNamed) {
  const std::pair<const char*, const char*> cases[] = {
      {"[1, 2]", "expected an object"},
      {"{\"train\": [1", "is no JSON"},
      {R"({"train": [0], "holdout": [1]})", "holdout"},
      {R"({"train": [0], "id_train": ["m1"]})", "named twice"},
      {R"({"train": [0, 0]})", "in two parts, or twice"},
      {R"({"train": [0], "test": ["m0"]})", "in two parts, or twice"},
      {R"({"train": [7]})", "the input has 7"},
      {R"({"train": [-1]})", "record -1"},
      {R"({"train": [0.5]})", "found 0.5"},
      {R"({"train": "m0"})", "expected a list"},
      {R"({"train": ["x", "y", "m0"]})", "2 of 3 records named"},
  };
  for (const auto& [text, part] : cases) {
    const std::string message = message_of([&, json = text] { read(json); });
    EXPECT_NE(message.find(part), std::string::npos) << text << ": " << message;
    EXPECT_NE(message.find("parts.json"), std::string::npos) << message;
  }
  EXPECT_NE(message_of([&] { parts_of_files({put("a", "0\nx\n"), put("b", ""), put("c", "")}, named(6), 7); }).find("a:2: 'x'"), std::string::npos);
  EXPECT_EQ(read(R"({"train": ["m0", "m1", "gone"], "val": ["m2"], "test": [3, "m4"]})").test, Numbers{4}) << "record 3 could not be used";
}

}  // namespace
}  // namespace gnn_hpc
