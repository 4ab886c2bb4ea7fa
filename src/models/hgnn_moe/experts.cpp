// SPDX-License-Identifier: Apache-2.0
#include "models/hgnn_moe/experts.hpp"

#include "base/error.hpp"
#include "models/hgnn_moe/experts_kernels.hpp"
#include "nn/matmul.hpp"
#include "nn/rows.hpp"

#include <cmath>

namespace gnn_hpc::hgnn_moe {

using namespace experts_kernels;

template <class T>
ExpertBank<T>::ExpertBank(ParamStore<T>& store, const std::string& name, const ModelOptions& o, int count)
    : count_(count), width_(o.embed_dim), heads_(o.num_heads), dropout_(o.dropout_rate) {
  const auto d = static_cast<std::size_t>(width_);
  const Init normal = Init::normal(0.02), zero = Init::constant(0.0);
  for (int e = 0; e < count; ++e) {
    const std::string prefix = name + "." + std::to_string(e);
    Expert x;
    x.in_weight = store.add(prefix + ".attention.in_proj_weight", {3 * d, d}, Init::uniform(std::sqrt(6.0 / (4.0 * width_))));
    x.in_bias = store.add(prefix + ".attention.in_proj_bias", {3 * d}, zero);
    x.out_weight = store.add(prefix + ".attention.out_proj.weight", {d, d}, normal);
    x.out_bias = store.add(prefix + ".attention.out_proj.bias", {d}, zero);
    x.norm1 = LayerNorm<T>(store, prefix + ".norm1", width_);
    x.norm2 = LayerNorm<T>(store, prefix + ".norm2", width_);
    x.w1 = store.add(prefix + ".ffn.0.weight", {4 * d, d}, normal);
    x.b1 = store.add(prefix + ".ffn.0.bias", {4 * d}, zero);
    x.w2 = store.add(prefix + ".ffn.3.weight", {d, 4 * d}, normal);
    x.b2 = store.add(prefix + ".ffn.3.bias", {d}, zero);
    experts_.push_back(x);
  }
}

template <class T>
RandomMask ExpertBank<T>::mask(const Step<T>& step, RandomKey key, int expert, int site) const {
  if (!step.training() || dropout_ == 0.0) return {};
  return RandomMask(key.fold(static_cast<std::uint64_t>(expert)).fold(static_cast<std::uint64_t>(site)), dropout_);
}

template <class T>
void ExpertBank<T>::fold(Step<T>& step) {
  Arena& arena = step.arena;
  const std::size_t d = static_cast<std::size_t>(width_);
  Saved& s = saved_;
  s.qkv_weight = arena.matrix<T>(3 * d * static_cast<std::size_t>(count_), d);
  s.qkv_bias = arena.array<T>(3 * d * static_cast<std::size_t>(count_));
  s.w1.clear();
  s.b1.clear();
  for (int e = 0; e < count_; ++e) {
    const Expert& x = experts_[static_cast<std::size_t>(e)];
    const int begin = 3 * width_ * e, end = begin + 3 * width_;
    AffineFold<T>::forward(step.exec, x.in_weight.value(), x.in_bias.value1(), x.norm1.weight.value1(), x.norm1.bias.value1(),
                           row_range(s.qkv_weight, begin, end), elements(s.qkv_bias, begin, end));
    s.w1.push_back(arena.matrix<T>(4 * d, d));
    s.b1.push_back(arena.array<T>(4 * d));
    AffineFold<T>::forward(step.exec, x.w1.value(), x.b1.value1(), x.norm2.weight.value1(), x.norm2.bias.value1(), s.w1.back(), s.b1.back());
  }
}

/// From h of expert e (rows [begin, end) of `after`) and its normalised rows to X_e.
template <class T>
void ExpertBank<T>::feed_forward(Step<T>& step, const RowSites& sites, RandomKey key, const ChunkExec& exec, int begin, int end, int e,
                                 View2<T> normalised, View2<T> w1, View1<T> b1, View2<T> gelu, View2<T> scratch, View2<T> out) const {
  const Expert& x = experts_[static_cast<std::size_t>(e)];
  const ExpertSaved& s = saved_.expert[static_cast<std::size_t>(e)];
  const auto h = row_range(s.after, begin, end), u = row_range(s.hidden, begin, end);
  const auto y = column_range(row_range(out, begin, end), e * width_, (e + 1) * width_);
  const auto at = [&](int site) {
    return RowStreams{mask(step, key, e, site), elements(sites.key, begin, end), elements(sites.position, begin, end)};
  };
  Matmul<T>::nt(exec, normalised, w1, u);
  activate(exec, u, b1, at(kHidden), gelu);
  const RowStreams last = at(kOutput);
  if (last.mask.active()) {
    Matmul<T>::nt(exec, gelu, x.w2.value(), scratch);
    add_dropped(exec, h, scratch, x.b2.value1(), last, y);
  } else {
    add_bias_to(exec, h, x.b2.value1(), y);
    Matmul<T>::nt(exec, gelu, x.w2.value(), y, T(1));
  }
}

template <class T>
void ExpertBank<T>::forward(Step<T>& step, const TokenBatch& batch, RandomKey key, View2<T> x, View2<T> out) {
  Arena& arena = step.arena;
  const std::size_t rows = static_cast<std::size_t>(batch.num_rows), d = static_cast<std::size_t>(width_);
  GNN_HPC_REQUIRE(x.extent(0) == rows && x.extent_int(1) == width_ && out.extent(0) == rows && out.extent_int(1) == width_ * count_,
                  "experts of {} rows from {}x{} into {}x{}", rows, x.extent(0), x.extent(1), out.extent(0), out.extent(1));
  fold(step);
  Saved& s = saved_;
  s.x = x;
  s.hat = arena.matrix<T>(rows, d);
  s.rdev = arena.array<T>(rows);
  s.qkv = arena.matrix<T>(rows, 3 * d * static_cast<std::size_t>(count_));
  s.expert.resize(static_cast<std::size_t>(count_));
  for (ExpertSaved& e : s.expert) {
    e = {arena.matrix<T>(rows, d), arena.matrix<T>(rows, d), arena.matrix<T>(rows, 4 * d),
         arena.array<T>(rows),     arena.array<T>(rows),     arena.array<T>(rows * static_cast<std::size_t>(heads_))};
  }
  ArenaFrame frame(arena);
  const CausalAttention<T> attention(arena, batch.longest, width_ / heads_, false);
  const LaneRows<T> hat_rows(arena, batch.max_chunk_rows, d), gelu_rows(arena, batch.max_chunk_rows, 4 * d),
      scratch_rows(arena, dropout_ > 0.0 ? batch.max_chunk_rows : 0, d);
  const RowSites sites{batch.row_key, batch.position};
  for_each_chunk(step.exec, static_cast<int>(batch.chunks.size()), [&](int lane, const ChunkExec& exec, int i) {
    const TokenChunk& chunk = batch.chunks[static_cast<std::size_t>(i)];
    const int begin = chunk.row_begin, end = chunk.row_end;
    const auto in = row_range(x, begin, end), qkv = row_range(s.qkv, begin, end);
    LayerNorm<T>::normalise(exec, in, row_range(s.hat, begin, end), elements(s.rdev, begin, end));
    Matmul<T>::nt(exec, row_range(s.hat, begin, end), s.qkv_weight, qkv);
    for (int e = 0; e < count_; ++e) {
      const Expert& p = experts_[static_cast<std::size_t>(e)];
      const ExpertSaved& saved = s.expert[static_cast<std::size_t>(e)];
      attend(step, batch, key, attention, lane, exec, chunk, e);
      const auto h = row_range(saved.after, begin, end);
      add_bias_to(exec, in, p.out_bias.value1(), h);
      Matmul<T>::nt(exec, row_range(saved.context, begin, end), p.out_weight.value(), h, T(1));
      const auto hat = hat_rows(lane, end - begin);
      LayerNorm<T>::normalise_keep(exec, h, hat, elements(saved.mean, begin, end), elements(saved.rdev, begin, end));
      feed_forward(step, sites, key, exec, begin, end, e, hat, s.w1[static_cast<std::size_t>(e)], s.b1[static_cast<std::size_t>(e)],
                   gelu_rows(lane, end - begin), scratch_rows(lane, dropout_ > 0.0 ? end - begin : 0), out);
    }
  });
}

template <class T>
typename ExpertBank<T>::Sequence ExpertBank<T>::sequence(const TokenBatch& batch, int q, int e) const {
  const int begin = batch.seq_ptr[static_cast<std::size_t>(q)], end = batch.seq_ptr[static_cast<std::size_t>(q) + 1];
  const ExpertSaved& saved = saved_.expert[static_cast<std::size_t>(e)];
  Sequence out;
  out.begin = begin;
  out.end = end;
  out.qkv = column_range(row_range(saved_.qkv, begin, end), 3 * width_ * e, 3 * width_ * (e + 1));
  out.bias = elements(saved_.qkv_bias, 3 * width_ * e, 3 * width_ * (e + 1));
  if (!batch.all_keys) out.key = elements(batch.key, begin, end);
  out.context = row_range(saved.context, begin, end);
  out.lse = elements(saved.lse, begin * heads_, end * heads_);
  return out;
}

template <class T>
void ExpertBank<T>::attend(Step<T>& step, const TokenBatch& batch, RandomKey key, const CausalAttention<T>& attention, int lane,
                           const ChunkExec& exec, const TokenChunk& chunk, int e) const {
  const RandomMask dropped = mask(step, key, e, kProbabilities);
  for (int q = chunk.seq_begin; q < chunk.seq_end; ++q) {
    const Sequence s = sequence(batch, q, e);
    attention.forward(lane, exec, s.qkv, s.bias, s.key, heads_, s.context, s.lse, dropped, batch.sequence_key[static_cast<std::size_t>(q)]);
  }
}

template <class T>
void ExpertBank<T>::decode(Step<T>& step, int sequences, int past, int new_tokens, View2<T> x, View2<T> cache, int capacity, int column,
                           View2<T> out) {
  Arena& arena = step.arena;
  const int rows = sequences * new_tokens;
  const std::size_t n = static_cast<std::size_t>(rows), d = static_cast<std::size_t>(width_);
  // A few rows do not pay for weights folded with the norms: the affine maps are applied to the rows.
  Saved& s = saved_;
  s.expert.resize(static_cast<std::size_t>(count_));
  const std::size_t columns = 3 * d * static_cast<std::size_t>(count_);
  const auto hat = arena.matrix<T>(n, d), normal = arena.matrix<T>(n, d), qkv = arena.matrix<T>(n, columns), gelu = arena.matrix<T>(n, 4 * d);
  const auto qkv_bias = arena.array<T>(columns);
  const auto scores = arena.matrix<T>(n * static_cast<std::size_t>(heads_), static_cast<std::size_t>(capacity));
  const auto rdev = arena.array<T>(n);
  for (int e = 0; e < count_; ++e) {
    ExpertSaved& saved = s.expert[static_cast<std::size_t>(e)];
    saved = {};
    saved.context = arena.matrix<T>(n, d);
    saved.after = arena.matrix<T>(n, d);
    saved.hidden = arena.matrix<T>(n, 4 * d);
    Kokkos::deep_copy(step.exec, elements(qkv_bias, 3 * width_ * e, 3 * width_ * (e + 1)), experts_[static_cast<std::size_t>(e)].in_bias.value1());
  }
  const View1<std::uint64_t> no_key(nullptr, n);
  const View1<int> no_position(nullptr, n);
  const RowSites sites{no_key, no_position};
  for_each_chunk(step.exec, 1, [&](int, const ChunkExec& exec, int) {
    LayerNorm<T>::normalise(exec, x, hat, rdev);
    for (int e = 0; e < count_; ++e) {
      const Expert& p = experts_[static_cast<std::size_t>(e)];
      p.norm1.affine(exec, hat, normal);
      Matmul<T>::nt(exec, normal, p.in_weight.value(), column_range(qkv, 3 * width_ * e, 3 * width_ * (e + 1)));
    }
    append_to_cache(exec, qkv, qkv_bias, past, new_tokens, capacity, column, cache);
    for (int e = 0; e < count_; ++e) {
      const Expert& p = experts_[static_cast<std::size_t>(e)];
      const ExpertSaved& saved = s.expert[static_cast<std::size_t>(e)];
      attend_to_cache(exec, cache, column + 3 * width_ * e, past, new_tokens, capacity, heads_, scores, saved.context);
      add_bias_to(exec, x, p.out_bias.value1(), saved.after);
      Matmul<T>::nt(exec, saved.context, p.out_weight.value(), saved.after, T(1));
      LayerNorm<T>::normalise(exec, saved.after, hat, rdev);
      p.norm2.affine(exec, hat, normal);
      feed_forward(step, sites, {}, exec, 0, rows, e, normal, p.w1.value(), p.b1.value1(), gelu, {}, out);
    }
  });
}

template class ExpertBank<float>;
template class ExpertBank<double>;

}  // namespace gnn_hpc::hgnn_moe
