// SPDX-License-Identifier: Apache-2.0
// The partitioner: its gradients against differences of the function that the straight-through rule stands for, and what a partition must be.
#include "models/partoken/partitioner.hpp"
#include "nn/channels.hpp"
#include "nn/residue_graphs.hpp"
#include "nn/traced_tensor.hpp"
#include "support/gradcheck.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

namespace gnn_hpc::partoken {
namespace {

using test::TestStep;
using Values = std::vector<double>;

std::size_t size(int n) { return static_cast<std::size_t>(n); }

/// Chains of 1, 9, 4 and 14 residues, some of them masked: those have no edges.
ResidueBatch chains(int top_k = 4) {
  return test::residue_batch({test::random_chain(1, 1), test::random_chain(9, 2), test::random_chain(4, 3), test::random_chain(14, 4, 5)}, top_k);
}

struct Setting {
  const char* name;
  PartitionerOptions options;
  int top_k = 4;
  bool dropped = true;
};
PartitionerOptions small(int clusters, int hops, int largest, bool corrected = true) {
  PartitionerOptions o;
  o.width = 7;
  o.hidden = 9;
  o.max_clusters = clusters;
  o.k_hop = hops;
  o.cluster_size_max = largest;
  o.corrected = corrected;
  return o;
}
void PrintTo(const Setting& s, std::ostream* os) { *os << s.name; }

/// What a forward pass decided and drew, which the gradient takes for constant.
struct Decisions {
  std::vector<int> seed, count, assign, candidate;
  Values soft, p, local, clusters, gap, uniform, keep;
};

/// The function whose gradient the backward pass computes, on the host: decisions, onehot - soft, and what the context learns are constant;
/// a cluster counts with the mean of its members and with the soft mean.
class Surrogate {
 public:
  Surrogate(const PartitionerOptions& o, const ParamStore<double>& store, const ResidueBatch& graph, const Decisions& d, const Values& x)
      : o_(o), graph_(graph), d_(d), x_(x) {
    for (const TensorInfo& t : store.tensors()) param_[t.name.substr(12)] = store.get(t);
  }

  /// [B S + 1, D]: clusters, then the penalty.
  Values run() {
    const int rows = graph_.num_graphs * o_.max_clusters;
    Values out(size(rows + 1) * size(o_.width), 0.0);
    for (int b = 0; b < graph_.num_graphs; ++b) chain(b, out);
    return out;
  }

 private:
  const Values& w(const char* name) const { return param_.at(name); }
  const double* x(int i) const { return &x_[size(i) * size(o_.width)]; }
  /// W[r, :] . v + bias[r]
  double row(const char* weight, const Values& v, int r, const char* bias = nullptr) const {
    double sum = bias != nullptr ? w(bias)[size(r)] : 0.0;
    for (std::size_t c = 0; c < v.size(); ++c) sum += w(weight)[size(r) * v.size() + c] * v[c];
    return sum;
  }
  double chains_with(int c) const {
    double n = 0;
    for (int b = 0; b < graph_.num_graphs; ++b) n += d_.seed[size(b * o_.max_clusters + c)] >= 0 ? 1 : 0;
    return n;
  }

  void chain(int b, Values& out) {
    const int begin = graph_.graph_ptr[size(b)], end = graph_.graph_ptr[size(b) + 1], n = end - begin;
    Values mean(size(o_.width), 0.0), context;
    for (int i = begin; i < end; ++i)
      for (int c = 0; c < o_.width; ++c) mean[size(c)] += x(i)[c] / n;
    for (int j = 0; j < o_.hidden; ++j) context.push_back(row("context_encoder.weight", mean, j, "context_encoder.bias"));
    for (int c = 0; c < o_.max_clusters; ++c) {
      const int r = b * o_.max_clusters + c;
      if (d_.seed[size(r)] < 0) continue;
      cluster(r, c, begin, end, context, out);
      const Values learnt(d_.clusters.begin() + r * o_.width, d_.clusters.begin() + (r + 1) * o_.width);
      for (int j = 0; j < o_.hidden; ++j) context[size(j)] += 0.1 * row("context_encoder.weight", learnt, j, "context_encoder.bias");
    }
  }

  Values soft_choice(int c, int begin, int end, const Values& context) const {
    const double tau = o_.tau_init;
    Values y;
    double sum = 0.0;
    for (int i = begin; i < end; ++i) {
      Values in(x(i), x(i) + o_.width);
      in.insert(in.end(), context.begin(), context.end());
      const std::size_t at = size(c * graph_.num_nodes + i);
      double logit = w("seed_selector.3.bias")[0];
      for (int j = 0; j < o_.hidden; ++j) {
        const double keep = d_.keep.empty() ? 1.0 : d_.keep[at * size(o_.hidden) + size(j)] / 0.9;
        logit += w("seed_selector.3.weight")[size(j)] * keep * std::max(0.0, row("seed_selector.0.weight", in, j, "seed_selector.0.bias"));
      }
      const bool free = d_.assign[size(i)] < 0 || d_.assign[size(i)] >= c;
      y.push_back(free ? std::exp((logit - std::log(-std::log(d_.uniform[at] + 1e-8) + 1e-8)) / tau) : 0.0);
      sum += y.back();
    }
    for (double& s : y) s /= sum;
    return y;
  }

  void cluster(int r, int c, int begin, int end, const Values& context, Values& out) const {
    const int width = o_.width, seed = d_.seed[size(r)], count = d_.count[size(r)];
    Values weight = soft_choice(c, begin, end, context), chosen(size(width), 0.0);
    for (int i = begin; i < end; ++i) {
      weight[size(i - begin)] += (i == seed ? 1.0 : 0.0) - d_.soft[size(c * graph_.num_nodes + i)];
      for (int k = 0; k < width; ++k) chosen[size(k)] += weight[size(i - begin)] * x(i)[k];
    }
    Values in = chosen;
    in.insert(in.end(), context.begin(), context.end());
    const auto phi = d_.local.begin() + (r + 1) * (width + o_.hidden + 3) - 3;
    in.insert(in.end(), phi, phi + 3);
    double theta = w("expander.threshold_head.mlp.2.bias")[0], expected = 0.0;
    for (int j = 0; j < 128; ++j) {
      theta += w("expander.threshold_head.mlp.2.weight")[size(j)] *
               std::max(0.0, row("expander.threshold_head.mlp.0.weight", in, j, "expander.threshold_head.mlp.0.bias"));
    }
    Values hard(x(seed), x(seed) + width);
    double members = 1.0;
    for (int k = 0; k < count; ++k) {
      const std::size_t at = size(c * graph_.num_nodes + begin + k);
      const int i = d_.candidate[at];
      if (!(d_.p[at] > 0.0)) continue;
      double score = 0.2 * link(i, seed);
      const Values own(x(i), x(i) + width);
      for (int j = 0; j < 64; ++j) score += row("expander.Wk.weight", own, j) * row("expander.Wq.weight", chosen, j) / 8.0;
      const double p = 1.0 / (1.0 + std::exp((theta - score) / o_.tau_init));
      weight[size(i - begin)] += p;
      expected += p;
      if (!(d_.p[at] > 0.5)) continue;
      members += 1.0;
      for (int q = 0; q < width; ++q) hard[size(q)] += own[size(q)];
    }
    double mass = 0.0;
    for (const double m : weight) mass += m;
    for (int k = 0; k < width; ++k) {
      double soft = 0.0;
      for (int i = begin; i < end; ++i) soft += weight[size(i - begin)] * x(i)[k];
      out[size(r * width + k)] = hard[size(k)] / members + soft / mass;
    }
    if (!o_.corrected) return;
    double kept = 0.0;
    for (int k = 0; k < count; ++k) kept += d_.p[size(c * graph_.num_nodes + begin + k)];
    const double gap = expected - (kept - d_.gap[size(r)]);
    out[size(graph_.num_graphs * o_.max_clusters * width)] += gap * gap / chains_with(c);
  }
  double link(int i, int seed) const {
    double to_seed = 0.0, degree = 0.0;
    for (std::size_t e = 0; e < graph_.src.size(); ++e) {
      if (graph_.src[e] != i) continue;
      degree += 1.0;
      to_seed += graph_.dst[e] == seed ? 1.0 : 0.0;
    }
    return to_seed / std::max(1.0, degree);
  }

  PartitionerOptions o_;
  const ResidueBatch& graph_;
  const Decisions& d_;
  const Values& x_;
  std::map<std::string, Values> param_;
};

/// Everything for passes over one batch.
struct Fixture {
  explicit Fixture(const Setting& s, Mode mode = Mode::train) : setting(s), batch(chains(s.top_k)), step(mode) {
    partitioner = Partitioner<double>(store, s.options);
    store.finalize(3);
    for (const TensorInfo& t : store.tensors()) {
      auto values = store.get(t);
      const auto noise = test::random_values(values.size(), 40 + values.size());
      for (std::size_t i = 0; i < values.size(); ++i) values[i] += 0.2 * noise[i];
      store.set(t, values);
    }
    input.upload(batch, test::keys_of(batch), step.exec);
    const std::size_t nodes = size(batch.num_nodes), clusters = size(s.options.max_clusters);
    x = test::random_matrix<double>(nodes, size(s.options.width), 9);
    dx = test::nan_matrix<double>(nodes, size(s.options.width));
    const RandomKey key{8, 1};
    for (std::size_t i = 0; i < clusters * nodes; ++i) decisions.uniform.push_back(key.uniform(i));
    if (s.dropped) {
      for (std::size_t i = 0; i < clusters * nodes * size(s.options.hidden); ++i) decisions.keep.push_back(key.uniform(i + 7777) < 0.1 ? 0.0 : 1.0);
    }
    given.uniform = test::matrix_of<double>(clusters, nodes, decisions.uniform);
    if (s.dropped) given.keep = test::matrix_of<double>(clusters * nodes, size(s.options.hidden), decisions.keep);
  }
  void forward() {
    partitioner.forward(step, input, x, &given, saved);
    step.exec.fence();
  }
  void decide() {
    decisions.seed = host_ints(saved.seed);
    decisions.count = host_ints(saved.candidates);
    decisions.assign = host_ints(saved.assign);
    const auto whole = [](const auto& view) {
      const auto values = test::values_of(view);
      return std::vector<int>(values.begin(), values.end());
    };
    decisions.candidate = whole(saved.candidate);
    decisions.soft = test::values_of(saved.soft);
    decisions.p = test::values_of(saved.p);
    decisions.local = test::values_of(saved.local);
    decisions.clusters = test::values_of(saved.clusters);
    decisions.gap = test::values_of(saved.gap);
  }

  Setting setting;
  ResidueBatch batch;
  TestStep<double> step;
  ParamStore<double> store;
  Partitioner<double> partitioner;
  ResidueInput<double> input;
  View2<double> x, dx;
  GivenDraws<double> given;
  Partitioner<double>::Saved saved;
  Decisions decisions;
};

class PartitionerTest : public testing::TestWithParam<Setting> {};

TEST_P(PartitionerTest, GradientsMatchDifferencesOfTheFunctionBehindThem) {
  Fixture f(GetParam());
  const std::size_t rows = size(f.batch.num_graphs * f.setting.options.max_clusters), width = size(f.setting.options.width);
  int passes = 0;
  test::GradientCase c;
  c.forward = [&] {
    if (passes++ < 2) {  // the others are differences, with the decisions of these
      f.forward();
      f.decide();
    }
    const Values x = test::values_of(f.x);
    return test::matrix_of<double>(rows + 1, width, Surrogate(f.setting.options, f.store, f.batch, f.decisions, x).run());
  };
  c.backward = [&](View2<double> dy) {
    const double penalty_weight = test::values_of(dy)[rows * width];
    f.partitioner.backward(f.step, f.input, f.saved, row_range(dy, 0, static_cast<int>(rows)), penalty_weight, f.dx);
  };
  c.inputs = {{"x", f.x, f.dx, true}};
  c.params = &f.store;
  c.h = 4e-6;  // next to no relu changes sides along so short a way
  c.rtol = 1e-5;
  test::expect_gradients(f.step, c);
}

TEST_P(PartitionerTest, ClustersAreMeansOfDisjointReachableResiduesAndNoLargerThanAllowed) {
  Fixture f(GetParam());
  f.forward();
  f.decide();
  const PartitionerOptions& o = f.setting.options;
  const Values x = test::values_of(f.x), members = test::values_of(f.saved.members);
  for (int b = 0; b < f.batch.num_graphs; ++b) {
    for (int c = 0; c < o.max_clusters; ++c) {
      const int r = b * o.max_clusters + c;
      std::vector<int> own;
      for (int i = f.batch.graph_ptr[size(b)]; i < f.batch.graph_ptr[size(b) + 1]; ++i) {
        if (f.decisions.assign[size(i)] == c) own.push_back(i);
      }
      EXPECT_EQ(own.size(), members[size(r)]);
      EXPECT_LE(static_cast<int>(own.size()), o.cluster_size_max);
      EXPECT_EQ(own.empty(), f.decisions.seed[size(r)] < 0);
      Values mean(size(o.width), 0.0);
      for (const int i : own)
        for (int k = 0; k < o.width; ++k) mean[size(k)] += x[size(i * o.width + k)] / static_cast<double>(own.size());
      for (int k = 0; k < o.width; ++k) EXPECT_NEAR(f.decisions.clusters[size(r * o.width + k)], mean[size(k)], 1e-12);
      if (own.empty()) continue;
      std::set<int> reached{f.decisions.seed[size(r)]};
      for (int hop = 0; hop < o.k_hop; ++hop) {
        std::set<int> next = reached;
        for (std::size_t e = 0; e < f.batch.src.size(); ++e) {
          if (reached.count(f.batch.src[e]) != 0) next.insert(f.batch.dst[e]);
        }
        reached = next;
      }
      for (const int i : own) EXPECT_EQ(reached.count(i), 1U) << "chain " << b << " cluster " << c << " residue " << i;
    }
  }
}

TEST_P(PartitionerTest, AdjacencyMatricesGiveTheSame) {
  Setting dense = GetParam();
  dense.options.dense = true;
  Fixture a(GetParam()), b(dense);
  a.forward();
  b.forward();
  a.decide();
  b.decide();
  EXPECT_EQ(a.decisions.assign, b.decisions.assign);
  EXPECT_EQ(a.decisions.seed, b.decisions.seed);
  EXPECT_EQ(a.decisions.clusters, b.decisions.clusters);
  EXPECT_EQ(a.decisions.local, b.decisions.local);
  EXPECT_EQ(host_values(a.saved.penalty), host_values(b.saved.penalty));
}

INSTANTIATE_TEST_SUITE_P(Settings, PartitionerTest,
                         testing::Values(Setting{"usual", small(3, 1, 6)}, Setting{"two_hops_and_a_cap", small(4, 2, 3)},
                                         Setting{"seeds_alone", small(3, 1, 1)}, Setting{"one_cluster", small(1, 3, 20)},
                                         Setting{"no_gradient_of_sizes", small(3, 1, 6, false)}, Setting{"no_dropout", small(5, 2, 2), 4, false},
                                         Setting{"more_clusters_than_residues", small(16, 1, 2), 2}),
                         [](const auto& one) { return std::string(one.param.name); });

TEST(Partitioner, ChainsDoNotSeeTheirBatch) {
  const Setting setting{"usual", small(3, 1, 6)};
  ParamStore<double> store;
  const Partitioner<double> partitioner(store, setting.options);
  store.finalize(3);
  const std::vector<Values> coords{test::random_chain(11, 1), test::random_chain(8, 2)};
  const auto run = [&](const std::vector<int>& which) {  // with the noise and dropout of training, drawn here
    std::vector<Values> chosen;
    std::vector<std::uint64_t> keys;
    Values x;
    for (const int w : which) {
      chosen.push_back(coords[size(w)]);
      keys.push_back(static_cast<std::uint64_t>(w) + 5);
      const Values own = test::random_values(coords[size(w)].size() / 12 * 7, size(w) + 3);
      x.insert(x.end(), own.begin(), own.end());
    }
    const ResidueBatch batch = test::residue_batch(chosen, 4);
    TestStep<double> step(Mode::train);
    ResidueInput<double> input;
    input.upload(batch, keys, step.exec);
    Partitioner<double>::Saved saved;
    partitioner.forward(step, input, test::matrix_of<double>(size(batch.num_nodes), 7, x), nullptr, saved);
    step.exec.fence();
    return std::pair{test::values_of(saved.clusters), host_ints(saved.assign)};
  };
  const auto both = run({0, 1}), first = run({0}), second = run({1});
  EXPECT_TRUE(std::equal(first.second.begin(), first.second.end(), both.second.begin()));
  EXPECT_TRUE(std::equal(second.second.begin(), second.second.end(), both.second.begin() + 11));
  EXPECT_LT(test::relative_difference({both.first.begin() + 21, both.first.end()}, second.first), 1e-13);
}

TEST(Partitioner, TemperatureFollowsTheEpochAndStopsAtItsMinimum) {
  Setting setting{"usual", small(1, 1, 6)};
  setting.options.tau_decay = 0.5;
  setting.options.tau_min = 0.2;
  Fixture f(setting);
  Values sharpest;
  for (const int epoch : {0, 1, 3, 9}) {
    f.partitioner.set_epoch(f.step.exec, epoch);
    f.step.arena.reset();
    f.forward();
    const Values soft = test::values_of(f.saved.soft);
    sharpest.push_back(*std::max_element(soft.begin() + 1, soft.end()));  // but of the chain of one residue
  }
  EXPECT_LT(sharpest[0], sharpest[1]);
  EXPECT_LT(sharpest[1], sharpest[2]);
  EXPECT_EQ(sharpest[2], sharpest[3]);
}

}  // namespace
}  // namespace gnn_hpc::partoken
