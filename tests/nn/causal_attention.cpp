// SPDX-License-Identifier: Apache-2.0
#include "nn/causal_attention.hpp"
#include "nn/growing_array.hpp"
#include "support/gradcheck.hpp"

#include <gtest/gtest.h>

namespace gnn_hpc {
namespace {

using test::random_matrix;
using test::TestStep;
using test::values_of;

enum class Keys { all, some, none_at_first };

struct AttentionCase {
  const char* name;
  int rows = 5, heads = 2, head_width = 3;
  Keys keys = Keys::all;
  double dropout = 0.0;
};
void PrintTo(const AttentionCase& c, std::ostream* os) { *os << c.name; }

class Attention : public ::testing::TestWithParam<AttentionCase> {
 protected:
  Attention()
      : p(GetParam()),
        width(p.heads * p.head_width),
        qkv(random_matrix<double>(rows(), 3 * static_cast<std::size_t>(width), 3)),
        bias(test::array_of<double>(test::random_values(3 * static_cast<std::size_t>(width), 4))) {
    if (p.dropout > 0.0) mask = RandomMask(RandomKey{9, 2}, p.dropout);
    if (p.keys == Keys::all) return;
    std::vector<std::uint8_t> allowed(rows(), 1);
    for (std::size_t t = 0; t < allowed.size(); ++t) allowed[t] = p.keys == Keys::some ? t % 3 != 1 : t >= 2;
    key = key_memory.assign(Exec(), allowed);
    for (const std::uint8_t k : allowed) keys.push_back(k);
  }
  std::size_t rows() const { return static_cast<std::size_t>(p.rows); }
  bool allowed(std::size_t t, std::size_t s) const { return s <= t && (keys.empty() || keys[s] != 0); }

  /// Context of x; lse is kept.
  View2<double> run(TestStep<double>& step, View2<double> x) {
    const CausalAttention<double> attention(step.arena, p.rows, p.head_width, false);
    lse = step.arena.array<double>(rows() * static_cast<std::size_t>(p.heads));
    const auto context = step.arena.matrix<double>(rows(), static_cast<std::size_t>(width));
    for_each_chunk(step.exec, 1,
                   [&](int lane, const ChunkExec& exec, int) { attention.forward(lane, exec, x, bias, key, p.heads, context, lse, mask, 17); });
    return context;
  }

  AttentionCase p;
  int width;
  View2<double> qkv;
  View1<double> bias, lse;
  GrowingArray<std::uint8_t> key_memory;
  View1<std::uint8_t> key;
  std::vector<std::uint8_t> keys;
  RandomMask mask;
};

TEST_P(Attention, MatchesTheDefinition) {
  if (p.dropout > 0.0) return;  // random
  TestStep<double> step;
  step.poison();
  const auto context = run(step, qkv);
  step.exec.fence();
  const auto x = values_of(qkv), b = values_of(bias), out = values_of(context);
  const auto d = static_cast<std::size_t>(p.head_width), all = static_cast<std::size_t>(width);
  const auto at = [&](std::size_t r, std::size_t column) { return x[r * 3 * all + column] + b[column]; };
  for (std::size_t h = 0; h < static_cast<std::size_t>(p.heads); ++h) {
    for (std::size_t t = 0; t < rows(); ++t) {
      std::vector<double> weight(rows(), 0.0);
      double sum = 0.0;
      for (std::size_t s = 0; s <= t; ++s) {
        if (!allowed(t, s)) continue;
        double score = 0.0;
        for (std::size_t c = 0; c < d; ++c) score += at(t, h * d + c) * at(s, all + h * d + c);
        sum += weight[s] = std::exp(score / std::sqrt(static_cast<double>(d)));
      }
      for (std::size_t c = 0; c < d; ++c) {
        double expected = 0.0;
        for (std::size_t s = 0; s <= t; ++s) expected += sum > 0.0 ? weight[s] / sum * at(s, 2 * all + h * d + c) : 0.0;
        EXPECT_NEAR(out[t * all + h * d + c], expected, 1e-12) << "head " << h << ", query " << t;
      }
    }
  }
}

TEST_P(Attention, GradientsMatchDifferences) {
  TestStep<double> step(Mode::train, std::size_t{1} << 24);
  const auto dqkv = test::nan_matrix<double>(rows(), 3 * static_cast<std::size_t>(width));
  View2<double> context;
  test::GradientCase c;
  c.forward = [&] { return context = run(step, qkv); };
  c.backward = [&](View2<double> dy) {
    const CausalAttention<double> attention(step.arena, p.rows, p.head_width, true);
    Kokkos::deep_copy(dqkv, qkv);
    for_each_chunk(step.exec, 1, [&](int lane, const ChunkExec& exec, int) {
      attention.backward(lane, exec, dqkv, bias, key, p.heads, context, lse, dy, mask, 17);
    });
  };
  c.inputs = {{"qkv", qkv, dqkv}};
  test::expect_gradients(step, c);
}

// Bit by bit: what comes later does not exist for a query.
TEST_P(Attention, LaterRowsChangeNothingBefore) {
  TestStep<double> step;
  const auto before = values_of(run(step, qkv));
  for (const int from : {1, p.rows / 2, p.rows - 1}) {
    if (from < 1) continue;
    const auto changed = random_matrix<double>(rows(), 3 * static_cast<std::size_t>(width), 77);
    Kokkos::deep_copy(row_range(changed, 0, from), row_range(qkv, 0, from));
    auto after = values_of(run(step, changed));
    const auto n = static_cast<std::size_t>(from * width);
    EXPECT_EQ(std::vector<double>(after.begin(), after.begin() + static_cast<std::ptrdiff_t>(n)),
              std::vector<double>(before.begin(), before.begin() + static_cast<std::ptrdiff_t>(n)));
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, Attention,
                         ::testing::Values(AttentionCase{.name = "small"}, AttentionCase{.name = "one_row", .rows = 1},
                                           AttentionCase{.name = "masked", .rows = 9, .keys = Keys::some},
                                           AttentionCase{.name = "no_key_at_first", .rows = 6, .keys = Keys::none_at_first},
                                           AttentionCase{.name = "one_tile", .rows = 64, .heads = 1, .head_width = 4},
                                           AttentionCase{.name = "three_tiles", .rows = 131, .heads = 2, .head_width = 5},
                                           AttentionCase{.name = "three_tiles_masked", .rows = 130, .heads = 1, .head_width = 17, .keys = Keys::some},
                                           AttentionCase{.name = "dropout", .rows = 70, .heads = 2, .head_width = 4, .dropout = 0.3},
                                           AttentionCase{.name = "dropout_masked", .rows = 12, .keys = Keys::none_at_first, .dropout = 0.5}),
                         [](const auto& one) { return std::string(one.param.name); });

}  // namespace
}  // namespace gnn_hpc
