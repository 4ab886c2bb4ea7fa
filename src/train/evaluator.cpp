// SPDX-License-Identifier: Apache-2.0
#include "train/evaluator.hpp"

#include "base/error.hpp"
#include "train/batch_feed.hpp"
#include "train/capabilities.hpp"

#include <array>
#include <limits>
#include <set>
#include <unordered_map>

namespace gnn_hpc {

void reduce_measures(const Comm& comm, Measures& measures) {
  if (comm.size() == 1) return;
  std::vector<std::string> mine;
  for (const auto& [name, sum] : measures.sums) mine.push_back(name);
  const std::vector<std::string> gathered = comm.gather(mine);
  const std::set<std::string> all(gathered.begin(), gathered.end());
  std::vector<std::string> names(all.begin(), all.end());
  comm.broadcast(names);
  if (names.empty()) return;
  std::vector<double> values;
  for (const std::string& name : names) {
    const auto& [sum, count] = measures.sums[name];  // a name that this rank lacks: 0, 0
    values.push_back(sum);
    values.push_back(count);
  }
  comm.sum(std::span<double>(values));
  for (std::size_t i = 0; i < names.size(); ++i) measures.sums[names[i]] = {values[2 * i], values[2 * i + 1]};
}

namespace {

/// Rows of any length on their way to the root.
class Ragged {
 public:
  explicit Ragged(bool wanted) : wanted_(wanted) {}
  /// Takes the row's values.
  void add(std::vector<double>& row) {
    if (!wanted_) return;
    count_.push_back(static_cast<std::int64_t>(row.size()));
    values_.insert(values_.end(), row.begin(), row.end());
    row = {};
  }
  /// Collective.
  void gather(const Comm& comm) {
    if (!wanted_) return;
    count_ = comm.gather(std::span<const std::int64_t>(count_));
    values_ = comm.gather(std::span<const double>(values_));
    for (const std::int64_t n : count_) begin_.push_back(begin_.back() + n);
  }
  std::vector<double> row(std::size_t r) const {
    if (!wanted_) return {};
    return {values_.begin() + begin_[r], values_.begin() + begin_[r + 1]};
  }

 private:
  bool wanted_;
  std::vector<std::int64_t> count_, begin_{0};
  std::vector<double> values_;
};

}  // namespace

std::vector<Prediction> gather_predictions(const Comm& comm, std::span<const std::int64_t> samples, std::vector<Prediction> mine,
                                           const RowWidths& widths) {
  std::vector<std::int64_t> ids;
  std::vector<double> values;
  Ragged items(widths.items), table(widths.table);
  for (Prediction& row : mine) {
    GNN_HPC_REQUIRE(row.target.size() == widths.target && row.prediction.size() == widths.prediction && row.embedding.size() == widths.embedding,
                    "a row of {}, {} and {} columns, expected {}, {} and {}", row.target.size(), row.prediction.size(), row.embedding.size(),
                    widths.target, widths.prediction, widths.embedding);
    ids.push_back(row.sample);
    values.insert(values.end(), row.target.begin(), row.target.end());
    values.insert(values.end(), row.prediction.begin(), row.prediction.end());
    values.insert(values.end(), row.embedding.begin(), row.embedding.end());
    items.add(row.items);
    table.add(row.table);
  }
  mine.clear();
  ids = comm.gather(std::span<const std::int64_t>(ids));
  values = comm.gather(std::span<const double>(values));
  items.gather(comm);
  table.gather(comm);
  if (!comm.is_root()) return {};
  GNN_HPC_REQUIRE(ids.size() == samples.size(), "{} predictions of {} samples", ids.size(), samples.size());
  std::unordered_map<std::int64_t, std::size_t> row_of;
  for (std::size_t i = 0; i < ids.size(); ++i) row_of.emplace(ids[i], i);
  std::vector<Prediction> out;
  out.reserve(samples.size());
  for (const std::int64_t s : samples) {
    const auto found = row_of.find(s);
    GNN_HPC_REQUIRE(found != row_of.end(), "no prediction of sample {}", s);
    const double *row = values.data() + widths.all() * found->second, *prediction = row + widths.target, *embedding = prediction + widths.prediction;
    out.push_back({s, {row, prediction}, {prediction, embedding}, {embedding, embedding + widths.embedding}});
    out.back().items = items.row(found->second);
    out.back().table = table.row(found->second);
  }
  return out;
}

template <class T>
std::optional<Evaluation> evaluate(Task<T>& task, StepRunner<T>& runner, const Comm& comm, std::span<const std::int64_t> samples, int batch,
                                   Keep keep, const std::function<bool()>& stop) {
  const BatchPlan plan = BatchPlan::evaluation(samples, batch);
  Loader<HostBatch> loader(
      plan.num_batches(), [&] { return task.new_batch(); }, [&](std::int64_t b, HostBatch& out) { collate_share(task, comm, plan, b, out); });
  Measures measures;
  measures.keep_predictions = keep != Keep::sums;
  measures.keep_embeddings = keep >= Keep::embeddings;
  measures.keep_items = keep == Keep::items;
  measures.keep_table = measures.keep_predictions && offered<ItemTable>(task) != nullptr;
  std::array<double, 2> loss{0.0, 0.0};  // sum, weight
  while (const HostBatch* share = loader.next()) {
    if (stop && comm.max(static_cast<std::int64_t>(stop())) != 0) return std::nullopt;
    loss[0] += runner.evaluate(*share, measures);
    loss[1] += share->loss_weight;
  }
  comm.sum(std::span<double>(loss));
  reduce_measures(comm, measures);
  Evaluation out;
  out.weight = loss[1];
  out.loss = loss[1] > 0.0 ? loss[0] / loss[1] : std::numeric_limits<double>::quiet_NaN();
  out.metrics = task.metrics(measures);
  if (keep != Keep::sums) {
    const LabelledRecords& records = labelled_records(task);
    const std::size_t targets = records.target_names().size();
    const RowWidths widths{targets, targets * static_cast<std::size_t>(records.num_classes()),
                           measures.keep_embeddings ? static_cast<std::size_t>(records.embedding_width()) : 0, measures.keep_items,
                           measures.keep_table};
    out.predictions = gather_predictions(comm, samples, std::move(measures.predictions), widths);
  }
  return out;
}

template std::optional<Evaluation> evaluate<float>(Task<float>&, StepRunner<float>&, const Comm&, std::span<const std::int64_t>, int, Keep,
                                                   const std::function<bool()>&);
template std::optional<Evaluation> evaluate<double>(Task<double>&, StepRunner<double>&, const Comm&, std::span<const std::int64_t>, int, Keep,
                                                    const std::function<bool()>&);

}  // namespace gnn_hpc
