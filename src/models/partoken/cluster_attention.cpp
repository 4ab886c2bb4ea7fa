// SPDX-License-Identifier: Apache-2.0
#include "models/partoken/cluster_attention.hpp"

#include "nn/channels.hpp"
#include "nn/row_sums.hpp"

#include <cmath>

namespace gnn_hpc::partoken {

namespace {

constexpr const char* kDropout = "global_cluster_attn.dropout";

/// Scores, softmax, dropout and weighted sum of one head of one chain, by a team.
template <class T>
struct AttendHead {
  typename ClusterAttention<T>::Saved s;
  View1<int> members;
  int heads, clusters, width;  ///< width: of a head
  T scale;

  KOKKOS_INLINE_FUNCTION void operator()(const Team& team) const {
    const int b = team.league_rank() / heads, h = team.league_rank() % heads, at = h * width, first = h * clusters;
    T largest = T(-1e9), sum = 0;
    for (int k = 0; k < clusters; ++k) {
      const int r = b * clusters + k;
      const T score =
          members(r) > 0 ? scale * sum_channels<T>(team, width, [&](const int c) { return s.query(b, at + c) * s.key(r, at + c); }) : T(-1e9);
      Kokkos::single(Kokkos::PerTeam(team), [&] { s.score(b, first + k) = score; });
      largest = score > largest ? score : largest;
    }
    team.team_barrier();
    for (int k = 0; k < clusters; ++k) {
      if (members(b * clusters + k) > 0) sum += Kokkos::exp(s.score(b, first + k) - largest);
    }
    const bool dropped = s.keep.extent(0) > 0;
    Kokkos::single(Kokkos::PerTeam(team), [&] {
      for (int k = 0; k < clusters; ++k) {
        const T soft = members(b * clusters + k) > 0 ? Kokkos::exp(s.score(b, first + k) - largest) / sum : T(0);
        s.soft(b, first + k) = soft;
        s.weight(b, first + k) = dropped ? soft * s.keep(b, first + k) : soft;
      }
    });
    team.team_barrier();
    each_channel(team, width, [&](const int c) {
      T mixed = 0;
      for (int k = 0; k < clusters; ++k) mixed += s.weight(b, first + k) * s.value(b * clusters + k, at + c);
      s.mixed(b, at + c) = mixed;
    });
  }
};

/// The gradient of one head of one chain; `dweight` [B,H S] is scratch.
template <class T>
struct AttendHeadBackward {
  typename ClusterAttention<T>::Saved s;
  View1<int> members;
  int heads, clusters, width;
  T scale;
  bool scores;  ///< that they have a gradient
  View2<T> dmixed, dweight, dquery, dkey, dvalue;

  KOKKOS_INLINE_FUNCTION void operator()(const Team& team) const {
    const int b = team.league_rank() / heads, h = team.league_rank() % heads, at = h * width, first = h * clusters;
    const bool dropped = s.keep.extent(0) > 0;
    T mean = 0;
    for (int k = 0; k < clusters; ++k) {
      const int r = b * clusters + k;
      const T weight = s.weight(b, first + k);
      each_channel(team, width, [&](const int c) { dvalue(r, at + c) = weight * dmixed(b, at + c); });
      T d = sum_channels<T>(team, width, [&](const int c) { return dmixed(b, at + c) * s.value(r, at + c); });
      if (dropped) d *= s.keep(b, first + k);
      mean += s.soft(b, first + k) * d;
      Kokkos::single(Kokkos::PerTeam(team), [&] { dweight(b, first + k) = d; });
    }
    if (!scores) return;
    team.team_barrier();
    each_channel(team, width, [&](const int c) {
      T dq = 0;
      for (int k = 0; k < clusters; ++k) {
        const int r = b * clusters + k;
        const T dscore = scale * s.soft(b, first + k) * (dweight(b, first + k) - mean);
        dq += dscore * s.key(r, at + c);
        dkey(r, at + c) = dscore * s.query(b, at + c);
      }
      dquery(b, at + c) = dq;
    });
  }
};

template <class T>
void average_heads(const Exec& exec, int heads, View2<T> weight, View1<T> importance) {
  const int clusters = weight.extent_int(1) / heads;
  Kokkos::parallel_for(
      "gnn_hpc::ClusterAttention::importance", Rows(exec, 0, importance.extent_int(0)), KOKKOS_LAMBDA(const int r) {
        T sum = 0;
        for (int h = 0; h < heads; ++h) sum += weight(r / clusters, h * clusters + r % clusters);
        importance(r) = sum / static_cast<T>(heads);
      });
}

}  // namespace

template <class T>
ClusterAttention<T>::ClusterAttention(ParamStore<T>& store, int width, int num_heads, bool with_gradient)
    : query(store, "global_cluster_attn.q", width, width, false),
      key(store, "global_cluster_attn.k", width, width, false),
      value(store, "global_cluster_attn.v", width, width, false),
      out(store, "global_cluster_attn.out", width, width, false),
      heads(num_heads),
      corrected(with_gradient) {}

template <class T>
View2<T> ClusterAttention<T>::forward(Step<T>& step, const RowDropout<T>& dropout, View2<T> g, View2<T> c, View1<int> members, View1<T> importance,
                                      Saved& s) const {
  const std::size_t chains = g.extent(0), width = g.extent(1), clusters = chains > 0 ? c.extent(0) / chains : 0,
                    scores = static_cast<std::size_t>(heads) * clusters;
  const auto matrix = [&](std::size_t rows, std::size_t columns) { return step.arena.template matrix<T>(rows, columns); };
  s.g = g;
  s.c = c;
  s.query = matrix(chains, width);
  s.key = matrix(c.extent(0), width);
  s.value = matrix(c.extent(0), width);
  s.score = matrix(chains, scores);
  s.soft = matrix(chains, scores);
  s.weight = matrix(chains, scores);
  s.mixed = matrix(chains, width);
  s.keep = dropout.factors(step, kDropout, chains, static_cast<int>(scores));
  const View2<T> star = matrix(chains, width);
  query.forward(step, g, s.query);
  key.forward(step, c, s.key);
  value.forward(step, c, s.value);
  const int of_head = static_cast<int>(width) / heads;
  const AttendHead<T> kernel{s, members, heads, static_cast<int>(clusters), of_head, static_cast<T>(1.0 / std::sqrt(static_cast<double>(of_head)))};
  Kokkos::parallel_for("gnn_hpc::ClusterAttention", Kokkos::TeamPolicy<Exec>(step.exec, static_cast<int>(chains) * heads, team_size()), kernel);
  average_heads(step.exec, heads, s.weight, importance);
  out.forward(step, s.mixed, star);
  return star;
}

template <class T>
void ClusterAttention<T>::backward(Step<T>& step, const Saved& s, View1<int> members, View2<T> dstar, View2<T> dg, View2<T> dc) const {
  ArenaFrame frame(step.arena);
  const auto like = [&](const View2<T>& x) { return step.arena.template matrix<T>(x.extent(0), x.extent(1)); };
  const auto dmixed = like(s.mixed), dweight = like(s.weight), dquery = like(s.query), dkey = like(s.key), dvalue = like(s.value);
  out.backward(step, s.mixed, dstar, dmixed);
  const int chains = s.g.extent_int(0), width = s.g.extent_int(1) / heads, clusters = s.score.extent_int(1) / heads;
  const AttendHeadBackward<T> kernel{s,         members, heads,   clusters, width, static_cast<T>(1.0 / std::sqrt(static_cast<double>(width))),
                                     corrected, dmixed,  dweight, dquery,   dkey,  dvalue};
  Kokkos::parallel_for("gnn_hpc::ClusterAttention::backward", Kokkos::TeamPolicy<Exec>(step.exec, chains * heads, team_size()), kernel);
  value.backward(step, s.c, dvalue, dc);
  if (!corrected) return;
  key.backward(step, s.c, dkey, dc, T(1));
  query.backward(step, s.g, dquery, dg, T(1));
}

template struct ClusterAttention<float>;
template struct ClusterAttention<double>;

}  // namespace gnn_hpc::partoken
