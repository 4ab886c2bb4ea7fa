// SPDX-License-Identifier: Apache-2.0
// Attention of chains over their clusters against plain loops and differences.
#include "models/partoken/cluster_attention.hpp"

#include "support/gradcheck.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace gnn_hpc::partoken {
namespace {

using test::TestStep;
using Values = std::vector<double>;

/// Chains with all, some, one and none of their three clusters.
const std::vector<int> kMembers{2, 1, 4, 0, 3, 1, 0, 0, 2, 0, 0, 0};
constexpr std::size_t kChains = 4, kClusters = 3, kWidth = 6, kRows = kChains * kClusters;

template <class T>
struct Case {
  ParamStore<T> store;
  ClusterAttention<T> attention;
  TestStep<T> step;
  View1<int> members;
  RowDropout<T> dropout;
  View2<T> g, c, dg, dc;
  View1<T> importance;
  typename ClusterAttention<T>::Saved saved;

  Case(int heads, bool corrected, double rate, const std::vector<int>& present = kMembers, std::size_t chains = kChains)
      : attention(store, kWidth, heads, corrected), members(test::array_of<int>({present.begin(), present.end()})) {
    store.finalize(5);
    Values keys(chains);
    for (std::size_t b = 0; b < chains; ++b) keys[b] = static_cast<double>(11 * b + 3);
    dropout = {rate, test::array_of<std::uint64_t>(keys), {}, {}, nullptr};
    g = test::random_matrix<T>(chains, kWidth, 1);
    c = test::random_matrix<T>(present.size(), kWidth, 2);
    dg = test::nan_matrix<T>(chains, kWidth);
    dc = test::nan_matrix<T>(present.size(), kWidth);
    importance = View1<T>("gnn_hpc::test::importance", present.size());
  }
  View2<T> forward() { return attention.forward(step, dropout, g, c, members, importance, saved); }
  void backward(View2<T> dstar) { attention.backward(step, saved, members, dstar, dg, dc); }
  test::GradientCase gradients() {
    test::GradientCase one;
    one.forward = [this] { return forward(); };
    one.backward = [this](View2<double> dy) { backward(dy); };
    one.inputs = {{"g", g, dg, true}, {"c", c, dc}};
    one.params = &store;
    return one;
  }
  Values parameter(const std::string& name) const { return store.get(*store.find("global_cluster_attn." + name + ".weight")); }
  Values gradient(const std::string& name) const { return store.get_gradient(*store.find("global_cluster_attn." + name + ".weight")); }
};

Values linear(const Values& x, const Values& w) {
  Values y(x.size(), 0.0);
  for (std::size_t r = 0; r < x.size() / kWidth; ++r) {
    for (std::size_t o = 0; o < kWidth; ++o) {
      for (std::size_t i = 0; i < kWidth; ++i) y[r * kWidth + o] += x[r * kWidth + i] * w[o * kWidth + i];
    }
  }
  return y;
}

template <class T>
void expect_plain(int heads, double rate, double allowed) {
  Case<T> one(heads, true, rate);
  const View2<T> star = one.forward();
  one.step.exec.fence();
  const Values q = linear(test::values_of(one.g), one.parameter("q")), k = linear(test::values_of(one.c), one.parameter("k")),
               v = linear(test::values_of(one.c), one.parameter("v")), keep = test::values_of(one.saved.keep);
  const auto h_count = static_cast<std::size_t>(heads), d = kWidth / h_count;
  Values mixed(kChains * kWidth, 0.0), importance(kRows, 0.0);
  for (std::size_t b = 0; b < kChains; ++b) {
    for (std::size_t h = 0; h < h_count; ++h) {
      Values a(kClusters, 0.0);
      double sum = 0.0;
      for (std::size_t s = 0; s < kClusters; ++s) {
        if (kMembers[b * kClusters + s] == 0) continue;
        double score = 0.0;
        for (std::size_t c = h * d; c < (h + 1) * d; ++c) score += q[b * kWidth + c] * k[(b * kClusters + s) * kWidth + c];
        sum += a[s] = std::exp(score / std::sqrt(static_cast<double>(d)));
      }
      for (std::size_t s = 0; s < kClusters; ++s) {
        a[s] /= std::max(sum, 1e-6);
        if (rate > 0.0) a[s] *= keep[(b * h_count + h) * kClusters + s];
        importance[b * kClusters + s] += a[s] / static_cast<double>(heads);
        for (std::size_t c = h * d; c < (h + 1) * d; ++c) mixed[b * kWidth + c] += a[s] * v[(b * kClusters + s) * kWidth + c];
      }
    }
  }
  EXPECT_LT(test::relative_difference(test::values_of(star), linear(mixed, one.parameter("out"))), allowed);
  EXPECT_LT(test::relative_difference(test::values_of(one.importance), importance), allowed);
  for (std::size_t r = 0; r < kRows; ++r) {
    if (kMembers[r] > 0) continue;
    EXPECT_EQ(test::values_of(one.importance)[r], 0.0) << "of no cluster";
  }
}

TEST(ClusterAttention, IsThatOfPlainLoops) {
  for (const int heads : {1, 2, 3, 6}) {
    for (const double rate : {0.0, 0.4}) {
      expect_plain<double>(heads, rate, 1e-13);
      expect_plain<float>(heads, rate, 1e-5);
    }
  }
}

TEST(ClusterAttention, AChainWithoutClustersGetsNothing) {
  Case<double> one(2, true, 0.0);
  const Values star = test::values_of(one.forward());
  for (std::size_t c = 3 * kWidth; c < 4 * kWidth; ++c) EXPECT_EQ(star[c], 0.0);
}

TEST(ClusterAttention, SizesOfThePublishedModel) {
  ParamStore<float> store;
  const ClusterAttention<float> attention(store, 100, 4, true);
  EXPECT_EQ(store.num_parameters(), 40000U);
}

TEST(ClusterAttentionGradients, MatchDifferences) {
  for (const int heads : {1, 3}) {
    for (const double rate : {0.0, 0.4}) {
      Case<double> one(heads, true, rate);
      test::expect_gradients(one.step, one.gradients());
    }
  }
}

TEST(ClusterAttentionGradients, OfOneChainAndOfOneCluster) {
  Case<double> chain(2, true, 0.4, {1, 0, 3, 1, 1}, 1);
  test::expect_gradients(chain.step, chain.gradients());
  Case<double> cluster(2, true, 0.0, {1, 0, 3}, 3);
  test::expect_gradients(cluster.step, cluster.gradients());
}

TEST(ClusterAttentionGradients, WithoutAnyChainChangeNothing) {
  Case<double> none(2, true, 0.4, {}, 0);
  none.store.zero_gradients(none.step.exec);
  EXPECT_EQ(none.forward().extent(0), 0U);
  none.backward(test::nan_matrix<double>(0, kWidth));
  none.step.exec.fence();
  for (const char* name : {"q", "k", "v", "out"}) EXPECT_EQ(test::norm(none.gradient(name)), 0.0) << name;
}

/// As published: with constant weights star is linear in the clusters, in Wv and in Wout, so that <gradient, value> is the same for all three.
TEST(ClusterAttentionGradients, OfThePublishedModelStopAtTheScores) {
  Case<double> one(3, false, 0.4);
  one.store.zero_gradients(one.step.exec);
  const Values star = test::values_of(one.forward()), dstar = test::random_values(star.size(), 9);
  Kokkos::deep_copy(one.dg, 0.5);
  one.step.poison();
  one.backward(test::matrix_of<double>(kChains, kWidth, dstar));
  one.step.exec.fence();
  const double along = test::dot(dstar, star);
  EXPECT_NEAR(test::dot(test::values_of(one.dc), test::values_of(one.c)), along, 1e-12 * std::fabs(along));
  for (const char* name : {"v", "out"}) EXPECT_NEAR(test::dot(one.gradient(name), one.parameter(name)), along, 1e-12 * std::fabs(along)) << name;
  for (const char* name : {"q", "k"}) EXPECT_EQ(test::norm(one.gradient(name)), 0.0) << name;
  EXPECT_EQ(test::values_of(one.dg), Values(kChains * kWidth, 0.5));
}

}  // namespace
}  // namespace gnn_hpc::partoken
