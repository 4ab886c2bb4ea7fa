// SPDX-License-Identifier: Apache-2.0
#include "models/partoken/model.hpp"

#include <fmt/format.h>

namespace gnn_hpc::partoken {

namespace {

using Values = std::vector<double>;

/// Numbers of one cluster in the order of residues: what is kept by candidate goes where the candidate is.
Values of_residues(const Values& by_candidate, const std::vector<int>& ptr, const Values& candidate, const std::vector<int>& counts, int cluster,
                   int clusters) {
  const std::size_t nodes = static_cast<std::size_t>(ptr.back()), first = static_cast<std::size_t>(cluster) * nodes;
  Values out(nodes, 0.0);
  for (std::size_t b = 0; b + 1 < ptr.size(); ++b) {
    const int count = counts[b * static_cast<std::size_t>(clusters) + static_cast<std::size_t>(cluster)];
    for (int k = 0; k < count; ++k) {
      const std::size_t at = first + static_cast<std::size_t>(ptr[b] + k);
      out[static_cast<std::size_t>(candidate[at])] = by_candidate[at];
    }
  }
  return out;
}

/// Rows b S + cluster, columns [begin, end), of a matrix of `width` columns.
Values of_chains(const Values& rows, std::size_t width, std::size_t begin, std::size_t end, int cluster, int clusters) {
  Values out;
  for (std::size_t r = static_cast<std::size_t>(cluster); r * width < rows.size(); r += static_cast<std::size_t>(clusters)) {
    out.insert(out.end(), rows.begin() + static_cast<std::ptrdiff_t>(r * width + begin), rows.begin() + static_cast<std::ptrdiff_t>(r * width + end));
  }
  return out;
}

template <class T>
void trace_partition(const typename Partitioner<T>::Saved& s, const PartitionerOptions& o, const std::vector<int>& ptr,
                     std::vector<TracedTensor>& out) {
  const int clusters = o.max_clusters;
  const std::size_t nodes = s.x.extent(0), chains = s.mean.extent(0), width = s.x.extent(1), hidden = static_cast<std::size_t>(o.hidden),
                    local = s.local.extent(1), keys = s.keys.extent(1);
  const Values logit = host_values(s.logit), soft = host_values(s.soft), p = host_values(s.p), link = host_values(s.link),
               rows = host_values(s.local), key = host_values(s.keys), query = host_values(s.query), theta = host_values(s.theta),
               embedding = host_values(s.clusters), candidate = host_values(s.candidate), seed = host_values(s.seed);
  const std::vector<int> counts = host_ints(s.candidates);
  for (int c = 0; c < clusters; ++c) {
    const auto name = [&](const char* what) { return fmt::format("trace/step{}.{}", c, what); };
    const auto nodes_of = [&](const Values& all) {
      const auto begin = all.begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(c) * nodes);
      return Values(begin, begin + static_cast<std::ptrdiff_t>(nodes));
    };
    const auto spread = [&](const Values& by_candidate) { return of_residues(by_candidate, ptr, candidate, counts, c, clusters); };
    const Values is_candidate = spread(Values(p.size(), 1.0)), z = spread(link);
    Values score(nodes, 0.0);
    for (std::size_t b = 0; b + 1 < ptr.size(); ++b) {
      const std::size_t row = b * static_cast<std::size_t>(clusters) + static_cast<std::size_t>(c);
      for (auto i = static_cast<std::size_t>(ptr[b]); i < static_cast<std::size_t>(ptr[b + 1]); ++i) {
        if (is_candidate[i] == 0.0) continue;
        double sum = 0.0;
        for (std::size_t j = 0; j < keys; ++j) sum += key[i * keys + j] * query[row * keys + j];
        score[i] = sum / 8.0 + Partitioner<T>::kLinkWeight * z[i];
      }
    }
    out.push_back({name("seed_logit"), {nodes}, nodes_of(logit)});
    out.push_back({name("soft"), {nodes}, nodes_of(soft)});
    out.push_back({name("seed"), {chains}, of_chains(seed, 1, 0, 1, c, clusters)});
    out.push_back({name("candidate"), {nodes}, is_candidate});
    out.push_back({name("p"), {nodes}, spread(p)});
    out.push_back({name("z"), {nodes}, z});
    out.push_back({name("score"), {nodes}, score});
    out.push_back({name("x_seed"), {chains, width}, of_chains(rows, local, 0, width, c, clusters)});
    out.push_back({name("phi"), {chains, 3}, of_chains(rows, local, width + hidden, local, c, clusters)});
    out.push_back({name("theta"), {chains}, of_chains(theta, 1, 0, 1, c, clusters)});
    out.push_back({name("embedding"), {chains, width}, of_chains(embedding, width, 0, width, c, clusters)});
  }
}

}  // namespace

template <class T>
std::vector<TracedTensor> trace(const Model<T>& model, const ResidueInput<T>& batch) {
  const typename Model<T>::Saved& s = model.saved();
  const auto chains = static_cast<std::size_t>(batch.num_graphs), clusters = static_cast<std::size_t>(model.options().partitioner.max_clusters),
             heads = static_cast<std::size_t>(model.options().heads);
  std::vector<TracedTensor> out;
  const auto add = [&](const std::string& name, std::vector<std::size_t> shape, const auto& view) {
    out.push_back({name, std::move(shape), host_values(view)});
  };
  const auto matrix = [&](const std::string& name, const View2<T>& x) { add(name, {x.extent(0), x.extent(1)}, x); };
  matrix("node_out", s.partition.x);
  add("clusters", {chains, clusters, s.partition.clusters.extent(1)}, s.partition.clusters);
  add("assign", {s.partition.assign.extent(0)}, s.partition.assign);
  Values valid = host_values(s.partition.members);
  for (double& v : valid) v = v > 0.0 ? 1.0 : 0.0;
  out.push_back({"valid", {chains, clusters}, valid});
  add("importance", {chains, clusters}, s.importance);
  add("penalty", {1}, s.partition.penalty);
  out.push_back({"perplexity", {1}, {model.codebook().perplexity()}});
  out.push_back({"entropy", {1}, {model.codebook().entropy()}});
  if (!s.use.bypass) {
    add("code", {chains, clusters}, s.codes.code);
    add("commit", {1}, s.codes.commit);
    if (s.use.presence) {
      Values presence = host_values(s.codes.absent);
      for (double& x : presence) x = 1.0 - x;
      out.push_back({"presence", {s.codes.absent.extent(0), s.codes.absent.extent(1)}, presence});
    }
  }
  trace_partition<T>(s.partition, model.options().partitioner, host_ints(batch.graph_ptr), out);
  add("trace/attn.score", {chains, heads, clusters}, s.attention.score);
  add("trace/attn.weight", {chains, heads, clusters}, s.attention.weight);
  matrix("trace/gate.beta", s.gate.beta);
  matrix("trace/pooled", s.pooled.y);
  matrix("trace/c_star", s.star);
  matrix("trace/fused", s.fused);
  return out;
}

template std::vector<TracedTensor> trace(const Model<float>&, const ResidueInput<float>&);
template std::vector<TracedTensor> trace(const Model<double>&, const ResidueInput<double>&);

}  // namespace gnn_hpc::partoken
