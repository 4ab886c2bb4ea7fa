// SPDX-License-Identifier: Apache-2.0
#include "models/partoken/codebook.hpp"

#include "base/error.hpp"
#include "models/partoken/codebook_kernels.hpp"
#include "nn/rows.hpp"
#include "nn/traced_tensor.hpp"

#include <algorithm>
#include <cmath>

namespace gnn_hpc::partoken {

namespace {

constexpr double kLeastShare = 1e-6;  ///< of the presence

/// picked[r] = e_code, and the squared distance of each row; entries without a cluster are 0.
template <class T>
void pick_codes(const Exec& exec, View2<T> z, View2<T> e, View1<int> code, View2<T> picked, View2<double> error) {
  const int width = z.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::Codebook::pick", Kokkos::TeamPolicy<Exec>(exec, z.extent_int(0), team_size()), KOKKOS_LAMBDA(const Team& team) {
        const int r = team.league_rank(), k = code(r);
        each_channel(team, width, [&](const int c) { picked(r, c) = k >= 0 ? e(k, c) : T(0); });
        team.team_barrier();
        const T sum = sum_channels<T>(team, width, [&](const int c) { return k >= 0 ? (z(r, c) - picked(r, c)) * (z(r, c) - picked(r, c)) : T(0); });
        Kokkos::single(Kokkos::PerTeam(team), [&] {
          error(r, 0) = static_cast<double>(sum);
          error(r, 1) = k >= 0 ? 1.0 : 0.0;
        });
      });
}

/// commit = error/(rows of all ranks D); 0 without rows.
void divide_error(const Exec& exec, View1<double> error, View1<double> rows, int width, View1<double> commit) {
  Kokkos::parallel_for(
      "gnn_hpc::Codebook::commit", Rows(exec, 0, 1), KOKKOS_LAMBDA(const int) { commit(0) = rows(0) > 0.0 ? error(0) / (rows(0) * width) : 0.0; });
}

template <class T>
void move_averages(const Exec& exec, double decay, double epsilon, View1<double> seen, View2<double> seen_sums, View1<T> counts, View2<T> sums,
                   View2<T> e) {
  const int width = e.extent_int(1);
  const T old = static_cast<T>(decay), fresh = static_cast<T>(1.0 - decay), eps = static_cast<T>(epsilon);
  Kokkos::parallel_for(
      "gnn_hpc::Codebook::update", Kokkos::TeamPolicy<Exec>(exec, e.extent_int(0), team_size()), KOKKOS_LAMBDA(const Team& team) {
        const int k = team.league_rank();
        const T count = old * counts(k) + fresh * static_cast<T>(seen(k));
        team.team_barrier();  // read by all before it is written
        each_channel(team, width, [&](const int c) {
          sums(k, c) = old * sums(k, c) + fresh * static_cast<T>(seen_sums(k, c));
          e(k, c) = sums(k, c) / (count + eps);
        });
        Kokkos::single(Kokkos::PerTeam(team), [&] { counts(k) = count; });
      });
}

/// Codes that fell out of use start anew beside one in use, drawn in proportion to its count: a function of the buffers and the step, hence the
/// same on all ranks. `before` [K]: the counts.
template <class T>
void revive_codes(const Exec& exec, const RandomKey& key, double least, View1<T> before, View1<T> counts, View2<T> sums, View2<T> e) {
  const int codes = e.extent_int(0), width = e.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::Codebook::revive", Kokkos::TeamPolicy<Exec>(exec, codes, team_size()), KOKKOS_LAMBDA(const Team& team) {
        const int k = team.league_rank();
        if (static_cast<double>(before(k)) >= least) return;
        double total = 0.0;
        for (int m = 0; m < codes; ++m) total += static_cast<double>(before(m)) >= least ? static_cast<double>(before(m)) : 0.0;
        const RandomKey own = key.fold(static_cast<std::uint64_t>(k));
        double left = own.uniform(0) * total;
        int from = -1;
        for (int m = 0; m < codes && left >= 0.0; ++m) {
          if (static_cast<double>(before(m)) < least) continue;
          from = m;
          left -= static_cast<double>(before(m));
        }
        if (from < 0) return;
        each_channel(team, width, [&](const int c) {
          const double near = static_cast<double>(e(from, c)) * (1.0 + 0.05 * own.normal(static_cast<std::uint64_t>(c) + 1));
          e(k, c) = sums(k, c) = static_cast<T>(near);
        });
        Kokkos::single(Kokkos::PerTeam(team), [&] { counts(k) = T(1); });
      });
}

/// dz += factor (z - picked)/(rows D)
template <class T>
void add_commit_gradient(const Exec& exec, double weight, View1<double> rows, View1<int> code, View2<T> z, View2<T> picked, View2<T> dz) {
  const int width = z.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::Codebook::commit_backward", Kokkos::TeamPolicy<Exec>(exec, z.extent_int(0), team_size()), KOKKOS_LAMBDA(const Team& team) {
        const int r = team.league_rank();
        if (code(r) < 0) return;
        const T factor = static_cast<T>(2.0 * weight / (rows(0) * width));
        each_channel(team, width, [&](const int c) { dz(r, c) += factor * (z(r, c) - picked(r, c)); });
      });
}

/// share = softmax over the codes of 2 z.e - |e|^2 by temperature, from the products in place; 0 where there is no cluster.
template <class T>
void soften(const Exec& exec, double temperature, View1<T> norms, View1<int> members, View2<T> share) {
  const int codes = share.extent_int(1);
  const T inverse = static_cast<T>(1.0 / temperature);
  Kokkos::parallel_for(
      "gnn_hpc::Codebook::softmax", Kokkos::TeamPolicy<Exec>(exec, share.extent_int(0), team_size()), KOKKOS_LAMBDA(const Team& team) {
        const int r = team.league_rank();
        T* row = &share(r, 0);
        if (members(r) == 0) {
          each_channel(team, codes, [&](const int k) { row[k] = T(0); });
          return;
        }
        T largest = 0;
        Kokkos::parallel_reduce(
            Kokkos::TeamThreadRange(team, codes),
            [&](const int k, T& best) {
              const T x = (T(2) * row[k] - norms(k)) * inverse;
              if (x > best) best = x;
            },
            Kokkos::Max<T>(largest));
        const T sum = sum_channels<T>(team, codes, [&](const int k) { return Kokkos::exp((T(2) * row[k] - norms(k)) * inverse - largest); });
        team.team_barrier();
        each_channel(team, codes, [&](const int k) { row[k] = Kokkos::exp((T(2) * row[k] - norms(k)) * inverse - largest) / sum; });
      });
}

template <class T>
KOKKOS_INLINE_FUNCTION double clamped(T share) {
  const double x = static_cast<double>(share);
  return x < kLeastShare ? kLeastShare : (x > 1.0 - kLeastShare ? 1.0 - kLeastShare : x);
}

/// absent[b,k] = prod_s (1 - Q_bsk)
template <class T>
void combine_clusters(const Exec& exec, int clusters, View2<T> share, View2<double> absent) {
  Kokkos::parallel_for(
      "gnn_hpc::Codebook::presence", RowMajor2(exec, {0, 0}, {absent.extent_int(0), absent.extent_int(1)}), KOKKOS_LAMBDA(const int b, const int k) {
        double product = 1.0;
        for (int s = 0; s < clusters; ++s) product *= 1.0 - clamped(share(b * clusters + s, k));
        absent(b, k) = product;
      });
}

/// psc = -sum over these chains of (1 - prod_k absent)/chains of all ranks; terms [B] is scratch.
void sum_presence(const Exec& exec, View2<double> absent, View1<double> terms, View1<double> chains, View1<double> psc) {
  const int codes = absent.extent_int(1), rows = absent.extent_int(0);
  Kokkos::parallel_for(
      "gnn_hpc::Codebook::psc", Rows(exec, 0, rows), KOKKOS_LAMBDA(const int b) {
        double product = 1.0;
        for (int k = 0; k < codes; ++k) product *= absent(b, k);
        terms(b) = 1.0 - product;
      });
  Kokkos::parallel_for(
      "gnn_hpc::Codebook::psc_sum", Rows(exec, 0, 1), KOKKOS_LAMBDA(const int) {
        double sum = 0.0;
        for (int b = 0; b < rows; ++b) sum += terms(b);
        psc(0) = chains(0) > 0.0 ? -sum / chains(0) : 0.0;
      });
}

/// others[b,k] = product of absent[b,k'] over k' != k, by products from both ends.
void products_of_others(const Exec& exec, View2<double> absent, View2<double> others) {
  const int codes = absent.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::Codebook::others", Rows(exec, 0, others.extent_int(0)), KOKKOS_LAMBDA(const int b) {
        double product = 1.0;
        for (int k = 0; k < codes; ++k) {
          others(b, k) = product;
          product *= absent(b, k);
        }
        product = 1.0;
        for (int k = codes - 1; k >= 0; --k) {
          others(b, k) *= product;
          product *= absent(b, k);
        }
      });
}

/// The gradient of the share's logits by 2 z.e/T, times 2/T: what multiplies e in dz.
template <class T>
void presence_gradient(const Exec& exec, int clusters, double factor, View1<double> chains, View2<double> others, View2<double> absent,
                       View2<T> share, View2<T> coefficient) {
  const int codes = share.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::Codebook::presence_backward", Kokkos::TeamPolicy<Exec>(exec, share.extent_int(0), team_size()), KOKKOS_LAMBDA(const Team& team) {
        const int r = team.league_rank(), b = r / clusters;
        const double weight = -factor / chains(0);
        const auto gradient = [&](const int k) {
          const double p = static_cast<double>(share(r, k));
          if (p < kLeastShare || p > 1.0 - kLeastShare) return 0.0;
          return weight * others(b, k) * absent(b, k) / (1.0 - p);
        };
        double mean = 0.0;
        Kokkos::parallel_reduce(
            Kokkos::TeamThreadRange(team, codes), [&](const int k, double& sum) { sum += static_cast<double>(share(r, k)) * gradient(k); }, mean);
        each_channel(team, codes, [&](const int k) { coefficient(r, k) = static_cast<T>(static_cast<double>(share(r, k)) * (gradient(k) - mean)); });
      });
}

void copy_to_device(const std::vector<double>& values, const View2<double>& to) {
  Kokkos::deep_copy(to, HostView2<const double>(values.data(), to.extent(0), to.extent(1)));
}

/// The code of each sample.
std::vector<int> assign_samples(const View2<double>& samples, const std::vector<double>& centres, std::size_t codes, bool cosine) {
  const Exec exec;
  const View2<double> e("gnn_hpc::Codebook::centres", codes, samples.extent(1)), products("gnn_hpc::Codebook::products", samples.extent(0), codes);
  const View1<double> norms("gnn_hpc::Codebook::norms", codes);
  const View1<int> code("gnn_hpc::Codebook::code", samples.extent(0));
  copy_to_device(centres, e);
  Matmul<double>::nt(exec, samples, e, products);
  squared_norms(exec, e, norms);
  nearest_codes(exec, CodeDistance<double>{products, norms, cosine}, {}, code);
  exec.fence("gnn_hpc::Codebook::assign_samples");
  return host_ints(code);
}

/// Rounds of Lloyd from `centres`; once a run, hence the sums are the host's.
void lloyd_rounds(const std::vector<double>& samples, std::size_t width, bool cosine, const std::function<int()>& refill,
                  std::vector<double>& centres) {
  constexpr int kRounds = 25;
  constexpr double kSettled = 1e-4;
  const std::size_t count = samples.size() / width, codes = centres.size() / width;
  const View2<double> device("gnn_hpc::Codebook::samples", count, width);
  copy_to_device(samples, device);
  double last = -1.0;
  for (int round = 0; round < kRounds; ++round) {
    const std::vector<int> code = assign_samples(device, centres, codes, cosine);
    std::vector<double> next(centres.size(), 0.0), size(codes, 0.0);
    for (std::size_t i = 0; i < count; ++i) {
      const auto k = static_cast<std::size_t>(code[i]);
      size[k] += 1.0;
      for (std::size_t c = 0; c < width; ++c) next[k * width + c] += samples[i * width + c];
    }
    double shift = 0.0;
    for (std::size_t k = 0; k < codes; ++k) {
      const std::size_t sample = size[k] > 0.0 ? 0 : static_cast<std::size_t>(refill());
      double moved = 0.0;
      for (std::size_t c = 0; c < width; ++c) {
        double& x = next[k * width + c];
        x = size[k] > 0.0 ? x / size[k] : samples[sample * width + c];
        moved += (x - centres[k * width + c]) * (x - centres[k * width + c]);
      }
      shift += std::sqrt(moved) / static_cast<double>(codes);
    }
    centres = std::move(next);
    if (last >= 0.0 && std::abs(shift - last) < kSettled) break;
    last = shift;
  }
}

}  // namespace

template <class T>
Codebook<T>::Codebook(ParamStore<T>& store, const CodebookOptions& o) : options_(o), store_(&store) {
  const auto codes = static_cast<std::size_t>(o.codes), width = static_cast<std::size_t>(o.width);
  embeddings_ = store.add_buffer("codebook.embeddings", {codes, width}, Init::normal(0.05), BufferRule::none);
  counts_ = store.add_buffer("codebook.ema_counts", {codes}, o.corrected ? 1.0 : 0.0, BufferRule::none);
  sums_ = store.add_buffer("codebook.ema_sums", {codes, width}, 0.0, BufferRule::none);
}

template <class T>
void Codebook<T>::begin(const Exec& exec) const {
  if (options_.corrected) Kokkos::deep_copy(exec, sums_.value1(), embeddings_.value1());
}

template <class T>
void Codebook<T>::quantise(Step<T>& step, View2<T> z, View1<int> members, bool with_update, Saved& s) const {
  Arena& arena = step.arena;
  const std::size_t rows = z.extent(0), width = z.extent(1), codes = static_cast<std::size_t>(options_.codes);
  const View2<T> e = codes_now();
  s.z = z;
  s.members = members;
  s.code = arena.array<int>(rows);
  s.picked = arena.matrix<T>(rows, width);
  s.commit = arena.array<double>(1);
  s.rows = arena.array<double>(1);
  ArenaFrame frame(arena);
  const auto products = arena.matrix<T>(rows, codes);
  const auto norms = arena.array<T>(codes);
  const auto error = arena.matrix<double>(rows, 2);
  const auto sums = arena.array<double>(2), seen = arena.array<double>(1 + codes * (width + 1));
  Matmul<T>::nt(step.exec, z, e, products);
  squared_norms(step.exec, e, norms);
  nearest_codes(step.exec, CodeDistance<T>{products, norms, options_.cosine}, members, s.code);
  pick_codes(step.exec, z, e, s.code, s.picked, error);
  sum_partials(step, error, sums);
  const auto part = [&](std::size_t begin, std::size_t end) { return View1<double>(Kokkos::subview(seen, Kokkos::make_pair(begin, end))); };
  Kokkos::deep_copy(step.exec, part(0, 1), Kokkos::subview(sums, Kokkos::make_pair(1, 2)));
  const View1<double> counts = part(1, 1 + codes);
  const View2<double> by_code(seen.data() + 1 + codes, codes, width);
  if (with_update) sum_by_code(step.exec, z, s.code, counts, by_code);
  step.comm.sum(step.exec, with_update ? seen : part(0, 1));
  Kokkos::deep_copy(step.exec, s.rows, part(0, 1));
  divide_error(step.exec, sums, s.rows, static_cast<int>(width), s.commit);
  if (!with_update) return;
  const View2<T> totals(sums_.value1().data(), codes, width);
  move_averages(step.exec, options_.decay, options_.epsilon, counts, by_code, counts_.value1(), totals, e);
  if (options_.revive_below <= 0.0) return;
  Kokkos::deep_copy(step.exec, norms, counts_.value1());
  revive_codes(step.exec, step.key.fold(fnv1a64("codebook.revive")), options_.revive_below, norms, counts_.value1(), totals, e);
}

template <class T>
void Codebook<T>::commit_backward(Step<T>& step, const Saved& s, double weight, View2<T> dz) const {
  add_commit_gradient(step.exec, weight * options_.beta, s.rows, s.code, s.z, s.picked, dz);
}

template <class T>
void Codebook<T>::presence(Step<T>& step, std::size_t graphs, View1<double> chains, Saved& s) const {
  Arena& arena = step.arena;
  const std::size_t rows = s.z.extent(0), codes = static_cast<std::size_t>(options_.codes);
  s.chains = chains;
  s.share = arena.matrix<T>(rows, codes);
  s.absent = arena.matrix<double>(graphs, codes);
  s.psc = arena.array<double>(1);
  ArenaFrame frame(arena);
  const auto norms = arena.array<T>(codes);
  const auto terms = arena.array<double>(graphs);
  const View2<T> e = codes_now();
  Matmul<T>::nt(step.exec, s.z, e, s.share);
  squared_norms(step.exec, e, norms);
  soften(step.exec, std::max(options_.psc_temp, kLeastShare), norms, s.members, s.share);
  combine_clusters(step.exec, graphs > 0 ? static_cast<int>(rows / graphs) : 0, s.share, s.absent);
  sum_presence(step.exec, s.absent, terms, chains, s.psc);
}

template <class T>
void Codebook<T>::presence_backward(Step<T>& step, const Saved& s, double weight, View2<T> dz) const {
  ArenaFrame frame(step.arena);
  const std::size_t graphs = s.absent.extent(0);
  const auto others = step.arena.template matrix<double>(graphs, s.absent.extent(1));
  const auto coefficient = step.arena.template matrix<T>(s.share.extent(0), s.share.extent(1));
  products_of_others(step.exec, s.absent, others);
  presence_gradient(step.exec, graphs > 0 ? static_cast<int>(s.share.extent(0) / graphs) : 0, 2.0 * weight / std::max(options_.psc_temp, kLeastShare),
                    s.chains, others, s.absent, s.share, coefficient);
  Matmul<T>::nn(step.exec, coefficient, codes_now(), dz, T(1));
}

template <class T>
void Codebook<T>::start_from_samples(const std::vector<double>& samples, const Draws& draws) {
  const auto width = static_cast<std::size_t>(options_.width), codes = static_cast<std::size_t>(options_.codes), count = samples.size() / width;
  if (count == 0) throw Error(Exit::data, "k-means of the codebook: no chain of the first batches has a cluster");
  std::vector<double> centres(codes * width);
  const auto copy_sample = [&](std::size_t sample, std::size_t code) {
    std::copy_n(samples.begin() + static_cast<std::ptrdiff_t>(sample * width), width, centres.begin() + static_cast<std::ptrdiff_t>(code * width));
  };
  for (std::size_t k = 0; k < codes; ++k) copy_sample(count < codes ? k % count : static_cast<std::size_t>(draws.permutation[k]), k);
  if (count >= codes) lloyd_rounds(samples, width, options_.cosine, draws.refill, centres);
  store_->set_buffer(embeddings_.info(), centres);
  store_->set_buffer(sums_.info(), centres);
  store_->set_buffer(counts_.info(), std::vector<double>(codes, 1.0));
}

template <class T>
std::vector<double> Codebook<T>::usage() const {
  std::vector<double> out = store_->get_buffer(counts_.info());
  double total = options_.epsilon;
  for (const double n : out) total += n;
  for (double& n : out) n = std::max(n / total, options_.epsilon);
  return out;
}

template <class T>
double Codebook<T>::perplexity() const {
  double sum = 0.0;
  for (const double u : usage()) sum += u * std::log(u + options_.epsilon);
  return std::exp(-sum);
}

template <class T>
double Codebook<T>::entropy() const {
  double sum = 0.0;
  for (const double u : usage()) sum += u * std::log(u / (1.0 / static_cast<double>(options_.codes) + options_.epsilon));
  return sum;
}

template <class T>
View2<T> Codebook<T>::codes_now() const {
  return {embeddings_.value1().data(), static_cast<std::size_t>(options_.codes), static_cast<std::size_t>(options_.width)};
}

template class Codebook<float>;
template class Codebook<double>;

}  // namespace gnn_hpc::partoken
