// SPDX-License-Identifier: Apache-2.0
#include "models/partoken/task.hpp"

#include "base/error.hpp"
#include "base/log.hpp"
#include "models/partoken/cluster_tables.hpp"
#include "models/partoken/statistics.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>

namespace gnn_hpc::partoken {

namespace {

constexpr std::array<const char*, 6> kStatistics{"coverage", "clusters", "cluster_size", "importance_max", "importance_entropy", "perplexity"};

/// total = cls + sum of the weighted parts.
void add_parts(const Exec& exec, View1<double> cls, View1<double> parts, const LossWeights& w, View1<double> total) {
  Kokkos::parallel_for(
      "gnn_hpc::partoken::loss", Rows(exec, 0, 1),
      KOKKOS_LAMBDA(const int) { total(0) = cls(0) + w.vq * parts(0) + w.psc * parts(1) + w.card * parts(2); });
}

/// The root's numbers on every rank.
void broadcast(const Comm& comm, std::vector<double>& values) {
  std::string bytes(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(double));
  comm.broadcast(bytes);
  values.resize(bytes.size() / sizeof(double));
  std::memcpy(values.data(), bytes.data(), bytes.size());
}

/// Clusters of batches with what puts them into an order that no rank changes: batch, sample, number.
struct ClusterRows {
  std::size_t width;
  std::vector<double> rows;  ///< [n, 3 + width]

  void add(std::int64_t batch, const HostBatch& share, const std::vector<double>& clusters, const std::vector<int>& members) {
    const std::size_t count = share.samples.empty() ? 0 : members.size() / share.samples.size();
    for (std::size_t r = 0; r < members.size(); ++r) {
      if (members[r] == 0) continue;
      rows.push_back(static_cast<double>(batch));
      rows.push_back(static_cast<double>(share.samples[r / count]));
      rows.push_back(static_cast<double>(r % count));
      rows.insert(rows.end(), clusters.begin() + static_cast<std::ptrdiff_t>(r * width),
                  clusters.begin() + static_cast<std::ptrdiff_t>((r + 1) * width));
    }
  }
  /// All ranks' clusters in order, on every rank.
  std::vector<double> gather(const Comm& comm) const {
    const std::vector<double> all = comm.gather(std::span<const double>(rows));
    const std::size_t stride = width + 3;
    std::vector<std::size_t> order(all.size() / stride);
    std::iota(order.begin(), order.end(), std::size_t{0});
    const auto key = [&](std::size_t i) { return all.begin() + static_cast<std::ptrdiff_t>(i * stride); };
    std::sort(order.begin(), order.end(),
              [&](std::size_t a, std::size_t b) { return std::lexicographical_compare(key(a), key(a) + 3, key(b), key(b) + 3); });
    std::vector<double> out;
    for (const std::size_t i : order) out.insert(out.end(), key(i) + 3, key(i) + static_cast<std::ptrdiff_t>(stride));
    broadcast(comm, out);
    return out;
  }
};

}  // namespace

template <class T>
void PartokenTask<T>::make_model(ParamStore<T>& store) {
  options_.protein = this->options();
  options_.complete();
  model_.emplace(store, options_);
}

template <class T>
std::string PartokenTask<T>::variant() const {
  const PartitionerOptions& p = options_.partitioner;
  return fmt::format("ParToken, {} clusters of at most {} residues within {} hop(s), {} codes, {} loss, ", p.max_clusters, p.cluster_size_max,
                     p.k_hop, options_.codebook.codes, name_of(options_.loss)) +
         protein::ProteinTask<T>::variant();
}

template <class T>
std::string PartokenTask<T>::component(const std::string& name) const {
  if (name.starts_with("node_encoder") || name.starts_with("sequence")) return "residue embedding";
  if (name.starts_with("edge_encoder")) return "edge embedding";
  if (name.starts_with("gvp_layers")) return "layers";
  if (name.starts_with("output_projection")) return "read-out";
  if (name.starts_with("partitioner")) return "partitioner";
  if (name.starts_with("global_cluster_attn")) return "cluster attention";
  if (name.starts_with("fw_gate")) return "gate";
  return name.starts_with("cluster_attention") ? "unused" : "head";
}

template <class T>
LossWeights PartokenTask<T>::weights(std::int64_t phase_epoch) const {
  if (options_.loss == LossKind::ce || bypass()) return {};
  if (options_.loss == LossKind::loop) return {1.0, 0.0, 0.0};
  const double vq = phase_.loss_weight("vq", phase_epoch, options_.lambda_vq), psc = phase_.loss_weight("psc", phase_epoch, options_.lambda_psc),
               card = phase_.loss_weight("card", phase_epoch, options_.lambda_card);
  return {vq, psc, options_.corrected ? card : card * card};
}

template <class T>
bool PartokenTask<T>::begin_phase(const PhaseStart<T>& start) {
  phase_ = start.phase;
  if (start.resumed) return true;
  if (start.index == 0) model_->codebook().begin(Exec());
  return bypass() || phase_.flag("kmeans_init") == 0.0 || start_codebook(start);
}

template <class T>
bool PartokenTask<T>::start_codebook(const PhaseStart<T>& start) {
  ClusterRows mine{static_cast<std::size_t>(options_.width()), {}};
  std::int64_t batch = 0;
  const bool whole = start.each_batch(options_.kmeans_batches, [&](const HostBatch& share, Step<T>&) {
    const auto& partition = model_->saved().partition;
    mine.add(batch++, share, host_values(partition.clusters), host_ints(partition.members));
  });
  if (!whole) return false;
  const std::vector<double> samples = mine.gather(start.comm);
  const std::size_t count = samples.size() / mine.width;
  typename Codebook<T>::Draws draws;
  draws.permutation.resize(count);
  std::iota(draws.permutation.begin(), draws.permutation.end(), 0);
  const auto rank_of = [&](int i) { return start.key.uniform(static_cast<std::uint64_t>(i)); };
  std::stable_sort(draws.permutation.begin(), draws.permutation.end(), [&](int a, int b) { return rank_of(a) < rank_of(b); });
  std::uint64_t drawn = 0;
  draws.refill = [&] { return static_cast<int>(start.key.fold(1).uniform(drawn++) * static_cast<double>(count)); };
  model_->codebook().start_from_samples(samples, draws);
  for (const TensorInfo& t : this->params().buffer_tensors()) {  // the root's, should another rank's library round otherwise
    if (!t.name.starts_with("codebook.")) continue;
    std::vector<double> values = this->params().get_buffer(t);
    broadcast(start.comm, values);
    this->params().set_buffer(t, values);
  }
  log_info("codebook: {} codes from {} clusters of {} batches", options_.codebook.codes, count, batch);
  return true;
}

template <class T>
void PartokenTask<T>::forward(Step<T>& step) {
  if (step.training()) model_->partitioner().set_epoch(step.exec, step.epoch);
  const auto frozen = static_cast<std::int64_t>(phase_.flag("freeze_codebook_last"));
  const bool update = step.phase_epoch < phase_.options.epochs - frozen;
  this->set_output(model_->forward(step, this->batch(), {bypass(), update, step.training() && weights(step.phase_epoch).psc > 0.0}));
}

template <class T>
View1<double> PartokenTask<T>::loss(Step<T>& step, double divisor) {
  class_loss_ = protein::ProteinTask<T>::loss(step, divisor);
  if (!step.training()) return class_loss_;
  const View1<double> total = step.arena.template array<double>(1);
  add_parts(step.exec, class_loss_, model_->part_losses(), weights(step.phase_epoch), total);
  return total;
}

template <class T>
void PartokenTask<T>::backward(Step<T>& step) {
  model_->backward(step, this->batch(), this->output_gradient(), weights(step.phase_epoch));
}

template <class T>
bool PartokenTask<T>::codebook_is_trained() {
  const std::vector<double> counts = this->params().get_buffer(*this->params().find_buffer("codebook.ema_counts"));
  return std::adjacent_find(counts.begin(), counts.end(), std::not_equal_to<>()) != counts.end();
}

template <class T>
void PartokenTask<T>::measure(const HostBatch& batch, Step<T>& step, Measures& sums) {
  const std::size_t before = sums.predictions.size();
  protein::ProteinTask<T>::measure(batch, step, sums);
  const auto& saved = model_->saved();
  const std::vector<int> assign = host_ints(saved.partition.assign), members = host_ints(saved.partition.members);
  const std::vector<double> importance = host_values(saved.importance);
  const bool coded = sums.keep_table && !saved.use.bypass && codebook_is_trained();
  const std::vector<int> code = coded ? host_ints(saved.codes.code) : std::vector<int>();
  const std::vector<int>& ptr = static_cast<const protein::HostProteinBatch&>(batch).graphs.graph_ptr;
  const auto clusters = static_cast<std::size_t>(options_.partitioner.max_clusters);
  constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  std::array<double, 5> total{};
  for (std::size_t g = 0; g < batch.samples.size(); ++g) {
    const auto begin = static_cast<std::size_t>(ptr[g]), end = static_cast<std::size_t>(ptr[g + 1]);
    const PartitionStatistics s =
        partition_statistics(std::span(assign).subspan(begin, end - begin), std::span(members).subspan(g * clusters, clusters),
                             std::span(importance).subspan(g * clusters, clusters));
    const std::array<double, 5> values{s.coverage, s.clusters, s.mean_size, s.largest, s.entropy};
    for (std::size_t i = 0; i < values.size(); ++i) total[i] += values[i];
    if (!sums.keep_table) continue;
    std::vector<double>& table = sums.predictions[before + g].table;
    for (std::size_t i = begin; i < end; ++i) {
      const bool has = assign[i] >= 0;
      const std::size_t row = has ? g * clusters + static_cast<std::size_t>(assign[i]) : 0;
      table.push_back(has ? assign[i] : kNone);
      table.push_back(has && coded ? code[row] : kNone);
      table.push_back(has ? importance[row] : kNone);
    }
  }
  const double chains = static_cast<double>(batch.samples.size());
  for (std::size_t i = 0; i < total.size(); ++i) sums.add(std::string("partition.") + kStatistics[i], total[i], chains);
  if (chains > 0.0) sums.add(std::string("partition.") + kStatistics.back(), chains * model_->codebook().perplexity(), chains);
}

template <class T>
std::vector<std::pair<std::string, double>> PartokenTask<T>::metrics(const Measures& reduced) const {
  auto out = protein::ProteinTask<T>::metrics(reduced);
  for (const char* name : kStatistics) {
    const auto [sum, count] = reduced.sum_of(std::string("partition.") + name);
    out.emplace_back(name, count > 0.0 ? sum / count : std::numeric_limits<double>::quiet_NaN());
  }
  return out;
}

template <class T>
std::map<std::string, std::string> PartokenTask<T>::summaries(const std::vector<std::string>& ids, const std::vector<Prediction>& rows) const {
  std::vector<std::vector<std::string>> names;
  for (const Prediction& row : rows) names.push_back(item_names(row.sample));
  const bool classes = this->target_kind() == TargetKind::classes && !this->class_names().empty();
  return {{"clusters", clusters_csv(ids, rows, names)},
          {"codebook", codebook_csv(rows, classes ? this->class_names().front() : std::vector<std::string>())}};
}

template <class T>
std::unique_ptr<Task<T>> make_task(Config& root, std::uint64_t seed) {
  ProteinDataOptions data = ProteinDataOptions::parse(root);
  Config node = root.block("model", "encoder of geometric vector perceptrons, partitioner, codebook");
  const ModelOptions model = ModelOptions::parse(node);
  node.done();
  return std::make_unique<PartokenTask<T>>(std::move(data), model, seed);
}

template class PartokenTask<float>;
template class PartokenTask<double>;
template std::unique_ptr<Task<float>> make_task<float>(Config&, std::uint64_t);
template std::unique_ptr<Task<double>> make_task<double>(Config&, std::uint64_t);

}  // namespace gnn_hpc::partoken
