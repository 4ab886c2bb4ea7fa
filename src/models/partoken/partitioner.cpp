// SPDX-License-Identifier: Apache-2.0
#include "models/partoken/partitioner.hpp"

#include "base/error.hpp"
#include "models/partoken/partition_backward.hpp"
#include "models/partoken/partition_kernels.hpp"
#include "nn/matmul.hpp"
#include "nn/random_mask.hpp"
#include "nn/rows.hpp"

namespace gnn_hpc::partoken {

namespace {

/// A team of a device takes a chain; its threads share out residues and channels.
template <class Kernel>
void run_teams(const char* name, const Exec& exec, int chains, const Kernel& kernel) {
  Kokkos::parallel_for(name, Kokkos::TeamPolicy<Exec>(exec, chains, team_size()), kernel);
}

/// keep(c N + i, :) of all clusters.
template <class T>
void draw_masks(const Exec& exec, const RandomMask& mask, View1<std::uint64_t> key, View1<int> ptr, View1<int> graph, View2<T> keep) {
  const int width = keep.extent_int(1), nodes = graph.extent_int(0);
  Kokkos::parallel_for(
      "gnn_hpc::Partitioner::mask", Kokkos::TeamPolicy<Exec>(exec, keep.extent_int(0), team_size()), KOKKOS_LAMBDA(const Team& team) {
        const int r = team.league_rank(), c = r / nodes, i = r % nodes, g = graph(i);
        RandomMask of_cluster = mask;
        of_cluster.key = mask.key.fold(static_cast<std::uint64_t>(c));
        T* row = &keep(r, 0);
        each_channel_masked<T>(team, of_cluster, key(g), static_cast<std::uint32_t>(i - ptr(g)), width,
                               [&](const int j, const T factor) { row[j] = factor; });
      });
}

template <class T>
void scale_masks(const Exec& exec, View2<T> given, T factor, View2<T> keep) {
  Kokkos::parallel_for(
      "gnn_hpc::Partitioner::given_mask", RowMajor2(exec, {0, 0}, {keep.extent_int(0), keep.extent_int(1)}),
      KOKKOS_LAMBDA(const int r, const int j) { keep(r, j) = factor * given(r, j); });
}

template <class T>
DenseEdges make_dense(Step<T>& step, const ResidueInput<T>& graph) {
  DenseEdges out;
  out.graph_ptr = graph.graph_ptr;
  out.node_graph = graph.node_graph;
  // The sizes of the matrices are known on the host where the batch was made; this way of doing it is for comparison only and may ask for them.
  const auto ptr = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), graph.graph_ptr);
  const auto begin = Kokkos::View<std::int64_t*, Kokkos::LayoutRight, Kokkos::HostSpace>("begin", ptr.extent(0));
  for (std::size_t b = 1; b < ptr.extent(0); ++b) {
    const std::int64_t n = ptr(b) - ptr(b - 1);
    begin(b) = begin(b - 1) + n * n;
  }
  out.begin = step.arena.template array<std::int64_t>(begin.extent(0));
  out.adjacent = step.arena.template array<std::uint8_t>(static_cast<std::size_t>(begin(begin.extent(0) - 1)));
  out.degree = step.arena.template array<int>(static_cast<std::size_t>(graph.num_nodes));
  Kokkos::deep_copy(step.exec, out.begin, begin);
  Kokkos::deep_copy(step.exec, out.adjacent, std::uint8_t(0));
  const DenseEdges d = out;
  const auto out_ptr = graph.out_ptr, out_edge = graph.out_edge, dst = graph.dst;
  Kokkos::parallel_for(
      "gnn_hpc::Partitioner::adjacency", Rows(step.exec, 0, graph.num_nodes), KOKKOS_LAMBDA(const int i) {
        const int b = d.node_graph(i), n0 = d.graph_ptr(b), n = d.graph_ptr(b + 1) - n0;
        const std::int64_t row = d.begin(b) + static_cast<std::int64_t>(i - n0) * n;
        int degree = 0;
        for (int k = out_ptr(i); k < out_ptr(i + 1); ++k) {
          std::uint8_t& entry = d.adjacent(row + dst(out_edge(k)) - n0);
          degree += entry == 0 ? 1 : 0;
          entry = 1;
        }
        d.degree(i) = degree;
      });
  return out;
}

/// chains[c] that have cluster c, chains[S + c] that have candidates for it.
void count_chains(const Exec& exec, int chains, View1<int> seed, View1<int> candidates, View1<double> out) {
  const int clusters = out.extent_int(0) / 2;
  Kokkos::parallel_for(
      "gnn_hpc::Partitioner::count", Rows(exec, 0, clusters), KOKKOS_LAMBDA(const int c) {
        double valid = 0.0, expanded = 0.0;
        for (int b = 0; b < chains; ++b) {
          valid += seed(b * clusters + c) >= 0 ? 1.0 : 0.0;
          expanded += candidates(b * clusters + c) > 0 ? 1.0 : 0.0;
        }
        out(c) = valid;
        out(clusters + c) = expanded;
      });
}

/// sum over clusters that any chain has candidates for of the mean over chains of (sum p - mu)^2.
void sum_penalty(const Exec& exec, int chains, View1<int> seed, View1<double> gap, View1<double> counts, View1<double> penalty) {
  const int clusters = counts.extent_int(0) / 2;
  Kokkos::parallel_for(
      "gnn_hpc::Partitioner::penalty", Rows(exec, 0, 1), KOKKOS_LAMBDA(const int) {
        double total = 0.0;
        for (int c = 0; c < clusters; ++c) {
          if (!(counts(clusters + c) > 0.0)) continue;
          double sum = 0.0;
          for (int b = 0; b < chains; ++b) {
            const double g = seed(b * clusters + c) >= 0 ? gap(b * clusters + c) : 0.0;
            sum += g * g;
          }
          total += sum / counts(c);
        }
        penalty(0) = total;
      });
}

/// dx(i,:) += dmean(b,:) / n_b
template <class T>
void add_mean_gradient(const Exec& exec, View1<int> ptr, View1<int> graph, View2<T> dmean, View2<T> dx) {
  const int width = dx.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::Partitioner::mean_backward", Kokkos::TeamPolicy<Exec>(exec, dx.extent_int(0), team_size()), KOKKOS_LAMBDA(const Team& team) {
        const int i = team.league_rank(), b = graph(i);
        const T share = T(1) / static_cast<T>(ptr(b + 1) - ptr(b));
        each_channel(team, width, [&](const int c) { dx(i, c) += share * dmean(b, c); });
      });
}

}  // namespace

template <class T>
Partitioner<T>::Partitioner(ParamStore<T>& store, const PartitionerOptions& o)
    : options_(o),
      select_hidden_(store, "partitioner.seed_selector.0", o.width + o.hidden, o.hidden),
      select_(store, "partitioner.seed_selector.3", o.hidden, 1),
      context_(store, "partitioner.context_encoder", o.width, o.hidden),
      query_(store, "partitioner.expander.Wq", o.width, kKeyWidth, false),
      key_(store, "partitioner.expander.Wk", o.width, kKeyWidth, false),
      threshold_hidden_(store, "partitioner.expander.threshold_head.mlp.0", o.width + o.hidden + kLocal, kThresholdWidth),
      threshold_(store, "partitioner.expander.threshold_head.mlp.2", kThresholdWidth, 1),
      epoch_(store.add_buffer("partitioner.epoch", {}, 0.0, BufferRule::none)) {}

template <class T>
PartitionWeights<T> Partitioner<T>::weights() const {
  const int d = options_.width;
  return {column_range(select_hidden_.weight.value(), d, d + options_.hidden),
          select_.weight.value1(),
          select_.bias.value1(),
          query_.weight.value(),
          threshold_hidden_.weight.value(),
          threshold_hidden_.bias.value1(),
          threshold_.weight.value1(),
          threshold_.bias.value1(),
          context_.weight.value(),
          context_.bias.value1(),
          epoch_.value1()};
}

template <class T>
void Partitioner<T>::set_epoch(const Exec& exec, std::int64_t epoch) const {
  Kokkos::deep_copy(exec, epoch_.value1(), static_cast<T>(epoch));
}

template <class T>
void Partitioner<T>::allocate(Step<T>& step, const ResidueInput<T>& graph, Saved& s) const {
  Arena& arena = step.arena;
  const auto size = [](int n) { return static_cast<std::size_t>(n); };
  const std::size_t nodes = size(graph.num_nodes), chains = size(graph.num_graphs), clusters = size(options_.max_clusters), rows = chains * clusters,
                    width = size(options_.width), hidden = size(options_.hidden);
  s.mean = arena.matrix<T>(chains, width);
  s.projected = arena.matrix<T>(nodes, hidden);
  s.keys = arena.matrix<T>(nodes, size(kKeyWidth));
  s.logit = arena.matrix<T>(clusters, nodes);
  s.soft = arena.matrix<T>(clusters, nodes);
  s.candidate = arena.matrix<int>(clusters, nodes);
  s.p = arena.matrix<T>(clusters, nodes);
  s.link = arena.matrix<T>(clusters, nodes);
  s.shift = arena.matrix<T>(rows, hidden);
  s.query = arena.matrix<T>(rows, size(kKeyWidth));
  s.hidden = arena.matrix<T>(rows, size(kThresholdWidth));
  s.local = arena.matrix<T>(rows, width + hidden + size(kLocal));
  s.theta = arena.array<T>(rows);
  s.seed = arena.array<int>(rows);
  s.candidates = arena.array<int>(rows);
  s.members = arena.array<int>(rows);
  s.gap = arena.array<double>(rows);
  s.clusters = arena.matrix<T>(rows, width);
  s.assign = arena.array<int>(nodes);
  s.chains = arena.array<double>(2 * clusters);
  s.penalty = arena.array<double>(1);
}

template <class T>
View2<T> Partitioner<T>::masks(Step<T>& step, const ResidueInput<T>& graph, const GivenDraws<T>* given) const {
  if (!step.training() || (given != nullptr && given->keep.extent(0) == 0)) return {};
  const View2<T> keep = step.arena.template matrix<T>(static_cast<std::size_t>(options_.max_clusters) * static_cast<std::size_t>(graph.num_nodes),
                                                      static_cast<std::size_t>(options_.hidden));
  if (given != nullptr)
    scale_masks(step.exec, given->keep, static_cast<T>(1.0 / (1.0 - kSeedDropout)), keep);
  else
    draw_masks(step.exec, RandomMask(step.key.fold(fnv1a64("partitioner.seed_selector.2")), kSeedDropout), graph.graph_key, graph.graph_ptr,
               graph.node_graph, keep);
  return keep;
}

template <class T>
void Partitioner<T>::forward(Step<T>& step, const ResidueInput<T>& graph, View2<T> x, const GivenDraws<T>* given, Saved& s) const {
  const int d = options_.width, chains = graph.num_graphs;
  s.x = x;
  allocate(step, graph, s);
  s.keep = masks(step, graph, given);
  SeedNoise noise;
  noise.on = given != nullptr ? given->uniform.extent(0) > 0 : step.training() || options_.eval_noise;
  if (given != nullptr) noise.given = given->uniform;
  noise.key = step.key.fold(fnv1a64("partitioner.gumbel"));
  noise.graph_key = graph.graph_key;

  ArenaFrame frame(step.arena);
  const auto context0 = step.arena.template matrix<T>(static_cast<std::size_t>(chains), static_cast<std::size_t>(options_.hidden));
  const auto level = step.arena.template array<int>(static_cast<std::size_t>(graph.num_nodes));
  Matmul<T>::nt(step.exec, x, column_range(select_hidden_.weight.value(), 0, d), s.projected);
  RowOps<T>::add_bias(step.exec, s.projected, select_hidden_.bias.value1());
  key_.forward(step, x, s.keys);
  SegmentMean<T>::forward(step.exec, graph.graph_ptr, x, s.mean);
  context_.forward(step, s.mean, context0);
  if (options_.dense) {
    const PartitionKernel<T, DenseEdges> kernel{options_, weights(), s, graph.graph_ptr, context0, level, make_dense(step, graph), noise};
    run_teams("gnn_hpc::Partitioner::dense", step.exec, chains, kernel);
  } else {
    const PartitionKernel<T, SparseEdges> kernel{options_, weights(), s, graph.graph_ptr, context0, level, {graph.out_ptr, graph.out_edge, graph.dst},
                                                 noise};
    run_teams("gnn_hpc::Partitioner::forward", step.exec, chains, kernel);
  }
  count_chains(step.exec, chains, s.seed, s.candidates, s.chains);
  step.comm.sum(step.exec, s.chains);
  sum_penalty(step.exec, chains, s.seed, s.gap, s.chains, s.penalty);
}

template <class T>
void Partitioner<T>::backward(Step<T>& step, const ResidueInput<T>& graph, const Saved& s, View2<T> dclusters, double penalty_weight,
                              View2<T> dx) const {
  ArenaFrame frame(step.arena);
  Arena& arena = step.arena;
  const int d = options_.width, h = options_.hidden;
  const auto like = [&](const View2<T>& x) { return arena.matrix<T>(x.extent(0), x.extent(1)); };
  const std::size_t rows = s.clusters.extent(0), chains = s.mean.extent(0);
  PartitionGradients<T> g;
  g.projected = like(s.projected);
  g.keys = like(s.keys);
  g.shift = like(s.shift);
  g.query = like(s.query);
  g.hidden = like(s.hidden);
  g.theta = arena.matrix<T>(rows, 1);
  g.after = like(s.shift);
  g.context = arena.matrix<T>(chains, s.shift.extent(1));
  g.select = like(g.context);
  g.seed_x = like(s.clusters);
  g.soft_mean = like(s.clusters);
  g.logit = like(s.logit);
  g.x = dx;
  const PartitionBackward<T> kernel{options_, weights(), s, graph.graph_ptr, dclusters, penalty_weight, g};
  run_teams("gnn_hpc::Partitioner::backward", step.exec, graph.num_graphs, kernel);

  const View2<T> w0 = select_hidden_.weight.value(), dw0 = select_hidden_.weight.grad();
  Matmul<T>::tn(step.exec, g.projected, s.x, column_range(dw0, 0, d));
  Matmul<T>::tn(step.exec, g.shift, column_range(s.local, d, d + h), column_range(dw0, d, d + h));
  RowOps<T>::add_column_sums(step, g.projected, select_hidden_.bias.grad1());
  RowOps<T>::add_column_sums(step, g.select, select_.weight.grad1());
  Matmul<T>::nn(step.exec, g.projected, column_range(w0, 0, d), dx, T(1));
  key_.backward(step, s.x, g.keys, dx, T(1));
  query_.backward_parameters(step, column_range(s.local, 0, d), g.query);
  threshold_hidden_.backward_parameters(step, s.local, g.hidden);
  threshold_.backward_parameters(step, s.hidden, g.theta);
  context_.backward_parameters(step, s.clusters, g.after);
  const auto dmean = like(s.mean);
  context_.backward(step, s.mean, g.context, dmean);
  add_mean_gradient(step.exec, graph.graph_ptr, graph.node_graph, dmean, dx);
}

template class Partitioner<float>;
template class Partitioner<double>;

}  // namespace gnn_hpc::partoken
