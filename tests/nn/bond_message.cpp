// SPDX-License-Identifier: Apache-2.0
// Messages on bonds against loops over the definition, and their gradients.
#include "nn/bond_message.hpp"

#include "nn/molecular_graphs.hpp"
#include "support/gradcheck.hpp"

#include <gtest/gtest.h>

namespace gnn_hpc {
namespace {

using test::random_matrix;
using test::TestGraphs;
using test::TestStep;
using test::values_of;

struct MessageCase {
  const char* name;
  std::vector<int> sizes{5, 1, 8};
  int width = 6, depth = 3;
  bool sums = false;  ///< messages from the sums at nodes, less the reverse edge
  double dropout = 0.0;
  Mode mode = Mode::train;
};
void PrintTo(const MessageCase& c, std::ostream* os) { *os << c.name; }

MessagePlan<double> plan_of(const TestGraphs& g, const MessageCase& c, test::Gathers& gathers) {
  MessagePlan<double> plan;
  const int edges = g.edges(), nodes = g.nodes();
  plan.num_h0 = edges;
  plan.num_rows_z = nodes;
  plan.h0_node = test::device_ints(g.src);
  plan.by_node = gathers.groups(g.src, nodes);
  plan.by_edge.num_rows = edges;
  MessagePlan<double>::Layer layer;
  layer.num_rows = layer.residual_out.num_rows = edges;
  HostGather in, out;
  for (int e = 0; e < edges; ++e) {
    const auto from = g.src[static_cast<std::size_t>(e)];
    if (c.sums) {
      in.item.insert(in.item.end(), {edges + from, e ^ 1});
      in.weight.insert(in.weight.end(), {1.0, -1.0});
      out.item.insert(out.item.end(), {edges + g.dst[static_cast<std::size_t>(e)], e ^ 1});
      out.weight.insert(out.weight.end(), {1.0, -1.0});
    } else {
      for (int k = 0; k < edges; ++k) {
        if (g.dst[static_cast<std::size_t>(k)] == from && k != (e ^ 1)) in.item.push_back(k);
      }
    }
    in.ptr.push_back(static_cast<int>(in.item.size()));
    out.ptr.push_back(static_cast<int>(out.item.size()));
  }
  if (!c.sums) transpose(in, edges, out);
  layer.in.rows = gathers.upload(in);
  layer.out.rows = gathers.upload(out);
  if (c.sums) {
    layer.in.sums = gathers.groups(g.dst, nodes);
    layer.out.sums = gathers.groups(g.src, nodes);
  }
  plan.steps.assign(static_cast<std::size_t>(c.depth) - 1, layer);
  plan.z_by_node.num_rows = nodes;
  plan.z_in = gathers.groups(g.dst, nodes);
  plan.z_out = {edges, {}, test::device_ints(g.dst), {}};
  plan.edge_key = View1<std::uint64_t>("keys", static_cast<std::size_t>(edges));
  plan.z_key = View1<std::uint64_t>("keys", static_cast<std::size_t>(nodes));
  for (const auto& keys : {plan.edge_key, plan.z_key}) {
    const auto host = Kokkos::create_mirror_view(keys);
    for (std::size_t i = 0; i < host.extent(0); ++i) host(i) = 100 + i;
    Kokkos::deep_copy(keys, host);
  }
  return plan;
}

/// z by the definition.
std::vector<double> expected_z(const TestGraphs& g, const MessageCase& c, const BondMessage<double>& layer, const std::vector<double>& x,
                               const std::vector<double>& edge) {
  const auto d_v = static_cast<std::size_t>(layer.node_width), d_e = static_cast<std::size_t>(layer.edge_width),
             w = static_cast<std::size_t>(c.width);
  const auto wi = values_of(layer.w_i.weight.value()), wh = values_of(layer.w_h.weight.value()), wo = values_of(layer.w_o.weight.value()),
             bias = values_of(layer.w_o.bias.value1());
  const auto edges = static_cast<std::size_t>(g.edges()), nodes = static_cast<std::size_t>(g.nodes());
  const auto relu = [](double v) { return v > 0.0 ? v : 0.0; };
  std::vector<double> h0(edges * w), h(edges * w);
  for (std::size_t e = 0; e < edges; ++e) {
    for (std::size_t o = 0; o < w; ++o) {
      double sum = 0.0;
      for (std::size_t k = 0; k < d_v; ++k) sum += wi[o * (d_v + d_e) + k] * x[static_cast<std::size_t>(g.src[e]) * d_v + k];
      for (std::size_t k = 0; k < d_e; ++k) sum += wi[o * (d_v + d_e) + d_v + k] * edge[e * d_e + k];
      h0[e * w + o] = sum;
      h[e * w + o] = relu(sum);
    }
  }
  for (int t = 1; t < c.depth; ++t) {
    std::vector<double> next(edges * w);
    for (std::size_t e = 0; e < edges; ++e) {
      std::vector<double> m(w);
      for (std::size_t k = 0; k < edges; ++k) {
        if (g.dst[k] != g.src[e] || k == (e ^ 1U)) continue;
        for (std::size_t o = 0; o < w; ++o) m[o] += h[k * w + o];
      }
      for (std::size_t o = 0; o < w; ++o) {
        double sum = h0[e * w + o];
        for (std::size_t k = 0; k < w; ++k) sum += wh[o * w + k] * m[k];
        next[e * w + o] = relu(sum);
      }
    }
    h = next;
  }
  std::vector<double> z(nodes * w);
  for (std::size_t v = 0; v < nodes; ++v) {
    std::vector<double> m(w);
    for (std::size_t k = 0; k < edges; ++k) {
      for (std::size_t o = 0; o < w && g.dst[k] == static_cast<int>(v); ++o) m[o] += h[k * w + o];
    }
    for (std::size_t o = 0; o < w; ++o) {
      double sum = bias[o];
      for (std::size_t k = 0; k < d_v; ++k) sum += wo[o * (d_v + w) + k] * x[v * d_v + k];
      for (std::size_t k = 0; k < w; ++k) sum += wo[o * (d_v + w) + d_v + k] * m[k];
      z[v * w + o] = relu(sum);
    }
  }
  return z;
}

class BondMessages : public ::testing::TestWithParam<MessageCase> {};

TEST_P(BondMessages, AreTheDefinitionAndItsGradients) {
  const MessageCase p = GetParam();
  constexpr int kNodeWidth = 5, kEdgeWidth = 3;
  ParamStore<double> store;
  const BondMessage<double> layer(store, "layer", kNodeWidth, kEdgeWidth, p.width, p.depth, p.dropout);
  store.finalize(2);
  const TestGraphs g = test::random_graphs(p.sizes, 7);
  test::Gathers gathers;
  const auto plan = plan_of(g, p, gathers);
  const auto nodes = static_cast<std::size_t>(g.nodes()), edges = static_cast<std::size_t>(g.edges());
  const auto x = random_matrix<double>(nodes, kNodeWidth, 3), dx = test::nan_matrix<double>(nodes, kNodeWidth);
  const auto e = random_matrix<double>(edges, kEdgeWidth, 4), de = test::nan_matrix<double>(edges, kEdgeWidth);
  TestStep<double> step(p.mode);
  BondMessage<double>::Saved saved;
  if (p.dropout == 0.0 || p.mode == Mode::evaluate) {
    const auto z = values_of(layer.forward(step, plan, x, e, saved));
    EXPECT_LT(test::relative_difference(z, expected_z(g, p, layer, values_of(x), values_of(e))), 1e-14);
  }
  test::GradientCase c;
  c.forward = [&] { return layer.forward(step, plan, x, e, saved); };
  c.backward = [&](View2<double> dz) {
    WeightGradients<double> weights;
    layer.backward(step, plan, saved, dz, dx, de, weights);
    weights.add(step);
  };
  c.inputs = {{"x", x, dx}, {"e", e, de}};
  c.params = &store;
  c.h = 5e-6;
  const auto result = test::check_gradients(step, c);
  for (const std::string& failure : result.failures) ADD_FAILURE() << failure;
  RecordProperty("worst", fmt::format("{:.1e}", result.worst));
}

std::string name_of(const ::testing::TestParamInfo<MessageCase>& info) { return info.param.name; }

INSTANTIATE_TEST_SUITE_P(Cases, BondMessages,
                         ::testing::Values(MessageCase{.name = "rows"}, MessageCase{.name = "sums", .sums = true},
                                           MessageCase{.name = "one_state", .depth = 1}, MessageCase{.name = "five_states", .depth = 5},
                                           MessageCase{.name = "few_edges", .sizes = {3, -6, -1}},
                                           MessageCase{.name = "few_edges_sums", .sizes = {-6, 3}, .sums = true},
                                           MessageCase{.name = "few_edges_one_state", .sizes = {2, -6}, .depth = 1},
                                           MessageCase{.name = "strip_and_rest", .sizes = {9}, .width = 37, .depth = 2},
                                           MessageCase{.name = "dropout", .sizes = {12}, .width = 9, .dropout = 0.3},
                                           MessageCase{.name = "dropout_evaluate", .dropout = 0.3, .mode = Mode::evaluate},
                                           MessageCase{.name = "no_edges", .sizes = {-3, -1}},
                                           MessageCase{.name = "no_edges_sums", .sizes = {-3}, .sums = true},
                                           MessageCase{.name = "no_graphs", .sizes = {}}),
                         name_of);

}  // namespace
}  // namespace gnn_hpc
