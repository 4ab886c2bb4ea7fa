// SPDX-License-Identifier: Apache-2.0
// Gradients of the node layer and the edge layer.
#include "models/comformer/crystals.hpp"
#include "models/comformer/edge_layer.hpp"
#include "models/comformer/node_layer.hpp"
#include "support/gradcheck.hpp"

#include <gtest/gtest.h>

namespace gnn_hpc::comformer {
namespace {

using test::TestStep;

enum class Edges { dense, exact, table };

struct LayerCase {
  const char* name;
  int width = 6, heads = 1;
  std::vector<int> atoms{2, 1, 4};  ///< of each crystal; negative: a crystal without edges
  Edges edges = Edges::exact;
  Reduction reduction = Reduction::csr;
  Mode mode = Mode::train;
  bool accumulate = false;
};

void PrintTo(const LayerCase& c, std::ostream* os) { *os << c.name; }

std::vector<TestCrystal> crystals_of(const LayerCase& c) {
  std::vector<TestCrystal> out;
  for (const int atoms : c.atoms) {
    out.push_back(random_crystal(std::abs(atoms), 900 + out.size()));
    out.back().without_edges = atoms < 0;
  }
  return out;
}

class NodeLayerGradients : public ::testing::TestWithParam<LayerCase> {};

TEST_P(NodeLayerGradients, MatchDifferences) {
  const LayerCase p = GetParam();
  ParamStore<double> store;
  const NodeLayer<double> layer(store, "att_layers.0", p.width, p.heads);
  store.finalize(3);
  unsettle(store);
  CrystalBatch<double> batch;
  batch.upload(batch_of(crystals_of(p), {.tables = p.edges == Edges::table ? TableOptions{24, 24} : TableOptions{}}), Exec());
  TestStep<double> step(p.mode, std::size_t{1} << 23);
  const auto width = static_cast<std::size_t>(p.width);
  const auto nodes = static_cast<std::size_t>(batch.num_nodes);
  const auto rows = static_cast<std::size_t>(p.edges == Edges::dense ? batch.num_edges : batch.distance.num_rows);
  const auto x = test::random_matrix<double>(nodes, width, 4), dx = test::nan_matrix<double>(nodes, width);
  const auto e = test::random_matrix<double>(rows, width, 5), de = test::nan_matrix<double>(rows, width);
  const EdgeFeatures<double> edges = p.edges == Edges::dense ? EdgeFeatures<double>{e, {}, nullptr} : EdgeFeatures<double>{{}, e, &batch.distance};
  NodeLayer<double>::Saved saved;
  test::GradientCase c;
  c.forward = [&] { return layer.forward(step, batch, p.reduction, x, edges, saved); };
  c.backward = [&](View2<double> dy) { layer.backward(step, batch, p.reduction, saved, dy, dx, de, p.accumulate); };
  c.inputs = {{"x", x, dx}, {"e", e, de, p.accumulate}};
  c.params = &store;
  const auto result = test::check_gradients(step, c);
  for (const std::string& failure : result.failures) ADD_FAILURE() << failure;
  RecordProperty("worst", fmt::format("{:.1e}", result.worst));
}

class EdgeLayerGradients : public ::testing::TestWithParam<LayerCase> {};

TEST_P(EdgeLayerGradients, MatchDifferences) {
  const LayerCase p = GetParam();
  ParamStore<double> store;
  const EdgeLayer<double> layer(store, "edge_update_layer", p.width, p.heads);
  store.finalize(3);
  unsettle(store);
  CrystalBatch<double> batch;
  batch.upload(batch_of(crystals_of(p), {.tables = p.edges == Edges::table ? TableOptions{24, 24} : TableOptions{}}), Exec());
  TestStep<double> step(p.mode, std::size_t{1} << 24);
  const auto width = static_cast<std::size_t>(p.width);
  const auto matrix = [&](int rows, std::uint64_t seed) { return test::random_matrix<double>(static_cast<std::size_t>(rows), width, seed); };
  const auto table = matrix(batch.distance.num_rows, 4), dtable = matrix(batch.distance.num_rows, 0);
  const auto lengths = matrix(3 * batch.num_graphs, 5), dlengths = matrix(3 * batch.num_graphs, 0);
  const auto angles = matrix(batch.cosine.num_rows, 6), dangles = matrix(batch.cosine.num_rows, 0);
  EdgeLayer<double>::Saved saved;
  test::GradientCase c;
  c.forward = [&] { return layer.forward(step, batch, table, lengths, angles, saved); };
  c.backward = [&](View2<double> dy) { layer.backward(step, batch, p.reduction, saved, dy, dtable, dlengths, dangles); };
  c.inputs = {{"table", table, dtable, true}, {"lengths", lengths, dlengths}, {"angles", angles, dangles}};
  c.params = &store;
  const auto result = test::check_gradients(step, c);
  for (const std::string& failure : result.failures) ADD_FAILURE() << failure;
  RecordProperty("worst", fmt::format("{:.1e}", result.worst));
}

std::string name_of(const ::testing::TestParamInfo<LayerCase>& info) { return info.param.name; }

INSTANTIATE_TEST_SUITE_P(
    Cases, NodeLayerGradients,
    ::testing::Values(LayerCase{.name = "exact"}, LayerCase{.name = "dense", .edges = Edges::dense},
                      LayerCase{.name = "dense_added", .edges = Edges::dense, .accumulate = true},
                      LayerCase{.name = "table_added", .heads = 2, .edges = Edges::table, .accumulate = true},
                      LayerCase{.name = "two_heads", .heads = 2, .edges = Edges::dense}, LayerCase{.name = "strip_and_rest", .width = 37},
                      LayerCase{.name = "scatter", .heads = 2, .edges = Edges::table, .reduction = Reduction::scatter},
                      LayerCase{.name = "evaluate", .heads = 2, .edges = Edges::table, .mode = Mode::evaluate},
                      LayerCase{.name = "one_atom", .atoms = {1}}, LayerCase{.name = "one_crystal", .atoms = {4}, .edges = Edges::dense},
                      LayerCase{.name = "one_crystal_without_edges", .heads = 2, .atoms = {3, -2, 2}},
                      LayerCase{.name = "no_edges", .atoms = {-2, -3}}, LayerCase{.name = "no_edges_dense", .atoms = {-3}, .edges = Edges::dense},
                      LayerCase{.name = "no_edges_table", .atoms = {-3}, .edges = Edges::table, .reduction = Reduction::scatter},
                      LayerCase{.name = "no_crystals", .atoms = {}}, LayerCase{.name = "no_crystals_evaluate", .atoms = {}, .mode = Mode::evaluate}),
    name_of);

INSTANTIATE_TEST_SUITE_P(
    Cases, EdgeLayerGradients,
    ::testing::Values(LayerCase{.name = "exact"}, LayerCase{.name = "table", .edges = Edges::table}, LayerCase{.name = "two_heads", .heads = 2},
                      LayerCase{.name = "strip_and_rest", .width = 37, .atoms = {3}},
                      LayerCase{.name = "scatter", .heads = 2, .edges = Edges::table, .reduction = Reduction::scatter},
                      LayerCase{.name = "evaluate", .heads = 2, .edges = Edges::table, .mode = Mode::evaluate},
                      LayerCase{.name = "one_atom", .atoms = {1}}, LayerCase{.name = "one_crystal_without_edges", .heads = 2, .atoms = {3, -2, 2}},
                      LayerCase{.name = "no_edges", .atoms = {-2, -3}}, LayerCase{.name = "no_edges_table", .atoms = {-3}, .edges = Edges::table},
                      LayerCase{.name = "no_crystals", .atoms = {}}, LayerCase{.name = "no_crystals_evaluate", .atoms = {}, .mode = Mode::evaluate}),
    name_of);

}  // namespace
}  // namespace gnn_hpc::comformer
