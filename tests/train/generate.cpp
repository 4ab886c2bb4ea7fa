// SPDX-License-Identifier: Apache-2.0
#include "train/generate.hpp"

#include "base/error.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace gnn_hpc {
namespace {

constexpr double kDropped = -std::numeric_limits<double>::infinity();

/// The token after t is most likely t + 1, by a margin of one.
class Counting final : public Decoder {
 public:
  int longest() const override { return 12; }
  int vocabulary() const override { return 8; }
  std::vector<double> append(std::span<const int> tokens) override {
    ids.insert(ids.end(), tokens.begin(), tokens.end());
    std::vector<double> out(8, 0.0);
    out[static_cast<std::size_t>((ids.back() + 1) % 8)] = 1.0;
    return out;
  }
  std::vector<int> ids;
};

GenerateOptions greedy(int tokens) {
  GenerateOptions o;
  o.sampling = {0.0, 0, 0.0};
  o.max_new_tokens = tokens;
  return o;
}

std::string failure(const std::vector<int>& prompt, const GenerateOptions& options) {
  Counting decoder;
  try {
    generate(decoder, prompt, options);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Exit::usage) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "no error";
  return {};
}

TEST(FilterLogits, TemperatureTopKAndNucleus) {
  const std::vector<double> z{1.0, 3.0, 3.0, 2.0, -1.0};
  EXPECT_EQ(filter_logits(z, {1.0, 0, 0.0}), z);
  EXPECT_EQ(filter_logits(z, {0.0, 0, 1.0}), z);
  EXPECT_EQ(filter_logits(z, {0.5, 0, 0.0}), (std::vector<double>{2.0, 6.0, 6.0, 4.0, -2.0}));
  EXPECT_EQ(filter_logits(z, {1.0, 3, 0.0}), (std::vector<double>{kDropped, 3.0, 3.0, 2.0, kDropped}));
  EXPECT_EQ(filter_logits(z, {1.0, 99, 0.0}), z);
  // The lowest index of equal logits stays.
  EXPECT_EQ(filter_logits(z, {1.0, 1, 0.0}), (std::vector<double>{kDropped, 3.0, kDropped, kDropped, kDropped}));
}

TEST(FilterLogits, NucleusKeepsTheTokenThatCrossesTheMass) {
  const std::vector<double> z{std::log(0.5), std::log(0.3), std::log(0.15), std::log(0.05)};
  EXPECT_EQ(filter_logits(z, {1.0, 0, 0.4}), (std::vector<double>{z[0], kDropped, kDropped, kDropped}));  // 0.5 before the second
  EXPECT_EQ(filter_logits(z, {1.0, 0, 0.6}), (std::vector<double>{z[0], z[1], kDropped, kDropped}));
  EXPECT_EQ(filter_logits(z, {1.0, 0, 0.9}), (std::vector<double>{z[0], z[1], z[2], kDropped}));
  EXPECT_EQ(filter_logits(z, {1.0, 0, 1e-9}), (std::vector<double>{z[0], kDropped, kDropped, kDropped}));  // the first always
  // After top_k the mass is that of the tokens kept: 0.625 and 0.375.
  EXPECT_EQ(filter_logits(z, {1.0, 2, 0.6}), (std::vector<double>{z[0], kDropped, kDropped, kDropped}));
}

TEST(ChooseToken, FollowsTheProbabilities) {
  const std::vector<double> z{std::log(0.2), std::log(0.5), std::log(0.3)};
  const Sampling all{1.0, 0, 0.0};
  EXPECT_EQ(choose_token(z, all, 0.0), 0);
  EXPECT_EQ(choose_token(z, all, 0.19), 0);
  EXPECT_EQ(choose_token(z, all, 0.21), 1);
  EXPECT_EQ(choose_token(z, all, 0.69), 1);
  EXPECT_EQ(choose_token(z, all, 0.71), 2);
  EXPECT_EQ(choose_token(z, all, 1.0 - 1e-16), 2);
  EXPECT_EQ(choose_token(z, {1.0, 1, 0.0}, 0.99), 1);
  EXPECT_EQ(choose_token(z, {0.0, 0, 0.0}, 0.99), 1);
  EXPECT_EQ(choose_token(std::vector<double>{1.0, 2.0, 2.0}, {0.0, 0, 0.0}, 0.0), 1);  // the lowest index on ties
  EXPECT_THROW(choose_token(std::vector<double>{0.0, std::nan("")}, all, 0.0), Error);
}

TEST(Generate, GreedyEndsWhereItShould) {
  Counting decoder;
  auto text = generate(decoder, std::vector<int>{3, 4}, greedy(3));
  EXPECT_EQ(text.ids, (std::vector<int>{3, 4, 5, 6, 7}));
  EXPECT_EQ(text.end, GenerateEnd::tokens);
  EXPECT_EQ(decoder.ids, (std::vector<int>{3, 4, 5, 6}));  // one token at a time, none twice
  Counting longer;
  text = generate(longer, std::vector<int>{0}, greedy(100));
  EXPECT_EQ(text.ids.size(), 12U);
  EXPECT_EQ(text.end, GenerateEnd::length);
  Counting ended;
  GenerateOptions options = greedy(100);
  options.eos = 6;
  text = generate(ended, std::vector<int>{3, 6, 4}, options);  // one in the prompt ends nothing
  EXPECT_EQ(text.ids, (std::vector<int>{3, 6, 4, 5, 6}));
  EXPECT_EQ(text.end, GenerateEnd::eos);
  Counting none;
  EXPECT_EQ(generate(none, std::vector<int>{1}, greedy(0)).ids, (std::vector<int>{1}));
}

TEST(Generate, SeedsRepeatAndDiffer) {
  GenerateOptions options;
  options.sampling = {1.0, 0, 0.0};
  options.max_new_tokens = 11;
  std::vector<std::vector<int>> texts;
  for (const std::uint64_t seed : {1U, 1U, 2U}) {
    options.seed = seed;
    Counting decoder;
    int seen = 0;
    texts.push_back(
        generate(decoder, std::vector<int>{0}, options, [&](int, std::span<const double> z) { return z.size() == 8 && ++seen < 100; }).ids);
    EXPECT_EQ(seen, 11);
  }
  EXPECT_EQ(texts[0], texts[1]);
  EXPECT_NE(texts[0], texts[2]);
}

TEST(Generate, ErrorsNameTheSetting) {
  EXPECT_NE(failure({}, greedy(1)).find("prompt is empty"), std::string::npos);
  EXPECT_NE(failure(std::vector<int>(13, 1), greedy(1)).find("13 tokens"), std::string::npos);
  EXPECT_NE(failure({1, 8}, greedy(1)).find("token 1 of the prompt (counted from 0) is 8"), std::string::npos);
  GenerateOptions options = greedy(1);
  options.eos = 8;
  EXPECT_NE(failure({1}, options).find("eos 8"), std::string::npos);
  options = greedy(1);
  options.sampling.temperature = -1.0;
  EXPECT_NE(failure({1}, options).find("temperature -1"), std::string::npos);
  options = greedy(1);
  options.sampling.top_p = 1.5;
  EXPECT_NE(failure({1}, options).find("top_p 1.5"), std::string::npos);
  options = greedy(1);
  options.sampling.top_k = -2;
  EXPECT_NE(failure({1}, options).find("top_k -2"), std::string::npos);
}

}  // namespace
}  // namespace gnn_hpc
