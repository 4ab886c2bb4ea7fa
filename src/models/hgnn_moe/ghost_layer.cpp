// SPDX-License-Identifier: Apache-2.0
#include "models/hgnn_moe/ghost_layer.hpp"

#include "nn/row_sums.hpp"
#include "nn/rows.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace gnn_hpc::hgnn_moe {

namespace {

/// y = f x for one expert's columns.
template <class T>
void scale_rows(const Exec& exec, View2<T> x, double factor, View2<T> y) {
  const int width = x.extent_int(1);
  const T f = static_cast<T>(factor);
  Kokkos::parallel_for(
      "gnn_hpc::GhostLayer::scale_rows", Kokkos::TeamPolicy<Exec>(exec, x.extent_int(0), team_size()), KOKKOS_LAMBDA(const Team& team) {
        const T* from = &x(team.league_rank(), 0);
        T* to = &y(team.league_rank(), 0);
        each_channel(team, width, [&](const int c) { to[c] = f * from[c]; });
      });
}

template <class T>
void softmax3(const Exec& exec, View1<T> w, View1<T> share) {
  Kokkos::parallel_for(
      "gnn_hpc::GhostLayer::softmax", Rows(exec, 0, 1), KOKKOS_LAMBDA(const int) {
        T most = w(0), sum = 0;
        for (int k = 1; k < 3; ++k) most = w(k) > most ? w(k) : most;
        for (int k = 0; k < 3; ++k) sum += Kokkos::exp(w(k) - most);
        for (int k = 0; k < 3; ++k) share(k) = Kokkos::exp(w(k) - most) / sum;
      });
}

/// y (+)= share[k] mix
template <class T>
void add_mix(const Exec& exec, View1<T> share, int k, View2<T> mix, View2<T> x, View2<T> y) {
  const int width = y.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::GhostLayer::add_mix", Kokkos::TeamPolicy<Exec>(exec, y.extent_int(0), team_size()), KOKKOS_LAMBDA(const Team& team) {
        const int r = team.league_rank();
        const T f = share(k);
        const T *from = &mix(r, 0), *base = &x(r, 0);
        T* to = &y(r, 0);
        each_channel(team, width, [&](const int c) { to[c] = base[c] + f * from[c]; });
      });
}

/// dots[r] = dy_r . mix_r;  dmix = share[k] dy
template <class T>
void mix_gradient(const Exec& exec, View1<T> share, int k, View2<T> dy, View2<T> mix, View2<T> dmix, View2<double> dots) {
  const int width = dy.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::GhostLayer::mix_gradient", Kokkos::TeamPolicy<Exec>(exec, dy.extent_int(0), team_size()), KOKKOS_LAMBDA(const Team& team) {
        const int r = team.league_rank();
        const T f = share(k);
        const T *g = &dy(r, 0), *from = &mix(r, 0);
        T* to = &dmix(r, 0);
        const T dot = sum_channels<T>(team, width, [&](const int c) { return g[c] * from[c]; });
        each_channel(team, width, [&](const int c) { to[c] = f * g[c]; });
        Kokkos::single(Kokkos::PerTeam(team), [&]() { dots(r, k) = static_cast<double>(dot); });
      });
}

template <class T>
void softmax3_gradient(const Exec& exec, View1<T> share, View1<double> dshare, View1<T> dw) {
  Kokkos::parallel_for(
      "gnn_hpc::GhostLayer::softmax_gradient", Rows(exec, 0, 1), KOKKOS_LAMBDA(const int) {
        double mean = 0.0;
        for (int k = 0; k < 3; ++k) mean += static_cast<double>(share(k)) * dshare(k);
        for (int k = 0; k < 3; ++k) dw(k) += static_cast<T>(static_cast<double>(share(k)) * (dshare(k) - mean));
      });
}

/// each (+)= level factor[from] common for one expert's columns; `fresh` overwrites.
template <class T>
void add_common(const Exec& exec, const OutputGradient<T>& gradient, int from, double level, bool fresh, View2<T> each) {
  const int width = each.extent_int(1);
  const auto common = gradient.common;
  const auto factor = gradient.factor;
  const T f = static_cast<T>(level);
  Kokkos::parallel_for(
      "gnn_hpc::GhostLayer::add_common", Kokkos::TeamPolicy<Exec>(exec, each.extent_int(0), team_size()), KOKKOS_LAMBDA(const Team& team) {
        const int r = team.league_rank();
        const T scale = f * factor(from);
        const T* g = &common(r, 0);
        T* to = &each(r, 0);
        if (fresh) {
          each_channel(team, width, [&](const int c) { to[c] = scale * g[c]; });
        } else {
          each_channel(team, width, [&](const int c) { to[c] += scale * g[c]; });
        }
      });
}

/// stats[r] = (sum, sum of squares) of x_r - mean_e X_re
template <class T>
void residual_sums(const Exec& exec, View2<T> x, View2<T> out, int experts, View2<double> stats) {
  const int width = x.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::GhostLayer::residual_sums", Kokkos::TeamPolicy<Exec>(exec, x.extent_int(0), team_size()), KOKKOS_LAMBDA(const Team& team) {
        const int r = team.league_rank();
        const auto rest = [&](const int c) {
          double sum = 0.0;
          for (int e = 0; e < experts; ++e) sum += static_cast<double>(out(r, e * width + c));
          return static_cast<double>(x(r, c)) - sum / experts;
        };
        const double sum = sum_channels<double>(team, width, rest);
        const double squares = sum_channels<double>(team, width, [&](const int c) { return rest(c) * rest(c); });
        Kokkos::single(Kokkos::PerTeam(team), [&]() {
          stats(r, 0) = sum;
          stats(r, 1) = squares;
        });
      });
}

}  // namespace

template <class T>
GhostLayer<T>::GhostLayer(ParamStore<T>& store, const std::string& name, const ModelOptions& o, int index)
    : name_(name),
      index_(index),
      primaries_(o.num_experts),
      ghosts_(o.num_ghost_experts),
      width_(o.embed_dim),
      threshold_(o.ghost_activation_threshold),
      primary_(store, name + ".primary_experts", o, o.num_experts),
      ghost_(store, name + ".ghost_experts", o, o.num_ghost_experts),
      primary_coupler_(store, name + ".coupler.primary_coupler", o, o.num_experts, true),
      ghost_coupler_(store, name + ".coupler.ghost_coupler", o, o.num_ghost_experts, true, o.num_ghost_experts > 1),
      mixed_coupler_(store, name + ".coupler.mixed_coupler", o, o.num_experts + o.num_ghost_experts, true),
      weights_(store.add(name + ".coupler.coupling_weights", {3}, Init::constant(1.0 / 3.0))),
      count_(store.add_buffer(name + ".ghost_count", {static_cast<std::size_t>(o.num_ghost_experts)}, 0.0)) {}

template <class T>
std::vector<double> GhostLayer<T>::levels() const {
  const auto host = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), count_.value1());
  std::vector<double> out(host.extent(0));
  for (std::size_t g = 0; g < out.size(); ++g) out[g] = static_cast<double>(host(g)) / 100.0;
  return out;
}

template <class T>
void GhostLayer<T>::advance(bool saturated) {
  const auto host = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), count_.value1());
  int asleep = 0;
  while (asleep < ghosts_ && host(asleep) != T(0)) ++asleep;
  if (saturated && asleep < ghosts_) {
    host(asleep) = T(1);
  } else {
    for (int g = 0; g < ghosts_; ++g) {
      if (host(g) > T(0)) host(g) = std::min(T(100), host(g) + T(1));
    }
  }
  Kokkos::deep_copy(count_.value1(), host);
}

template <class T>
double GhostLayer<T>::saturation(Step<T>& step, View2<T> x) const {
  Arena& arena = step.arena;
  ArenaFrame frame(arena);
  const auto columns = static_cast<std::size_t>(primaries_) * static_cast<std::size_t>(width_);
  const auto sums = arena.array<double>(columns + 3);  // of X, of the rest and its squares; rows
  const auto stats = arena.matrix<double>(x.extent(0), 2);
  const auto primaries = column_range(saved_.all, 0, primaries_ * width_);
  RowOps<T>::column_sums(step, primaries, View1<double>(sums.data(), columns));
  residual_sums(step.exec, x, primaries, primaries_, stats);
  sum_partials(step, stats, View1<double>(sums.data() + columns, 2));
  Kokkos::deep_copy(step.exec, Kokkos::subview(sums, columns + 2), static_cast<double>(x.extent(0)));
  step.comm.sum(step.exec, sums);
  step.exec.fence("gnn_hpc::GhostLayer::saturation");
  const auto host = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), sums);
  const double rows = host(columns + 2), elements = rows * width_;
  if (elements < 2.0) return 0.0;
  const double variance = (host(columns + 1) - host(columns) * host(columns) / elements) / (elements - 1.0);
  const auto mean = [&](int e, int c) { return host(static_cast<std::size_t>(e * width_ + c)) / rows; };
  const auto dot = [&](int a, int b) {
    double sum = 0.0;
    for (int c = 0; c < width_; ++c) sum += mean(a, c) * mean(b, c);
    return sum;
  };
  double distance = 0.0;
  for (int i = 0; i < primaries_; ++i) {
    for (int j = 0; j < primaries_; ++j) {
      const double norms = std::fmax(std::sqrt(dot(i, i)), 1e-12) * std::fmax(std::sqrt(dot(j, j)), 1e-12);
      const double off = dot(i, j) / norms - (i == j ? 1.0 : 0.0);
      distance += off * off / (static_cast<double>(primaries_) * primaries_);
    }
  }
  return (1.0 - distance) * variance;
}

template <class T>
void GhostLayer<T>::choose(const std::vector<double>& scale) {
  saved_.level = scale;
  saved_.active.clear();
  const std::vector<double> now = levels();
  for (int g = 0; g < ghosts_; ++g) {
    if (now[static_cast<std::size_t>(g)] > 0.1) saved_.active.push_back(g);
  }
}

/// y = x + the three couplers' shares.
template <class T>
void GhostLayer<T>::couple(Step<T>& step, View2<T> x, View2<T> y) {
  Arena& arena = step.arena;
  Saved& s = saved_;
  const int first = primaries_ * width_, active = static_cast<int>(s.active.size());
  for (int a = 0; a < active; ++a) {
    const int g = s.active[static_cast<std::size_t>(a)];
    scale_rows(step.exec, column_range(s.ghosts, g * width_, (g + 1) * width_), s.level[static_cast<std::size_t>(g)],
               column_range(s.all, first + a * width_, first + (a + 1) * width_));
  }
  const View2<T> none;
  for (View2<T>& mix : s.mix) mix = none;
  const auto new_mix = [&] { return arena.matrix<T>(x.extent(0), static_cast<std::size_t>(width_)); };
  s.share = arena.array<T>(3);
  softmax3(step.exec, weights_.value1(), s.share);
  s.mix[kPrimary] = new_mix();
  primary_coupler_.forward(step, column_range(s.all, 0, first), none, s.mix[kPrimary]);
  add_mix(step.exec, s.share, kPrimary, s.mix[kPrimary], x, y);
  if (active >= 2) {
    s.mix[kGhost] = new_mix();
    ghost_coupler_.set_present(active);
    ghost_coupler_.forward(step, column_range(s.all, first, first + active * width_), none, s.mix[kGhost]);
    add_mix(step.exec, s.share, kGhost, s.mix[kGhost], y, y);
  }
  if (active >= 1) {
    s.mix[kMixed] = new_mix();
    mixed_coupler_.set_present(primaries_ + active);
    mixed_coupler_.forward(step, column_range(s.all, 0, first + active * width_), none, s.mix[kMixed]);
    add_mix(step.exec, s.share, kMixed, s.mix[kMixed], y, y);
  }
}

template <class T>
void GhostLayer<T>::forward(Step<T>& step, const TokenBatch& batch, View2<T> x, View2<T> y, View1<double> /*extra*/) {
  Arena& arena = step.arena;
  Saved& s = saved_;
  const auto rows = static_cast<std::size_t>(batch.num_rows), d = static_cast<std::size_t>(width_);
  s.all = arena.matrix<T>(rows, d * static_cast<std::size_t>(primaries_ + ghosts_));
  s.ghosts = arena.matrix<T>(rows, d * static_cast<std::size_t>(ghosts_));
  primary_.forward(step, batch, key(step, 0), x, column_range(s.all, 0, primaries_ * width_));
  ghost_.forward(step, batch, key(step, 1), x, s.ghosts);
  const std::vector<double> before = levels();
  if (step.training()) {
    s.saturation = saturation(step, x);
    advance(s.saturation > threshold_);
  }
  choose(before);
  couple(step, x, y);
}

template <class T>
std::vector<std::string> GhostLayer<T>::resting() const {
  const std::vector<int>& active = saved_.active;
  std::vector<std::string> out;
  for (int g = 0; g < ghosts_; ++g) {
    if (std::find(active.begin(), active.end(), g) == active.end()) out.push_back(fmt::format("{}.ghost_experts.{}.", name_, g));
  }
  if (active.size() < 2) out.push_back(name_ + ".coupler.ghost_coupler.");
  if (active.empty()) out.push_back(name_ + ".coupler.mixed_coupler.");
  // Two ghosts are no triplet: their coupler is the combiner alone.
  if (ghost_coupler_.convolutions() == 0) out.push_back(name_ + ".coupler.ghost_coupler.hgnn_layers_module.");
  if (mixed_coupler_.convolutions() == 0) out.push_back(name_ + ".coupler.mixed_coupler.hgnn_layers_module.");
  return out;
}

template <class T>
void GhostLayer<T>::backward(Step<T>& step, const TokenBatch& batch, View2<T> dx) {
  Arena& arena = step.arena;
  ArenaFrame frame(arena);
  const Saved& s = saved_;
  const auto rows = dx.extent(0), d = static_cast<std::size_t>(width_);
  const auto dots = arena.matrix<double>(rows, kMixes);
  const auto dshare = arena.array<double>(kMixes);
  Kokkos::deep_copy(step.exec, dots, 0.0);
  HgnnCoupler<T>* couplers[kMixes] = {&primary_coupler_, &ghost_coupler_, &mixed_coupler_};
  OutputGradient<T> gradient[kMixes];
  for (int k = 0; k < kMixes; ++k) {
    if (s.mix[k].extent(1) == 0) continue;
    const auto dmix = arena.matrix<T>(rows, d);
    mix_gradient(step.exec, s.share, k, dx, s.mix[k], dmix, dots);
    gradient[k] = couplers[k]->backward(step, dmix);
  }
  sum_partials(step, dots, dshare);
  softmax3_gradient(step.exec, s.share, dshare, weights_.grad1());

  const bool any = !s.active.empty(), several = s.active.size() >= 2;
  OutputGradient<T> primary, ghost;
  primary.each = arena.matrix<T>(rows, d * static_cast<std::size_t>(primaries_));
  for (int e = 0; e < primaries_; ++e) {
    const auto each = column_range(primary.each, e * width_, (e + 1) * width_);
    add_common(step.exec, gradient[kPrimary], e, 1.0, true, each);
    if (any) add_common(step.exec, gradient[kMixed], e, 1.0, false, each);
  }
  primary_.backward(step, batch, key(step, 0), primary, dx);
  if (!any) return;
  ghost.each = arena.matrix<T>(rows, d * static_cast<std::size_t>(ghosts_));
  Kokkos::deep_copy(step.exec, ghost.each, T(0));
  for (int a = 0; a < static_cast<int>(s.active.size()); ++a) {
    const int g = s.active[static_cast<std::size_t>(a)];
    const double level = s.level[static_cast<std::size_t>(g)];
    const auto each = column_range(ghost.each, g * width_, (g + 1) * width_);
    if (several) add_common(step.exec, gradient[kGhost], a, level, false, each);
    add_common(step.exec, gradient[kMixed], primaries_ + a, level, false, each);
  }
  ghost_.backward(step, batch, key(step, 1), ghost, dx);
}

template <class T>
void GhostLayer<T>::decode(Step<T>& step, int sequences, int past, int new_tokens, View2<T> x, View2<T> cache, int capacity, View2<T> y) {
  Arena& arena = step.arena;
  ArenaFrame frame(arena);
  Saved& s = saved_;
  const auto rows = x.extent(0), d = static_cast<std::size_t>(width_);
  s.all = arena.matrix<T>(rows, d * static_cast<std::size_t>(primaries_ + ghosts_));
  s.ghosts = arena.matrix<T>(rows, d * static_cast<std::size_t>(ghosts_));
  primary_.decode(step, sequences, past, new_tokens, x, cache, capacity, 0, column_range(s.all, 0, primaries_ * width_));
  ghost_.decode(step, sequences, past, new_tokens, x, cache, capacity, 3 * width_ * primaries_, s.ghosts);
  choose(levels());
  couple(step, x, y);
}

template <class T>
View2<T> GhostLayer<T>::outputs(const std::string& bank) const {
  return bank == "ghost" ? saved_.ghosts : column_range(saved_.all, 0, primaries_ * width_);
}

template <class T>
std::vector<CouplerTap> GhostLayer<T>::taps(Step<T>& step) const {
  std::vector<CouplerTap> out;
  const HgnnCoupler<T>* couplers[kMixes] = {&primary_coupler_, &ghost_coupler_, &mixed_coupler_};
  const char* names[kMixes] = {"primary", "ghost", "mixed"};
  for (int k = 0; k < kMixes; ++k) {
    if (saved_.mix[k].extent(1) == 0) continue;
    for (CouplerTap& tap : couplers[k]->taps(step)) {
      tap.name = "coupler." + std::string(names[k]) + "." + tap.name;
      out.push_back(std::move(tap));
    }
  }
  out.push_back({"saturation", {1}, {saved_.saturation}});
  return out;
}

template <class T>
std::vector<CouplerTap> GhostLayer<T>::report() const {
  return {{"ghost_level", {static_cast<std::size_t>(ghosts_)}, levels()}};
}

template <class T>
double GhostLayer<T>::smallest_degree(const Exec&) const {
  return std::numeric_limits<double>::infinity();  // weights of a ghost layer take no part
}

template class GhostLayer<float>;
template class GhostLayer<double>;

}  // namespace gnn_hpc::hgnn_moe
