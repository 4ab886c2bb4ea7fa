// SPDX-License-Identifier: Apache-2.0
#include "models/hgnn_moe/model.hpp"

#include "base/error.hpp"
#include "nn/channels.hpp"
#include "nn/random_mask.hpp"

#include <algorithm>
#include <cmath>

namespace gnn_hpc::hgnn_moe {

namespace {

/// embedding = token_emb[id] + pos_emb[position];  x = drop(embedding). Both may be the same memory where nothing is dropped.
template <class T>
void embed(const Exec& exec, const TokenBatch& batch, View2<T> tokens, View2<T> positions, const RandomMask& mask, View2<T> embedding, View2<T> x) {
  const int width = x.extent_int(1);
  const auto token = batch.token, position = batch.position;
  const auto key = batch.row_key;
  Kokkos::parallel_for(
      "gnn_hpc::Model::embed", Kokkos::TeamPolicy<Exec>(exec, x.extent_int(0), team_size()), KOKKOS_LAMBDA(const Team& team) {
        const int r = team.league_rank();
        const T *a = &tokens(token(r), 0), *b = &positions(position(r), 0);
        T *sum = &embedding(r, 0), *to = &x(r, 0);
        each_channel(team, width, [&](const int c) { sum[c] = a[c] + b[c]; });
        if (!mask.active()) return;
        team.team_barrier();
        each_channel_masked<T>(team, mask, key(r), static_cast<std::uint32_t>(position(r)), width,
                               [&](const int c, const T factor) { to[c] = factor * sum[c]; });
      });
}

template <class T>
void drop_rows(const Exec& exec, const TokenBatch& batch, const RandomMask& mask, View2<T> x) {
  const int width = x.extent_int(1);
  const auto position = batch.position;
  const auto key = batch.row_key;
  Kokkos::parallel_for(
      "gnn_hpc::Model::drop_rows", Kokkos::TeamPolicy<Exec>(exec, x.extent_int(0), team_size()), KOKKOS_LAMBDA(const Team& team) {
        const int r = team.league_rank();
        T* to = &x(r, 0);
        each_channel_masked<T>(team, mask, key(r), static_cast<std::uint32_t>(position(r)), width,
                               [&](const int c, const T factor) { to[c] *= factor; });
      });
}

/// dpos[t] += sum over sequences of dx at position t, in order.
template <class T>
void position_gradient(const Exec& exec, const TokenBatch& batch, View2<T> dx, View2<T> dpos) {
  const int width = dx.extent_int(1), sequences = batch.num_sequences;
  const auto first = batch.first_row;
  Kokkos::parallel_for(
      "gnn_hpc::Model::position_gradient", Kokkos::TeamPolicy<Exec>(exec, batch.longest, team_size()), KOKKOS_LAMBDA(const Team& team) {
        const int t = team.league_rank();
        T* to = &dpos(t, 0);
        for (int s = 0; s < sequences; ++s) {
          const int r = first(s) + t;
          if (r >= first(s + 1)) continue;
          const T* from = &dx(r, 0);
          each_channel(team, width, [&](const int c) { to[c] += from[c]; });
        }
      });
}

/// out = (lm + extra, lm, extra); an empty `extra` is 0.
void join_losses(const Exec& exec, View1<double> lm, View1<double> extra, View1<double> out) {
  const bool any = extra.extent(0) > 0;
  Kokkos::parallel_for(
      "gnn_hpc::Model::losses", Rows(exec, 0, 1), KOKKOS_LAMBDA(const int) {
        out(2) = any ? extra(0) : 0.0;
        out(1) = lm(0);
        out(0) = out(1) + out(2);
      });
}

template <class T>
RandomMask embedding_mask(const Step<T>& step, double rate) {
  return step.training() && rate > 0.0 ? RandomMask(step.key.fold(0), rate) : RandomMask();
}

bool contains(const std::string& name, const char* part) { return name.find(part) != std::string::npos; }

}  // namespace

template <class T>
Model<T>::Model(ParamStore<T>& store, const ModelOptions& o)
    : options_(o), token_emb_(store, "token_emb", o.vocab_size, o.embed_dim), pos_emb_(store, "pos_emb", o.max_seq_length, o.embed_dim) {
  for (const ModelOptions::Problem& p : o.problems()) throw Error(Exit::usage, fmt::format("model.{}: {}", p.option, p.message));
  for (int l = 0; l < o.num_layers; ++l) layers_.push_back(make_layer(store, "model_layers." + std::to_string(l), o, l));
  output_norm_ = LayerNorm<T>(store, "output_norm", o.embed_dim);
  lm_head_ = VocabularyHead<T>(store, "lm_head", o.embed_dim, o.vocab_size);
}

template <class T>
ParameterCounts Model<T>::parameter_counts(const ParamStore<T>& store) {
  ParameterCounts out;
  for (const TensorInfo& t : store.tensors()) {
    (contains(t.name, "experts.") ? out.experts : contains(t.name, ".coupler.") ? out.couplers : out.rest) += t.size;
  }
  return out;
}

template <class T>
void Model<T>::forward(Step<T>& step, const TokenBatch& batch) {
  if (batch.longest > options_.max_seq_length) {
    throw Error(Exit::data,
                fmt::format("a sequence of {} tokens: model.max_seq_length is {}; cut the text or raise it", batch.longest, options_.max_seq_length));
  }
  Arena& arena = step.arena;
  const auto rows = static_cast<std::size_t>(batch.num_rows), d = static_cast<std::size_t>(options_.embed_dim);
  const RandomMask mask = embedding_mask(step, options_.dropout_rate);
  Saved& s = saved_;
  s.x.assign(1, arena.matrix<T>(rows, d));
  s.embedding = mask.active() ? arena.matrix<T>(rows, d) : s.x[0];
  embed(step.exec, batch, token_emb_.weight.value(), pos_emb_.weight.value(), mask, s.embedding, s.x[0]);
  s.extra = View1<double>();
  if (step.training() && options_.orthogonality.any()) {
    s.extra = arena.array<double>(1);
    Kokkos::deep_copy(step.exec, s.extra, 0.0);
  }
  for (const auto& layer : layers_) {
    s.x.push_back(arena.matrix<T>(rows, d));
    layer->forward(step, batch, s.x[s.x.size() - 2], s.x.back(), s.extra);
  }
  s.output_hat = arena.matrix<T>(rows, d);
  s.output_rdev = arena.array<T>(rows);
  LayerNorm<T>::normalise(step.exec, s.x.back(), s.output_hat, s.output_rdev);
}

template <class T>
View1<double> Model<T>::loss(Step<T>& step, const TokenBatch& batch, double divisor) {
  Saved& s = saved_;
  const auto out = step.arena.template array<double>(3);
  s.dx = step.training() ? step.arena.template matrix<T>(s.output_hat.extent(0), s.output_hat.extent(1)) : View2<T>();
  const View1<double> lm = lm_head_.loss(step, output_norm_, s.output_hat, s.output_rdev, batch.target, divisor, s.dx);
  join_losses(step.exec, lm, s.extra, out);
  return out;
}

template <class T>
void Model<T>::backward(Step<T>& step, const TokenBatch& batch) {
  const View2<T> dx = saved_.dx;
  GNN_HPC_REQUIRE(dx.extent_int(0) == batch.num_rows && dx.extent_int(1) == options_.embed_dim, "backward without loss: {} of {} rows", dx.extent(0),
                  batch.num_rows);
  for (auto layer = layers_.rbegin(); layer != layers_.rend(); ++layer) (*layer)->backward(step, batch, dx);
  const RandomMask mask = embedding_mask(step, options_.dropout_rate);
  if (mask.active()) drop_rows(step.exec, batch, mask, dx);
  token_emb_.backward(step, batch.bucket_token, batch.bucket_ptr, batch.bucket_row, dx);
  position_gradient(step.exec, batch, dx, pos_emb_.weight.grad());
}

template <class T>
View2<T> Model<T>::logits(Step<T>& step) {
  const auto out = step.arena.template matrix<T>(saved_.output_hat.extent(0), static_cast<std::size_t>(options_.vocab_size));
  lm_head_.logits(step, output_norm_, saved_.output_hat, out);
  return out;
}

template <class T>
std::vector<std::pair<std::string, std::vector<double>>> Model<T>::report() const {
  std::vector<std::pair<std::string, std::vector<double>>> out;
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    for (CouplerTap& tap : layers_[l]->report()) out.emplace_back("layer" + std::to_string(l) + "." + tap.name, std::move(tap.values));
  }
  return out;
}

template <class T>
std::vector<std::string> Model<T>::degree_warnings() const {
  std::vector<std::string> out;
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    const double smallest = layers_[l]->smallest_degree(Exec());
    if (smallest >= 1e-3) continue;
    out.push_back(
        fmt::format("layer {}: the weights of an expert's hyperedges add up to {:.2g} in magnitude, so that its couplings are very "
                    "large; model.hgnn_weight_transform: softplus keeps them positive",
                    l, smallest));
  }
  return out;
}

template <class T>
std::vector<std::string> Model<T>::resting() const {
  std::vector<std::string> out;
  for (const auto& layer : layers_) {
    const auto parts = layer->resting();
    out.insert(out.end(), parts.begin(), parts.end());
  }
  return out;
}

template <class T>
double Model<T>::flops(std::span<const int> seq_ptr) const {
  const double d = options_.embed_dim, experts = options_.num_experts + options_.num_ghost_experts, n = options_.gnn_layers;
  double rows = 0.0, pairs = 0.0;
  for (std::size_t s = 0; s + 1 < seq_ptr.size(); ++s) {
    const double length = seq_ptr[s + 1] - seq_ptr[s];
    rows += length;
    pairs += length * (length + 1.0) / 2.0;  // keys that queries may see
  }
  double coupler = 2.0 * d * d * rows;
  if (options_.coupler_type == CouplerType::gnn) {
    coupler += (experts > 1.0 ? 4.0 : 2.0) * n * experts * d * d * rows;
  } else if (options_.form != HypergraphForm::collapsed) {
    coupler += 2.0 * n * experts * d * d * rows;
  } else {
    coupler += std::min(2.0 * n * d * d * rows, 2.0 * n * d * d * d);
  }
  const double layer = experts * (24.0 * d * d * rows + 4.0 * d * pairs) + coupler;
  return 3.0 * (options_.num_layers * layer + 2.0 * options_.vocab_size * d * rows);
}

template class Model<float>;
template class Model<double>;

}  // namespace gnn_hpc::hgnn_moe
