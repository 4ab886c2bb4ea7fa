// SPDX-License-Identifier: Apache-2.0
#include "models/dmpnn_diffpool/model.hpp"
#include "nn/dropout.hpp"
#include "nn/gather_row.hpp"
#include "nn/matmul.hpp"
#include "nn/rows.hpp"

namespace gnn_hpc::dmpnn {

template <class T>
void Model<T>::backward(Step<T>& step, const MoleculeBatch<T>& b) {
  backward(step, b, saved_.doutput);
}

template <class T>
void Model<T>::backward(Step<T>& step, const MoleculeBatch<T>& b, View2<T> doutput) {
  Saved& s = saved_;
  Arena& arena = step.arena;
  ArenaFrame frame(arena);
  const T scale = dropout_scale(step, options_.ffn_dropout);
  std::vector<View2<T>> dffn(ffn_.size());
  for (std::size_t l = 0; l + 1 < ffn_.size(); ++l) dffn[l] = arena.matrix<T>(b.num_graphs, options_.ffn_hidden);
  dffn.back() = doutput;
  const auto dfeatures = arena.matrix<T>(b.num_graphs, s.features.extent(1));
  for_each_row_chunk(step.exec, b.num_graphs, [&](int, const ChunkExec& space, const int begin, const int end) {
    for (std::size_t l = ffn_.size(); l-- > 0;) {
      const View2<T> dx = l == 0 ? dfeatures : dffn[l - 1];
      Matmul<T>::nn(space, row_range(dffn[l], begin, end), ffn_[l].weight.value(), row_range(dx, begin, end));
      if (l > 0) relu_rows_backward(space, s.ffn[l - 1], dx, scale, begin, end);
    }
  });
  for (std::size_t l = 0; l < ffn_.size(); ++l) {
    weights_.push(dffn[l], l == 0 ? s.features : s.ffn[l - 1], ffn_[l].weight.grad(), ffn_[l].bias.grad1());
  }
  View2<T> dpooled = column_range(dfeatures, 0, options_.hidden_dim);
  if (normalises()) bn_.backward_of(step, s.pooled, {}, s.norm, dpooled, dpooled);
  if (!options_.detach || s.auxiliary_factor != 0.0) levels_backward(step, b, dpooled);
  weights_.add(step);
}

template <class T>
void Model<T>::levels_backward(Step<T>& step, const MoleculeBatch<T>& b, View2<T> dpooled) {
  Saved& s = saved_;
  Arena& arena = step.arena;
  View2<T> dnodes, dedges;  // of the level above: V' and E'
  for (std::size_t l = s.levels.size(); l-- > 0;) {
    LevelSaved& level = s.levels[l];
    const bool last = l + 1 == s.levels.size();
    const View2<T> z = level.encoder.z;
    const auto dz = arena.matrix<T>(z.extent(0), z.extent(1));
    const View2<T> own_edges = l == 0 ? bond_table_ : s.levels[l - 1].edges.feature;
    View2<T> dcoarse;  // gradient of this level's edge features through the next level's
    if (options_.detach) {
      Kokkos::deep_copy(step.exec, dz, T(0));
    } else if (last) {
      for_each_row_chunk(step.exec, z.extent_int(0), [&](int, const ChunkExec& space, const int begin, const int end) {
        gather_rows(space, b.pool_out, dpooled, dz, begin, end);
      });
    } else {
      pool_.pool_backward(step, level.level, level.assignment, z, dnodes, dz);
      if (l > 0 && options_.coarse_edge == CoarseEdge::bond_mean) dcoarse = arena.matrix<T>(own_edges.extent(0), own_edges.extent(1));
      pool_.coarsen_backward(step, level.level, level.assignment, level.edges, own_edges, dedges, dcoarse);
    }
    if (level.assigned && (s.auxiliary_factor != 0.0 || (!last && !options_.detach))) assign_level_backward(step, level, l, dz);
    if (l > 0) {
      dnodes = arena.matrix<T>(level.encoder.nodes.extent(0), level.encoder.nodes.extent(1));
      dedges = arena.matrix<T>(own_edges.extent(0), own_edges.extent(1));
      encoders_[l].backward(step, level.plan, level.encoder, dz, dnodes, dedges, weights_);
      if (dcoarse.extent(0) > 0) RowOps<T>::add(step.exec, dcoarse, dedges);
    } else {
      encoders_[l].backward(step, level.plan, level.encoder, dz, {}, {}, weights_);
    }
  }
}

template <class T>
void Model<T>::assign_level_backward(Step<T>& step, LevelSaved& s, std::size_t l, View2<T> dz) {
  const auto dlogits = step.arena.template matrix<T>(s.logits.extent(0), s.logits.extent(1));
  const auto dhidden = step.arena.template matrix<T>(s.hidden.extent(0), s.hidden.extent(1));
  pool_.assign_backward(step, s.level, s.assignment, dlogits);
  for_each_row_chunk(step.exec, dz.extent_int(0), [&](int, const ChunkExec& space, const int begin, const int end) {
    Matmul<T>::nn(space, row_range(dlogits, begin, end), head_out_[l].weight.value(), row_range(dhidden, begin, end));
    relu_rows_backward(space, s.hidden, dhidden, T(1), begin, end);
    Matmul<T>::nn(space, row_range(dhidden, begin, end), head_hidden_[l].weight.value(), row_range(dz, begin, end), T(1));
  });
  weights_.push(dlogits, s.hidden, head_out_[l].weight.grad(), head_out_[l].bias.grad1());
  weights_.push(dhidden, s.encoder.z, head_hidden_[l].weight.grad(), head_hidden_[l].bias.grad1());
}

template void Model<float>::backward(Step<float>&, const MoleculeBatch<float>&);
template void Model<double>::backward(Step<double>&, const MoleculeBatch<double>&);
template void Model<float>::backward(Step<float>&, const MoleculeBatch<float>&, View2<float>);
template void Model<double>::backward(Step<double>&, const MoleculeBatch<double>&, View2<double>);

}  // namespace gnn_hpc::dmpnn
