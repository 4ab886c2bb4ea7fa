// SPDX-License-Identifier: Apache-2.0
// Gradients of geometric vector perceptrons, their normalisation, messages, layers and the encoder; equivariance.
#include "nn/gvp_encoder.hpp"
#include "nn/lane_work.hpp"
#include "nn/residue_graphs.hpp"
#include "support/gradcheck.hpp"

#include <gtest/gtest.h>

namespace gnn_hpc {
namespace {

using test::TestStep;

std::size_t size(int n) { return static_cast<std::size_t>(n); }

/// Next to no relu or clamp changes sides along so short a way.
constexpr double kSmallStep = 4e-7;

/// Scalars and vectors of rows in one matrix [R, ns + 3 nv], and back.
View2<double> joined(Step<double>& step, const GvpState<double>& x) {
  const std::size_t rows = x.s.extent(0), ns = x.s.extent(1), nv = x.v.extent(1);
  const auto out = step.arena.matrix<double>(rows, ns + 3 * nv);
  Kokkos::deep_copy(step.exec, column_range(out, 0, static_cast<int>(ns)), x.s);
  Kokkos::deep_copy(step.exec, column_range(out, static_cast<int>(ns), static_cast<int>(ns + 3 * nv)), reshape(x.v, rows, 3 * nv));
  return out;
}
GvpState<double> parted(Step<double>& step, const View2<double>& y, int ns, int nv) {
  const auto out = GvpState<double>::allocate(step.arena, y.extent(0), ns, nv);
  Kokkos::deep_copy(step.exec, out.s, column_range(y, 0, ns));
  Kokkos::deep_copy(step.exec, reshape(out.v, y.extent(0), 3 * size(nv)), column_range(y, ns, ns + 3 * nv));
  return out;
}
/// Parameters away from their first values: biases and gains have gradients of their own.
void unsettle(ParamStore<double>& store) {
  std::uint64_t seed = 40;
  for (const TensorInfo& t : store.tensors()) {
    auto values = store.get(t);
    const auto noise = test::random_values(values.size(), ++seed);
    for (std::size_t i = 0; i < values.size(); ++i) values[i] += 0.3 * noise[i];
    store.set(t, values);
  }
}

struct Case {
  const char* name;
  GvpShape shape;
  int rows = 7;
};
void PrintTo(const Case& c, std::ostream* os) { *os << c.name; }

class GvpGradients : public testing::TestWithParam<Case> {};

TEST_P(GvpGradients, MatchDifferences) {
  const Case p = GetParam();
  const GvpShape& o = p.shape;
  ParamStore<double> store;
  const Gvp<double> gvp(store, "gvp", o);
  store.finalize(3);
  unsettle(store);
  TestStep<double> step;
  const std::size_t rows = size(p.rows);
  const auto s = test::random_matrix<double>(rows, size(o.si), 4), ds = test::nan_matrix<double>(rows, size(o.si));
  const auto v = test::random_matrix<double>(3 * rows, size(o.vi), 5), dv = test::nan_matrix<double>(3 * rows, size(o.vi));
  if (p.rows > 2) {  // a vector that is clamped
    auto values = test::values_of(v);
    for (std::size_t d = 0; d < 3; ++d) values[(3 + d) * size(o.vi)] = 0.0;
    if (o.vi == 1) test::assign(v, values);
  }
  typename Gvp<double>::Saved saved;
  test::GradientCase c;
  c.forward = [&] {
    const auto out = GvpState<double>::allocate(step.arena, rows, o.so, o.vo);
    saved = gvp.allocate(step.arena, rows, out.v);
    saved.v = v;
    saved.s = out.s;
    Kokkos::deep_copy(step.exec, column_range(saved.joined, 0, o.si), s);
    for_each_row_chunk(step.exec, p.rows, [&](int, const ChunkExec& exec, int begin, int end) {
      gvp.forward(exec, saved.rows(begin, end), row_range(out.v, 3 * begin, 3 * end));
    });
    return joined(step, out);
  };
  c.backward = [&](View2<double> dy) {
    ArenaFrame frame(step.arena);
    const GvpState<double> dout = parted(step, dy, o.so, o.vo);
    const RowChunks chunks(p.rows);
    const Gvp<double>::Gradients sums(step, gvp, chunks.count);
    const Gvp<double>::Scratch scratch(step.arena, gvp, chunks.longest());
    const auto djoined = step.arena.matrix<double>(rows, size(o.joined()));
    for_each_chunk(step.exec, chunks.count, [&](int lane, const ChunkExec& exec, int i) {
      const int begin = chunks.begin(i), end = chunks.end(i);
      const GvpState<double> part = dout.rows(begin, end);
      gvp.backward(exec, lane, i, saved.rows(begin, end), part.s, part.v, row_range(djoined, begin, end), row_range(dv, 3 * begin, 3 * end), sums,
                   scratch);
    });
    sums.finish(step);
    Kokkos::deep_copy(step.exec, ds, column_range(djoined, 0, o.si));
  };
  c.inputs = {{"s", s, ds}, {"v", v, dv}};
  c.params = &store;
  c.h = kSmallStep;
  test::expect_gradients(step, c);
}

INSTANTIATE_TEST_SUITE_P(Cases, GvpGradients,
                         testing::Values(Case{"activated", {5, 3, 4, 2, true, false}}, Case{"plain", {5, 2, 4, 3, false, false}},
                                         Case{"gated", {5, 3, 4, 2, true, true}}, Case{"gated_plain", {5, 2, 4, 3, false, true}},
                                         Case{"no_vectors_out", {4, 3, 5, 0, true, false}}, Case{"one_of_each", {1, 1, 1, 1, true, false}},
                                         Case{"strips_and_rest", {37, 17, 35, 9, true, false}}, Case{"many_rows", {4, 2, 3, 2, true, true}, 500},
                                         Case{"no_rows", {4, 2, 3, 2, true, true}, 0}),
                         [](const auto& one) { return std::string(one.param.name); });

TEST(GvpNormGradients, MatchDifferences) {
  for (const int rows : {0, 5, 300}) {
    ParamStore<double> store;
    const GvpNorm<double> norm(store, "norm", 6);
    store.finalize(3);
    unsettle(store);
    TestStep<double> step(Mode::train, std::size_t{1} << 23);
    const std::size_t n = size(rows);
    const auto s = test::random_matrix<double>(n, 6, 4), ds = test::nan_matrix<double>(n, 6);
    const auto v = test::random_matrix<double>(3 * n, 3, 5), dv = test::nan_matrix<double>(3 * n, 3);
    GvpNorm<double>::Saved saved;
    test::GradientCase c;
    c.forward = [&] {
      saved = GvpNorm<double>::Saved::allocate(step.arena, n, 6, 3);
      Kokkos::deep_copy(step.exec, saved.hat, s);
      Kokkos::deep_copy(step.exec, saved.v, v);
      const auto out = GvpState<double>::allocate(step.arena, n, 6, 3);
      for_each_row_chunk(step.exec, rows,
                         [&](int, const ChunkExec& exec, int begin, int end) { norm.forward(exec, saved.rows(begin, end), out.rows(begin, end)); });
      return joined(step, out);
    };
    c.backward = [&](View2<double> dy) {
      ArenaFrame frame(step.arena);
      const GvpState<double> dout = parted(step, dy, 6, 3), din{ds, dv};
      const RowChunks chunks(rows);
      const GvpNorm<double>::Gradients sums(step.arena, norm, chunks.count);
      for_each_chunk(step.exec, chunks.count, [&](int, const ChunkExec& exec, int i) {
        const int begin = chunks.begin(i), end = chunks.end(i);
        norm.backward(exec, i, saved.rows(begin, end), dout.rows(begin, end), din.rows(begin, end), sums);
      });
      norm.finish(step, sums);
    };
    c.inputs = {{"s", s, ds}, {"v", v, dv}};
    c.params = &store;
    c.h = kSmallStep;
    test::expect_gradients(step, c);
  }
}

/// A vector shorter than the clamp is divided by it, and passes no gradient to the norm.
TEST(GvpNorm, ZeroVectorsStayZero) {
  ParamStore<double> store;
  const GvpNorm<double> norm(store, "norm", 2);
  store.finalize(1);
  TestStep<double> step;
  const auto saved = GvpNorm<double>::Saved::allocate(step.arena, 1, 2, 2);
  test::assign(saved.hat, {1.0, 3.0});
  test::assign(saved.v, std::vector<double>(6, 0.0));
  const auto out = GvpState<double>::allocate(step.arena, 1, 2, 2);
  for_each_row_chunk(step.exec, 1, [&](int, const ChunkExec& exec, int, int) { norm.forward(exec, saved, out); });
  step.exec.fence();
  EXPECT_EQ(test::values_of(out.v), std::vector<double>(6, 0.0));
  EXPECT_NEAR(test::values_of(out.s)[0], -1.0, 1e-4);
}

struct GraphCase {
  const char* name;
  std::vector<int> residues{5, 1, 8};
  int top_k = 3, gap = 0;
  bool gated = false;
  double rate = 0.0;
  int edge_vectors = 1;
};
void PrintTo(const GraphCase& c, std::ostream* os) { *os << c.name; }

ResidueBatch batch_of(const GraphCase& p) {
  std::vector<std::vector<double>> chains;
  for (const int n : p.residues) chains.push_back(test::random_chain(n, 60 + chains.size(), p.gap));
  return test::residue_batch(chains, p.top_k);
}

class GvpGraphGradients : public testing::TestWithParam<GraphCase> {};

/// The message layer alone.
TEST_P(GvpGraphGradients, OfMessagesMatchDifferences) {
  const GraphCase p = GetParam();
  constexpr int ns = 4, nv = 2, es = 3;
  const int ev = p.edge_vectors;
  ParamStore<double> store;
  const GvpConv<double> conv(store, "conv", ns, nv, es, ev, p.gated);
  store.finalize(3);
  unsettle(store);
  const ResidueBatch host = batch_of(p);
  ResidueInput<double> graph;
  graph.upload(host, test::keys_of(host), Exec());
  TestStep<double> step(Mode::train, std::size_t{1} << 24);
  const std::size_t nodes = size(host.num_nodes), edges = size(host.num_edges);
  const GvpState<double> x{test::random_matrix<double>(nodes, ns, 4), test::random_matrix<double>(3 * nodes, nv, 5)};
  const GvpState<double> e{test::random_matrix<double>(edges, es, 6), test::random_matrix<double>(3 * edges, size(ev), 7)};
  const GvpState<double> dx{test::nan_matrix<double>(nodes, ns), test::nan_matrix<double>(3 * nodes, nv)};
  const GvpState<double> de{test::nan_matrix<double>(edges, es), test::nan_matrix<double>(3 * edges, size(ev))};
  GvpConv<double>::Saved saved;
  test::GradientCase c;
  c.forward = [&] { return joined(step, conv.forward(step, graph, x, e, saved)); };
  c.backward = [&](View2<double> dy) {
    ArenaFrame frame(step.arena);
    conv.backward(step, graph, saved, parted(step, dy, ns, nv), dx, de);
  };
  c.inputs = {{"s", x.s, dx.s, true}, {"v", x.v, dx.v, true}, {"edge s", e.s, de.s, true}, {"edge v", e.v, de.v, true}};
  c.params = &store;
  c.h = kSmallStep;
  test::expect_gradients(step, c);
}

/// The whole encoder: embeddings, two layers, read-out.
TEST_P(GvpGraphGradients, OfTheEncoderMatchDifferences) {
  const GraphCase p = GetParam();
  const GvpEncoderOptions o{.node_scalars = 5,
                            .node_vectors = 2,
                            .edge_scalars = 4,
                            .edge_vectors = p.edge_vectors,
                            .num_layers = 2,
                            .seq_in = p.gap > 0,
                            .vector_gate = p.gated};
  ParamStore<double> store;
  GvpEncoder<double> encoder(store, o);
  store.finalize(3);
  unsettle(store);
  const ResidueBatch host = batch_of(p);
  ResidueInput<double> graph;
  graph.upload(host, test::keys_of(host), Exec());
  TestStep<double> step(Mode::train, std::size_t{1} << 24);
  const RowDropout<double> dropout{p.rate, graph.graph_key, graph.graph_ptr, graph.node_graph, nullptr};
  test::GradientCase c;
  c.forward = [&] { return encoder.forward(step, graph, dropout); };
  c.backward = [&](View2<double> dy) { encoder.backward(step, graph, dy); };
  c.params = &store;
  c.h = kSmallStep;
  test::expect_gradients(step, c);
}

INSTANTIATE_TEST_SUITE_P(Cases, GvpGraphGradients,
                         testing::Values(GraphCase{.name = "plain"}, GraphCase{.name = "gated", .gated = true}, GraphCase{.name = "gaps", .gap = 3},
                                         GraphCase{.name = "gated_gaps", .gap = 4, .gated = true}, GraphCase{.name = "dropout", .rate = 0.3},
                                         GraphCase{.name = "two_edge_vectors", .edge_vectors = 2},
                                         GraphCase{.name = "many_chunks", .residues = {40, 30}, .top_k = 9},
                                         GraphCase{.name = "no_edges", .residues = {1, 1}}, GraphCase{.name = "no_chains", .residues = {}}),
                         [](const auto& one) { return std::string(one.param.name); });

/// Features of residues do not turn with the chain, nor move with it; vectors of a layer turn.
template <class T>
void expect_equivariance(double tolerance) {
  const double a = 0.7, b = -1.1;
  const test::Rotation about_z{std::cos(a), -std::sin(a), 0, std::sin(a), std::cos(a), 0, 0, 0, 1};
  const test::Rotation about_x{1, 0, 0, 0, std::cos(b), -std::sin(b), 0, std::sin(b), std::cos(b)};
  for (const bool gated : {false, true}) {
    ParamStore<T> store;
    GvpEncoder<T> encoder(store, {.node_scalars = 12, .node_vectors = 4, .edge_scalars = 8, .edge_vectors = 2, .vector_gate = gated});
    store.finalize(5);
    std::vector<std::vector<double>> still, turned, mirrored;
    for (const int n : {9, 14, 6}) {
      still.push_back(test::random_chain(n, 80 + still.size(), 5));
      turned.push_back(test::moved(test::moved(still.back(), about_z), about_x, 20.0));
      mirrored.push_back(test::moved(still.back(), {-1, 0, 0, 0, 1, 0, 0, 0, 1}));
    }
    const auto run = [&](const std::vector<std::vector<double>>& chains, std::vector<double>* vectors) {
      const ResidueBatch host = test::residue_batch(chains, 4);
      ResidueInput<T> graph;
      graph.upload(host, test::keys_of(host), Exec());
      TestStep<T> step(Mode::evaluate, std::size_t{1} << 24);
      const View2<T> y = encoder.forward(step, graph, {});
      step.exec.fence();
      if (vectors != nullptr) *vectors = test::values_of(encoder.saved().layers.back().out.v);
      return test::values_of(y);
    };
    std::vector<double> v, turned_v;
    const auto y = run(still, &v);
    EXPECT_LT(test::relative_difference(run(turned, &turned_v), y), tolerance);
    EXPECT_GT(test::relative_difference(run(mirrored, nullptr), y), 1e-3) << "handedness is seen by dihedrals and side chains";
    std::vector<double> expected(v.size());  // [N,3,4] R v
    for (std::size_t i = 0; i < v.size(); i += 12) {
      for (std::size_t c = 0; c < 4; ++c) {
        double first[3], both[3];
        for (std::size_t d = 0; d < 3; ++d)
          first[d] = about_z[3 * d] * v[i + c] + about_z[3 * d + 1] * v[i + 4 + c] + about_z[3 * d + 2] * v[i + 8 + c];
        for (std::size_t d = 0; d < 3; ++d) both[d] = about_x[3 * d] * first[0] + about_x[3 * d + 1] * first[1] + about_x[3 * d + 2] * first[2];
        for (std::size_t d = 0; d < 3; ++d) expected[i + 4 * d + c] = both[d];
      }
    }
    EXPECT_LT(test::relative_difference(turned_v, expected), tolerance);
  }
}
TEST(GvpEncoder, IsEquivariantInDouble) { expect_equivariance<double>(1e-10); }
TEST(GvpEncoder, IsEquivariantInFloat) { expect_equivariance<float>(1e-4); }

/// A chain's features do not depend on what else is in the batch.
TEST(GvpEncoder, KnowsNothingOfOtherChains) {
  ParamStore<double> store;
  GvpEncoder<double> encoder(store, {.node_scalars = 8, .node_vectors = 3, .edge_scalars = 5, .edge_vectors = 1, .seq_in = true});
  store.finalize(5);
  std::vector<std::vector<double>> chains;
  for (const int n : {9, 40, 6}) chains.push_back(test::random_chain(n, 80 + chains.size()));
  const auto run = [&](const std::vector<std::vector<double>>& some) {
    const ResidueBatch host = test::residue_batch(some, 6);
    ResidueInput<double> graph;
    graph.upload(host, test::keys_of(host), Exec());
    TestStep<double> step(Mode::evaluate, std::size_t{1} << 24);
    const auto y = encoder.forward(step, graph, {});
    step.exec.fence();
    return test::values_of(y);
  };
  const auto all = run(chains), one = run({chains[1]});
  EXPECT_LT(test::relative_difference(one, {all.begin() + 9 * 8, all.begin() + 49 * 8}), 1e-13);
}

/// What the device computes for edges equals the features of the specification.
TEST(ResidueInput, EdgeFeaturesEqualThoseOfTheGraph) {
  const std::vector<double> chain = test::random_chain(60, 3, 7);
  const ResidueBatch host = test::residue_batch({test::random_chain(3, 2), chain}, 8);
  ResidueInput<double> graph;
  graph.upload(host, test::keys_of(host), Exec());
  const std::size_t edges = size(host.num_edges);
  const auto s = test::nan_matrix<double>(edges, 32), v = test::nan_matrix<double>(3 * edges, 1);
  for_each_row_chunk(Exec(), host.num_edges, [&](int, const ChunkExec& exec, int begin, int end) {
    graph.edge_features(exec, begin, end, row_range(s, begin, end), row_range(v, 3 * begin, 3 * end));
  });
  Kokkos::fence();
  const ResidueGraph g = build_residue_graph(chain, 8);
  const ResidueEdgeFeatures expected = residue_edge_features(g);
  const auto ours = test::values_of(s), ours_v = test::values_of(v);
  const auto first = edges - g.src.size();
  EXPECT_LT(test::relative_difference({ours.begin() + static_cast<std::ptrdiff_t>(32 * first), ours.end()}, expected.edge_s), 1e-12);
  EXPECT_LT(test::relative_difference({ours_v.begin() + static_cast<std::ptrdiff_t>(3 * first), ours_v.end()}, expected.edge_v), 1e-12);
}

}  // namespace
}  // namespace gnn_hpc
