// SPDX-License-Identifier: Apache-2.0
#include "models/hgnn_moe/experts.hpp"

#include "models/hgnn_moe/experts_kernels.hpp"
#include "nn/matmul.hpp"
#include "nn/rows.hpp"

namespace gnn_hpc::hgnn_moe {

using namespace experts_kernels;

namespace {

/// Sums over chunks: three biases of an expert side by side.
template <class T>
struct BiasSums {
  View2<double> partial;  ///< [chunks, 6D]: b2, out_proj, b1
  int width;
  View1<double> row(int chunk, int begin, int end) const { return row_elements(partial, chunk, begin * width, (end - begin) * width); }
  View1<double> of_total(const View1<double>& total, int begin, int end) const {
    return View1<double>(total.data() + begin * width, (end - begin) * width);
  }
};

}  // namespace

template <class T>
void ExpertBank<T>::expert_backward(Step<T>& step, const TokenBatch& batch, RandomKey key, int e, const OutputGradient<T>& gradient,
                                    const CausalAttention<T>& attention, View2<T> dx) {
  Arena& arena = step.arena;
  ArenaFrame frame(arena);
  const std::size_t d = static_cast<std::size_t>(width_);
  const Expert& p = experts_[static_cast<std::size_t>(e)];
  const ExpertSaved& s = saved_.expert[static_cast<std::size_t>(e)];
  const int chunks = static_cast<int>(batch.chunks.size());
  const BiasSums<T> sums{arena.matrix<double>(static_cast<std::size_t>(chunks), 6 * d), width_};
  const LaneRows<T> g_rows(arena, batch.max_chunk_rows, 4 * d), dg_rows(arena, batch.max_chunk_rows, 4 * d), df_rows(arena, batch.max_chunk_rows, d),
      dh_rows(arena, batch.max_chunk_rows, d), dhat_rows(arena, batch.max_chunk_rows, d);
  // Weight gradients are summed chunk by chunk, while what they are made of is in the cache.
  const auto dw1 = arena.matrix<T>(4 * d, d);
  Kokkos::deep_copy(step.exec, dw1, T(0));
  const LaneSums<T> dw1_sum(step, dw1), dw2_sum(step, p.w2.grad()), dout_sum(step, p.out_weight.grad());
  const RandomMask dropped = mask(step, key, e, kProbabilities), hidden = mask(step, key, e, kHidden), output = mask(step, key, e, kOutput);
  for_each_chunk(step.exec, chunks, [&](int lane, const ChunkExec& exec, int i) {
    const TokenChunk& chunk = batch.chunks[static_cast<std::size_t>(i)];
    const int begin = chunk.row_begin, end = chunk.row_end, n = end - begin;
    const auto at = [&](View2<T> m) { return m.extent(1) > 0 ? row_range(m, begin, end) : m; };
    const auto streams = [&](const RandomMask& m) {
      return RowStreams{m, elements(batch.row_key, begin, end), elements(batch.position, begin, end)};
    };
    const auto g = g_rows(lane, n), dg = dg_rows(lane, n), df = df_rows(lane, n), dh = dh_rows(lane, n), dhat = dhat_rows(lane, n);
    const auto u = at(s.hidden), h = at(s.after), context = at(s.context);
    output_gradient(exec, at(gradient.common), gradient.factor, at(gradient.each), e, streams(output), df, dh);
    Matmul<T>::nn(exec, df, p.w2.value(), dg);
    activate_backward(exec, u, dg, streams(hidden), g);  // u is now its own gradient
    Matmul<T>::tn(exec, df, g, dw2_sum(lane));
    Matmul<T>::nn(exec, u, saved_.w1[static_cast<std::size_t>(e)], dhat);
    LayerNorm<T>::normalise_with(exec, h, elements(s.mean, begin, end), elements(s.rdev, begin, end), h);
    Matmul<T>::tn(exec, u, h, dw1_sum(lane));
    LayerNorm<T>::backward_hat(exec, h, elements(s.rdev, begin, end), dhat, dh, T(1));
    Matmul<T>::tn(exec, dh, context, dout_sum(lane));
    Matmul<T>::nn(exec, dh, p.out_weight.value(), dhat);  // of the context
    for (int q = chunk.seq_begin; q < chunk.seq_end; ++q) {
      const Sequence sq = sequence(batch, q, e);
      attention.backward(lane, exec, sq.qkv, sq.bias, sq.key, heads_, sq.context, sq.lse, row_range(dhat, sq.begin - begin, sq.end - begin), dropped,
                         batch.sequence_key[static_cast<std::size_t>(q)]);
    }
    add_rows(exec, dh, at(dx));
    column_sums(exec, df, sums.row(i, 0, 1));
    column_sums(exec, dh, sums.row(i, 1, 2));
    column_sums(exec, u, sums.row(i, 2, 6));
  });
  const auto total = arena.array<double>(6 * d);
  sum_partials(step, sums.partial, total);
  add_sums(step.exec, sums.of_total(total, 0, 1), p.b2.grad1());
  add_sums(step.exec, sums.of_total(total, 1, 2), p.out_bias.grad1());
  dw1_sum.finish(step);
  dw2_sum.finish(step);
  dout_sum.finish(step);
  const auto db1 = arena.array<T>(4 * d);
  store_sums<T>(step.exec, sums.of_total(total, 2, 6), db1);
  AffineFold<T>::backward(step.exec, p.w1.value(), p.norm2.weight.value1(), p.norm2.bias.value1(), dw1, db1, p.w1.grad(), p.b1.grad1(),
                          p.norm2.weight.grad1(), p.norm2.bias.grad1());
}

template <class T>
void ExpertBank<T>::backward(Step<T>& step, const TokenBatch& batch, RandomKey key, const OutputGradient<T>& gradient, View2<T> dx) {
  Arena& arena = step.arena;
  ArenaFrame frame(arena);
  const std::size_t d = static_cast<std::size_t>(width_), columns = 3 * d * static_cast<std::size_t>(count_);
  const Saved& s = saved_;
  {
    ArenaFrame attention_frame(arena);
    const CausalAttention<T> attention(arena, batch.longest, width_ / heads_, true);
    for (int e = 0; e < count_; ++e) expert_backward(step, batch, key, e, gradient, attention, dx);
  }
  const int chunks = static_cast<int>(batch.chunks.size());
  const auto partial = arena.matrix<double>(static_cast<std::size_t>(chunks), columns);
  const LaneRows<T> dhat_rows(arena, batch.max_chunk_rows, d);
  const auto dweight = arena.matrix<T>(columns, d);
  Kokkos::deep_copy(step.exec, dweight, T(0));
  const LaneSums<T> dweight_sum(step, dweight);
  for_each_chunk(step.exec, chunks, [&](int lane, const ChunkExec& exec, int i) {
    const int begin = batch.chunks[static_cast<std::size_t>(i)].row_begin, end = batch.chunks[static_cast<std::size_t>(i)].row_end;
    const auto dhat = dhat_rows(lane, end - begin), dqkv = row_range(s.qkv, begin, end);
    const auto hat = row_range(s.hat, begin, end);
    Matmul<T>::tn(exec, dqkv, hat, dweight_sum(lane));
    Matmul<T>::nn(exec, dqkv, s.qkv_weight, dhat);
    LayerNorm<T>::backward_hat(exec, hat, elements(s.rdev, begin, end), dhat, row_range(dx, begin, end), T(1));
    column_sums(exec, dqkv, row_elements(partial, i, 0, columns));
  });
  const auto total = arena.array<double>(columns);
  const auto dbias = arena.array<T>(columns);
  dweight_sum.finish(step);
  sum_partials(step, partial, total);
  store_sums<T>(step.exec, total, dbias);
  for (int e = 0; e < count_; ++e) {
    const Expert& p = experts_[static_cast<std::size_t>(e)];
    const int begin = 3 * width_ * e, end = begin + 3 * width_;
    AffineFold<T>::backward(step.exec, p.in_weight.value(), p.norm1.weight.value1(), p.norm1.bias.value1(), row_range(dweight, begin, end),
                            elements(dbias, begin, end), p.in_weight.grad(), p.in_bias.grad1(), p.norm1.weight.grad1(), p.norm1.bias.grad1());
  }
}

template void ExpertBank<float>::backward(Step<float>&, const TokenBatch&, RandomKey, const OutputGradient<float>&, View2<float>);
template void ExpertBank<double>::backward(Step<double>&, const TokenBatch&, RandomKey, const OutputGradient<double>&, View2<double>);

}  // namespace gnn_hpc::hgnn_moe
