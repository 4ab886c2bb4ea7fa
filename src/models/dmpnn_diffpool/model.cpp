// SPDX-License-Identifier: Apache-2.0
#include "models/dmpnn_diffpool/model.hpp"

#include "nn/dropout.hpp"
#include "nn/gather_row.hpp"
#include "nn/matmul.hpp"
#include "nn/rows.hpp"

#include <algorithm>

namespace gnn_hpc::dmpnn {

namespace {

template <class T>
View2<T> device_table(const FeatureTable& table, int width) {
  GNN_HPC_REQUIRE(table.width == width || table.values.empty(), "feature table of width {}, the model's is {}", table.width, width);
  View2<T> device("gnn_hpc::Model::table", table.rows(), width);
  const auto host = Kokkos::create_mirror_view(device);
  for (std::size_t i = 0; i < table.values.size(); ++i) host.data()[i] = static_cast<T>(table.values[i]);
  Kokkos::deep_copy(device, host);
  return device;
}

/// y = dropout(relu(y + b)), or y + b, for rows [begin, end).
template <class T>
void bias_rows(const ChunkExec& exec, View2<T> y, View1<T> bias, bool activate, const Dropout<T>& dropout, int begin, int end) {
  const int width = y.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::Model::bias", Kokkos::TeamPolicy<ChunkExec>(exec, end - begin, team_size()), KOKKOS_LAMBDA(const ChunkTeam& team) {
        T* row = &y(begin + team.league_rank(), 0);
        if (activate) {
          relu_row(team, width, row, &bias(0));
          dropout.apply(team, width, begin + team.league_rank(), row);
        } else {
          each_channel(team, width, [&](const int c) { row[c] += bias(c); });
        }
      });
}

/// F = [scale H + shift | descriptors] for rows [begin, end); no scale without normalisation.
template <class T>
void join_features(const ChunkExec& exec, View2<T> pooled, View1<T> scale, View1<T> shift, View2<T> descriptors, View2<T> features, int begin,
                   int end) {
  const int width = pooled.extent_int(1), extra = descriptors.extent_int(1);
  const bool normalise = scale.extent(0) > 0;
  Kokkos::parallel_for(
      "gnn_hpc::Model::features", Kokkos::TeamPolicy<ChunkExec>(exec, end - begin, team_size()), KOKKOS_LAMBDA(const ChunkTeam& team) {
        const int g = begin + team.league_rank();
        each_channel(team, width, [&](const int c) { features(g, c) = normalise ? scale(c) * pooled(g, c) + shift(c) : pooled(g, c); });
        each_channel(team, extra, [&](const int c) { features(g, width + c) = descriptors(g, c); });
      });
}

/// total = main + link + entropy, with the sums of the auxiliary losses over the graphs times `factor`.
void add_losses(const Exec& exec, View1<double> main, View1<double> sums, double factor, bool train, View1<double> total, View1<double> link,
                View1<double> entropy) {
  Kokkos::parallel_for(
      "gnn_hpc::Model::loss", Rows(exec, 0, 1), KOKKOS_LAMBDA(int) {
        link(0) = factor * sums(0);
        entropy(0) = factor * sums(1);
        if (train) total(0) = main(0) + link(0) + entropy(0);
      });
}

PoolOptions pool_options(const ModelOptions& o) {
  return {o.diffpool_topk,
          o.assign == Assign::batch,
          o.coarse_edge == CoarseEdge::adjacency,
          o.coarse_graph == CoarseGraph::legacy,
          o.adjacency_scale,
          o.lp_max_nodes,
          o.lambda_lp,
          o.lambda_ent};
}

}  // namespace

template <class T>
Model<T>::Model(ParamStore<T>& store, const ModelOptions& o, int atom_width, int bond_width)
    : options_(o), pool_{pool_options(o)}, atom_width_(atom_width), bond_width_(bond_width) {
  const int d = o.hidden_dim, levels = o.levels();
  const std::string name = "message_passing";
  if (levels == 0) {
    encoders_.emplace_back(store, name, atom_width, bond_width, d, o.depth, o.dropout);
  } else {
    GNN_HPC_REQUIRE(o.head_width > 0, "DiffPool without the width of its heads");
    for (int l = 0; l < levels; ++l) {
      encoders_.emplace_back(store, name + ".encoders." + std::to_string(l), l == 0 ? atom_width : d, o.edge_width(l, bond_width), d, o.depth,
                             o.dropout);
    }
    for (int l = 0; l < levels; ++l) {
      const std::string head = name + "._pool_head_" + std::to_string(l);
      head_hidden_.emplace_back(store, head + ".0", d, d);
      head_out_.emplace_back(store, head + ".2", d, o.head_width);
    }
  }
  if (normalises()) bn_ = BatchNorm<T>(store, "bn", d);
  for (int l = 0; l <= o.ffn_layers; ++l) {
    const std::string layer = "predictor.ffn." + std::to_string(l) + (l == 0 ? ".0" : ".2");
    ffn_.emplace_back(store, layer, l == 0 ? d + o.descriptors : o.ffn_hidden, l < o.ffn_layers ? o.ffn_hidden : o.outputs);
  }
}

template <class T>
void Model<T>::set_tables(const FeatureTable& atoms, const FeatureTable& bonds) {
  atom_table_ = device_table<T>(atoms, atom_width_);
  bond_table_ = device_table<T>(bonds, bond_width_);
}

template <class T>
void Model<T>::assign_level(Step<T>& step, LevelSaved& s, std::size_t l, int largest_clusters) {
  const View2<T> z = s.encoder.z;
  s.hidden = step.arena.template matrix<T>(z.extent(0), z.extent(1));
  s.logits = step.arena.template matrix<T>(z.extent(0), options_.head_width);
  for_each_row_chunk(step.exec, z.extent_int(0), [&](int, const ChunkExec& space, const int begin, const int end) {
    Matmul<T>::nt(space, row_range(z, begin, end), head_hidden_[l].weight.value(), row_range(s.hidden, begin, end));
    bias_rows(space, s.hidden, head_hidden_[l].bias.value1(), true, Dropout<T>(), begin, end);
    Matmul<T>::nt(space, row_range(s.hidden, begin, end), head_out_[l].weight.value(), row_range(s.logits, begin, end));
    bias_rows(space, s.logits, head_out_[l].bias.value1(), false, Dropout<T>(), begin, end);
  });
  s.assignment = pool_.assign(step, s.level, s.logits, largest_clusters);
  s.assigned = true;
}

template <class T>
View2<T> Model<T>::forward(Step<T>& step, const MoleculeBatch<T>& b) {
  const int levels = options_.levels();
  if (levels > 0 && options_.assign == Assign::batch) {
    for (int l = 1; l <= levels; ++l) {
      if (b.level_nodes[static_cast<std::size_t>(l)] > options_.head_width) {
        throw Error(Exit::usage, fmt::format("assign: batch needs a head column for each of the batch's {} clusters, head_width is {}; raise "
                                             "head_width, shrink the batch, or use assign: shared",
                                             b.level_nodes[static_cast<std::size_t>(l)], options_.head_width));
      }
    }
  }
  Saved& s = saved_;
  s.levels.resize(encoders_.size());
  s.auxiliary_factor = 0.0;
  View2<T> nodes = atom_table_, edges = bond_table_;
  for (std::size_t l = 0; l < encoders_.size(); ++l) {
    LevelSaved& level = s.levels[l];
    const bool last = l + 1 == encoders_.size();
    if (l == 0) {
      level.plan = b.plan;
      level.level = b.level;
    }
    encoders_[l].forward(step, level.plan, nodes, edges, level.encoder);
    level.assigned = false;
    // With rows of S that sum to one, the mean over the last clusters needs no S; only the auxiliary losses do.
    if (levels > 0 && (!last || step.training())) assign_level(step, level, l, b.largest_graph[l + 1]);
    if (last) break;
    level.pooled = step.arena.template matrix<T>(level.level.num_clusters, options_.hidden_dim);
    pool_.pool(step, level.level, level.assignment, level.encoder.z, level.pooled);
    level.edges = pool_.coarsen(step, level.level, level.assignment, edges);
    auto next = pool_.next_level(step, level.level, level.assignment, level.edges, b.node_ptr[l + 2], b.level_nodes[l + 2], options_.depth,
                                 options_.undirected);
    s.levels[l + 1].level = next.level;
    s.levels[l + 1].plan = std::move(next.plan);
    nodes = level.pooled;
    edges = level.edges.feature;
  }
  read_out(step, b);
  return s.ffn.back();
}

template <class T>
void Model<T>::read_out(Step<T>& step, const MoleculeBatch<T>& b) {
  Saved& s = saved_;
  Arena& arena = step.arena;
  const View2<T> z = s.levels.back().encoder.z;
  s.pooled = arena.matrix<T>(b.num_graphs, options_.hidden_dim);
  for_each_row_chunk(step.exec, b.num_graphs,
                     [&](int, const ChunkExec& space, const int begin, const int end) { gather_rows(space, b.pool, z, s.pooled, begin, end); });
  s.norm = {};
  if (normalises()) s.norm = bn_.statistics_of(step, s.pooled, {});
  GNN_HPC_REQUIRE(b.descriptors.extent_int(1) == options_.descriptors || b.num_graphs == 0, "{} descriptors a molecule, the model's are {}",
                  b.descriptors.extent(1), options_.descriptors);
  s.features = arena.matrix<T>(b.num_graphs, options_.hidden_dim + options_.descriptors);
  s.ffn.resize(ffn_.size());
  for (std::size_t l = 0; l < ffn_.size(); ++l) s.ffn[l] = arena.matrix<T>(b.num_graphs, ffn_[l].weight.info().rows());
  for_each_row_chunk(step.exec, b.num_graphs, [&](int, const ChunkExec& space, const int begin, const int end) {
    join_features(space, s.pooled, s.norm.scale, s.norm.shift, b.descriptors, s.features, begin, end);
    for (std::size_t l = 0; l < ffn_.size(); ++l) {
      const bool hidden = l + 1 < ffn_.size();
      const Dropout<T> drop(step, fnv1a64("predictor") + l, hidden ? options_.ffn_dropout : 0.0, b.graph_key);
      Matmul<T>::nt(space, row_range(l == 0 ? s.features : s.ffn[l - 1], begin, end), ffn_[l].weight.value(), row_range(s.ffn[l], begin, end));
      bias_rows(space, s.ffn[l], ffn_[l].bias.value1(), hidden, drop, begin, end);
    }
  });
}

template <class T>
typename Model<T>::Loss Model<T>::loss(Step<T>& step, const MoleculeBatch<T>& b, std::span<const TargetSlice> slices, double divisor) {
  Arena& arena = step.arena;
  Saved& s = saved_;
  const bool pooling = options_.levels() > 0 && step.training(), train = pooling && options_.aux_reduction != AuxReduction::none;
  Loss out;
  s.doutput = arena.matrix<T>(b.num_graphs, options_.outputs);
  out.main = target_loss(step, slices, s.ffn.back(), b.target, divisor, s.doutput);
  out.link = arena.array<double>(1);
  out.entropy = arena.array<double>(1);
  out.total = train ? arena.array<double>(1) : out.main;
  double factor = 1.0;
  if (pooling && options_.aux_reduction == AuxReduction::mean) {
    factor /= std::max(1.0, step.comm.sum(static_cast<double>(b.num_graphs)));
  }
  s.auxiliary_factor = train ? factor : 0.0;

  ArenaFrame frame(arena);
  const auto sums = arena.array<double>(2);
  if (pooling) {
    const std::size_t levels = s.levels.size();
    const auto all = arena.matrix<double>(levels * static_cast<std::size_t>(b.num_graphs), 2);
    for (std::size_t l = 0; l < levels; ++l) {
      const int first = static_cast<int>(l) * b.num_graphs;
      pool_.auxiliary(step, s.levels[l].level, s.levels[l].assignment, s.auxiliary_factor, row_range(all, first, first + b.num_graphs));
    }
    sum_partials(step, all, sums);
  } else {
    Kokkos::deep_copy(step.exec, sums, 0.0);
  }
  add_losses(step.exec, out.main, sums, factor, train, out.total, out.link, out.entropy);
  return out;
}

template Model<float>::Model(ParamStore<float>&, const ModelOptions&, int, int);
template Model<double>::Model(ParamStore<double>&, const ModelOptions&, int, int);
template void Model<float>::set_tables(const FeatureTable&, const FeatureTable&);
template void Model<double>::set_tables(const FeatureTable&, const FeatureTable&);
template View2<float> Model<float>::forward(Step<float>&, const MoleculeBatch<float>&);
template View2<double> Model<double>::forward(Step<double>&, const MoleculeBatch<double>&);
template Model<float>::Loss Model<float>::loss(Step<float>&, const MoleculeBatch<float>&, std::span<const TargetSlice>, double);
template Model<double>::Loss Model<double>::loss(Step<double>&, const MoleculeBatch<double>&, std::span<const TargetSlice>, double);

}  // namespace gnn_hpc::dmpnn
