// SPDX-License-Identifier: Apache-2.0
// A language model token by token: keys and values of the past are kept.
#include "base/error.hpp"
#include "models/hgnn_moe/model.hpp"
#include "nn/channels.hpp"

namespace gnn_hpc::hgnn_moe {

namespace {

/// x[r] = token_emb[id(r)] + pos_emb[past + r mod n]
template <class T>
void embed_next(const Exec& exec, View1<int> id, int past, int new_tokens, View2<T> tokens, View2<T> positions, View2<T> x) {
  const int width = x.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::Model::embed_next", Kokkos::TeamPolicy<Exec>(exec, x.extent_int(0), team_size()), KOKKOS_LAMBDA(const Team& team) {
        const int r = team.league_rank();
        const T *a = &tokens(id(r), 0), *b = &positions(past + r % new_tokens, 0);
        T* to = &x(r, 0);
        each_channel(team, width, [&](const int c) { to[c] = a[c] + b[c]; });
      });
}

/// out[s] = the last row of sequence s.
template <class T>
void last_rows(const Exec& exec, View2<T> x, int new_tokens, View2<T> out) {
  const int width = x.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::Model::last_rows", Kokkos::TeamPolicy<Exec>(exec, out.extent_int(0), team_size()), KOKKOS_LAMBDA(const Team& team) {
        const int s = team.league_rank();
        const T* from = &x(s * new_tokens + new_tokens - 1, 0);
        T* to = &out(s, 0);
        each_channel(team, width, [&](const int c) { to[c] = from[c]; });
      });
}

}  // namespace

template <class T>
DecodeCache<T>::DecodeCache(const ModelOptions& o, int sequences) : sequences_(sequences) {
  const auto rows = static_cast<std::size_t>(sequences) * static_cast<std::size_t>(o.max_seq_length);
  const auto columns = 3 * static_cast<std::size_t>(o.embed_dim) * static_cast<std::size_t>(o.num_experts + o.num_ghost_experts);
  for (int l = 0; l < o.num_layers; ++l) layers_.emplace_back("gnn_hpc::DecodeCache", rows, columns);
}

template <class T>
View2<T> Model<T>::decode(Step<T>& step, DecodeCache<T>& cache, std::span<const int> ids) {
  const int sequences = cache.sequences_, past = cache.length_, capacity = options_.max_seq_length;
  GNN_HPC_REQUIRE(sequences > 0 && !ids.empty() && ids.size() % static_cast<std::size_t>(sequences) == 0, "{} tokens for {} sequences", ids.size(),
                  sequences);
  GNN_HPC_REQUIRE(cache.layers_.size() == layers_.size(), "a cache of {} layers for a model of {}", cache.layers_.size(), layers_.size());
  const int new_tokens = static_cast<int>(ids.size()) / sequences;
  if (past + new_tokens > capacity) {
    throw Error(Exit::usage, fmt::format("{} tokens: model.max_seq_length is {}; shorten the prompt or generate fewer", past + new_tokens, capacity));
  }
  for (const int id : ids) {
    if (id >= 0 && id < options_.vocab_size) continue;
    throw Error(Exit::usage, fmt::format("token id {}: allowed are 0 to {} (model.vocab_size {})", id, options_.vocab_size - 1, options_.vocab_size));
  }
  Arena& arena = step.arena;
  const auto rows = ids.size(), d = static_cast<std::size_t>(options_.embed_dim);
  const auto token = arena.array<int>(rows);
  Kokkos::deep_copy(token, Kokkos::View<const int*, Kokkos::LayoutRight, Kokkos::HostSpace>(ids.data(), rows));
  View2<T> x = arena.matrix<T>(rows, d), y = arena.matrix<T>(rows, d);
  embed_next(step.exec, token, past, new_tokens, token_emb_.weight.value(), pos_emb_.weight.value(), x);
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    layers_[l]->decode(step, sequences, past, new_tokens, x, cache.layers_[l], capacity, y);
    std::swap(x, y);
  }
  cache.length_ += new_tokens;
  const auto last = arena.matrix<T>(static_cast<std::size_t>(sequences), d);
  const auto rdev = arena.array<T>(static_cast<std::size_t>(sequences));
  const auto out = arena.matrix<T>(static_cast<std::size_t>(sequences), static_cast<std::size_t>(options_.vocab_size));
  last_rows(step.exec, x, new_tokens, last);
  LayerNorm<T>::normalise(step.exec, last, last, rdev);
  lm_head_.logits(step, output_norm_, last, out);
  return out;
}

template class DecodeCache<float>;
template class DecodeCache<double>;
template View2<float> Model<float>::decode(Step<float>&, DecodeCache<float>&, std::span<const int>);
template View2<double> Model<double>::decode(Step<double>&, DecodeCache<double>&, std::span<const int>);

}  // namespace gnn_hpc::hgnn_moe
