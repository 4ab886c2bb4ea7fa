// SPDX-License-Identifier: Apache-2.0
#include "models/dmpnn_diffpool/model.hpp"

#include <algorithm>

namespace gnn_hpc::dmpnn {

namespace {

/// Gathered rows, one after the other.
template <class T>
std::vector<double> gathered(const Gather<T>& gather, const std::vector<double>& x, std::size_t width) {
  const auto ptr = host_ints(gather.ptr), item = host_ints(gather.item);
  const auto weight = host_values(gather.weight);
  std::vector<double> out(static_cast<std::size_t>(gather.num_rows) * width, 0.0);
  for (std::size_t r = 0; r < static_cast<std::size_t>(gather.num_rows); ++r) {
    for (int k = ptr[r]; k < ptr[r + 1]; ++k) {
      const auto at = static_cast<std::size_t>(k), row = static_cast<std::size_t>(item.empty() ? k : item[at]);
      for (std::size_t c = 0; c < width; ++c) out[r * width + c] += (weight.empty() ? 1.0 : weight[at]) * x[row * width + c];
    }
  }
  return out;
}

/// Coarse edges as golden files list them: pairs, or per graph all (p,q), then all (q,p).
template <class T>
void trace_edges(const std::string& prefix, const CoarseEdges<T>& edges, const std::vector<int>& cluster_ptr, bool doubled,
                 std::vector<TracedTensor>& out) {
  const auto row_ptr = host_ints(edges.row_ptr), begin = host_ints(edges.begin), end = host_ints(edges.end), back = host_ints(edges.reverse);
  const auto feature = host_values(edges.feature);
  const std::size_t width = edges.feature.extent(1);
  std::vector<double> src, dst, reverse, rows;
  for (std::size_t g = 0; g + 1 < cluster_ptr.size(); ++g) {
    const int first = row_ptr[static_cast<std::size_t>(cluster_ptr[g])], last = row_ptr[static_cast<std::size_t>(cluster_ptr[g + 1])];
    for (int turn = 0; turn < (doubled ? 2 : 1); ++turn) {
      for (int r = first; r < last; ++r) {
        const auto i = static_cast<std::size_t>(r);
        src.push_back(turn == 0 ? begin[i] : end[i]);
        dst.push_back(turn == 0 ? end[i] : begin[i]);
        reverse.push_back(doubled ? static_cast<double>(reverse.size() ^ 1U) : back[i]);
        rows.insert(rows.end(), feature.begin() + static_cast<std::ptrdiff_t>(i * width),
                    feature.begin() + static_cast<std::ptrdiff_t>((i + 1) * width));
      }
    }
  }
  const std::size_t listed = src.size();
  src.insert(src.end(), dst.begin(), dst.end());
  out.push_back({prefix + "edge_index_coarse", {2, listed}, std::move(src)});
  out.push_back({prefix + "rev_coarse", {listed}, std::move(reverse)});
  out.push_back({prefix + "E_coarse", {listed, width}, std::move(rows)});
  out.push_back({prefix + "W_coarse", {static_cast<std::size_t>(edges.num_pairs)}, host_values(edges.weight)});
}

}  // namespace

template <class T>
std::vector<TracedTensor> trace(const Model<T>& model, Step<T>& step, const MoleculeBatch<T>& b) {
  const auto& s = model.saved();
  const ModelOptions& o = model.options();
  const auto c = static_cast<std::size_t>(o.hidden_dim), graphs = static_cast<std::size_t>(b.num_graphs);
  ArenaFrame frame(step.arena);
  std::vector<TracedTensor> out;
  for (std::size_t l = 0; l < s.levels.size(); ++l) {
    const auto& level = s.levels[l];
    const auto& e = level.encoder;
    const std::string prefix = o.levels() == 0 ? "" : "level" + std::to_string(l) + "/";
    const std::size_t edges = e.h0.extent(0), nodes = e.z.extent(0);
    out.push_back({prefix + "h_pre", {edges, c}, host_values(e.h0)});
    for (std::size_t t = 0; t < e.h.size(); ++t) out.push_back({prefix + "h" + std::to_string(t), {edges, c}, host_values(e.h[t])});
    out.push_back({prefix + "M", {nodes, c}, gathered(level.plan.z_in, host_values(e.h.back()), c)});
    out.push_back({prefix + "Z", {nodes, c}, host_values(e.z)});
    if (!level.assigned) continue;
    const Assignment& a = level.assignment;
    const auto slots = static_cast<std::size_t>(a.slots), clusters = static_cast<std::size_t>(level.level.num_clusters);
    out.push_back({prefix + "S_value", {nodes, slots}, host_values(a.value)});
    out.push_back({prefix + "S_cluster", {nodes, slots}, host_values(a.cluster)});
    const std::vector<int> ptr = host_ints(level.level.cluster_ptr);
    std::vector<double> counts;
    for (std::size_t g = 0; g < graphs; ++g) counts.push_back(ptr[g + 1] - ptr[g]);
    out.push_back({prefix + "clusters", {graphs}, std::move(counts)});

    const auto v = step.arena.template matrix<T>(clusters, c);
    model.pooling().pool(step, level.level, a, e.z, v);
    const auto features = l == 0 ? e.edges : s.levels[l - 1].edges.feature;
    const CoarseEdges<T> coarse = model.pooling().coarsen(step, level.level, a, features);
    const auto auxiliary = step.arena.template matrix<double>(graphs, 2);
    model.pooling().auxiliary(step, level.level, a, 0.0, auxiliary);
    step.exec.fence("gnn_hpc::dmpnn::trace");
    out.push_back({prefix + "V_coarse", {clusters, c}, host_values(v)});
    trace_edges(prefix, coarse, ptr, o.coarse_graph == CoarseGraph::legacy, out);
    const auto losses = host_values(auxiliary);
    double link = 0.0, entropy = 0.0;
    for (std::size_t g = 0; g < graphs; ++g) {
      link += losses[2 * g];
      entropy += losses[2 * g + 1];
    }
    const double divisor = o.aux_reduction == AuxReduction::mean ? static_cast<double>(std::max<std::size_t>(graphs, 1)) : 1.0;
    out.push_back({prefix + "lp", {}, {link / divisor}});
    out.push_back({prefix + "ent", {}, {entropy / divisor}});
  }
  out.push_back({"H", {graphs, c}, host_values(s.pooled)});
  const auto features = host_values(s.features);
  std::vector<double> normalised;
  for (std::size_t g = 0; g < graphs; ++g) {
    const auto row = features.begin() + static_cast<std::ptrdiff_t>(g * s.features.extent(1));
    normalised.insert(normalised.end(), row, row + static_cast<std::ptrdiff_t>(c));
  }
  out.push_back({"H_bn", {graphs, c}, std::move(normalised)});
  return out;
}

template std::vector<TracedTensor> trace(const Model<float>&, Step<float>&, const MoleculeBatch<float>&);
template std::vector<TracedTensor> trace(const Model<double>&, Step<double>&, const MoleculeBatch<double>&);

}  // namespace gnn_hpc::dmpnn
