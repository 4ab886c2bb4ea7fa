// SPDX-License-Identifier: Apache-2.0
#include "train/predict.hpp"

#include "base/error.hpp"
#include "base/log.hpp"
#include "base/signals.hpp"
#include "base/together.hpp"
#include "io/atomic_file.hpp"
#include "io/hdf5.hpp"
#include "io/seal.hpp"
#include "train/capabilities.hpp"
#include "train/checkpoint.hpp"
#include "train/evaluator.hpp"
#include "train/item_tables.hpp"
#include "train/run_folder.hpp"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <iterator>
#include <limits>
#include <optional>
#include <system_error>

namespace gnn_hpc {

namespace fs = std::filesystem;

namespace {

bool is_csv(const std::string& path) { return fs::path(path).extension() == ".csv"; }

/// A best.h5 that the last.h5 beside it knows a better epoch than: the file was replaced by an older one.
void warn_of_an_older_best(const std::string& file, const TrainState& there) {
  const fs::path last = fs::path(file).parent_path() / "last.h5";
  if (fs::path(file).filename() == "last.h5" || fs::path(file).filename() == "last.prev.h5") return;
  try {
    std::error_code ignored;
    if (!fs::exists(last, ignored)) return;
    const TrainState run = read_checkpoint_header(last.string()).state;
    if (run.best_epoch > there.best_epoch) {
      log_warning("{} holds the weights of epoch {}, but the best ones of this run were those of epoch {}", file, there.best_epoch, run.best_epoch);
    }
  } catch (const Error&) {  // the weights do not come from there
  }
}

}  // namespace

std::string checkpoint_for_prediction(const std::string& path) {
  std::vector<std::string> candidates;
  if (fs::is_directory(path)) {
    for (const char* name : {"checkpoints/best.h5", "best.h5", "checkpoints/last.h5", "last.h5"}) {
      const std::string file = (fs::path(path) / name).string();
      candidates.push_back(file);
      candidates.push_back(previous_checkpoint(file));
    }
  } else {
    candidates = {path, previous_checkpoint(path)};
  }
  std::string damage;
  for (const std::string& file : candidates) {
    std::error_code trouble;
    const bool there = fs::exists(file, trouble);
    if (trouble) throw Error(Exit::data, fmt::format("{}: cannot be read ({})", file, trouble.message()));
    if (!there) continue;
    try {
      const CheckpointHeader header = read_checkpoint_header(file);
      if (!damage.empty()) log_warning("using {} instead: other weights, of epoch {}", file, header.state.epoch);
      warn_of_an_older_best(file, header.state);
      return file;
    } catch (const DamagedFile& error) {  // only that: another format or no permission is for the user to mend
      log_warning("{}", error.what());
      damage += std::string("\n  ") + error.what();
    }
  }
  throw Error(Exit::data,
              damage.empty() ? path + ": no checkpoint there; name a file or the folder of a run" : path + ": no valid checkpoint there:" + damage);
}

template <class T>
std::vector<PredictedRow> predict(Task<T>& task, const std::string& checkpoint, int batch_size, const Comm& comm, Embeddings wanted) {
  const bool embeddings = wanted != Embeddings::none;
  if (batch_size < 1) throw Error(Exit::usage, fmt::format("prediction batch size {}: must be at least 1", batch_size));
  const CheckpointHeader header = read_checkpoint_header(checkpoint);
  if (header.info.system != task.name()) {
    throw Error(Exit::data, fmt::format("{}: a checkpoint of {}, the task is {}", checkpoint, header.info.system, task.name()));
  }
  task.open_data(comm, DataUse::prediction);
  task.set_data_state(header.info.data_state);  // may shape the model
  load_checkpoint<T>(checkpoint, task.params(), nullptr);
  const LabelledRecords& labels = labelled_records(task);
  if (embeddings && labels.embedding_width() == 0) throw Error(Exit::usage, fmt::format("system {} has no fingerprints", task.name()));
  if (wanted == Embeddings::items && labels.item_embedding_width() == 0) {
    throw Error(Exit::usage, fmt::format("system {} has no representation of parts of a sample (--per-item)", task.name()));
  }

  const std::vector<InputRecord> records = labels.records();
  std::vector<std::int64_t> samples;
  for (const InputRecord& record : records) {
    if (record.sample >= 0) samples.push_back(record.sample);
  }
  std::optional<Evaluation> evaluation;
  if (!samples.empty()) {
    StepRunner<T> runner(task, comm, 0);
    evaluation = evaluate(task, runner, comm, samples, batch_size,
                          wanted == Embeddings::items ? Keep::items
                          : embeddings                ? Keep::embeddings
                                                      : Keep::predictions,
                          [] { return stop_wanted(); });
    if (!evaluation) {
      stop_together(comm, "prediction");
      throw Error(Exit::stopped, "prediction: stopped; nothing was written, start the same command again");
    }
  }
  std::vector<PredictedRow> rows;
  if (!comm.is_root()) return rows;
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  const std::size_t targets = labels.target_names().size();
  const std::vector<double> no_target(targets, kNan), no_prediction(targets * static_cast<std::size_t>(labels.num_classes()), kNan),
      no_embedding(embeddings ? static_cast<std::size_t>(labels.embedding_width()) : 0, kNan);
  std::size_t next = 0;
  for (const InputRecord& record : records) {
    if (record.sample < 0)
      rows.push_back({record.id, no_target, no_prediction, no_embedding});
    else {
      Prediction& p = evaluation->predictions[next++];
      rows.push_back(
          {record.id, std::move(p.target), std::move(p.prediction), std::move(p.embedding), std::move(p.items), p.sample, std::move(p.table)});
    }
  }
  return rows;
}

void require_place_for_items(const std::string& path) {
  if (is_csv(path)) throw Error(Exit::usage, fmt::format("{}: a CSV file has no place for parts of samples; name an HDF5 file (.h5)", path));
}

void write_embeddings(const std::string& path, const std::vector<PredictedRow>& rows, std::size_t width, std::size_t item_width) {
  if (item_width > 0) require_place_for_items(path);
  if (is_csv(path)) {
    std::string text = "id";
    for (std::size_t c = 0; c < width; ++c) fmt::format_to(std::back_inserter(text), ",h{}", c);
    text += "\n";
    for (const PredictedRow& row : rows) {
      text += csv_field(row.id);
      for (const double h : row.embedding) fmt::format_to(std::back_inserter(text), ",{}", h);
      text += "\n";
    }
    write_file_atomically(path, text);
    return;
  }
  std::vector<std::string> ids;
  std::vector<double> values;
  for (const PredictedRow& row : rows) {
    ids.push_back(row.id);
    values.insert(values.end(), row.embedding.begin(), row.embedding.end());
  }
  Hdf5Writer file(path);
  file.write_text("/Info/kind", "gnn_hpc fingerprints");
  file.write_texts("/id", ids);
  file.write<double>("/embedding", std::span<const double>(values), {static_cast<std::int64_t>(rows.size()), static_cast<std::int64_t>(width)});
  if (item_width > 0) {
    std::vector<std::int64_t> ptr(1, 0);
    values.clear();
    for (const PredictedRow& row : rows) {
      values.insert(values.end(), row.items.begin(), row.items.end());
      ptr.push_back(static_cast<std::int64_t>(values.size() / item_width));
    }
    file.write<std::int64_t>("/item_ptr", std::span<const std::int64_t>(ptr), {static_cast<std::int64_t>(ptr.size())});
    file.write<double>("/item_embedding", std::span<const double>(values), {ptr.back(), static_cast<std::int64_t>(item_width)});
  }
  file.commit();
}

template <class T>
void write_item_tables(const std::string& folder, const Task<T>& task, const std::vector<PredictedRow>& rows) {
  const auto* table = offered<ItemTable>(task);
  if (table == nullptr) throw Error(Exit::usage, fmt::format("system {} has no tables (--tables)", task.name()));
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) throw Error(Exit::data, fmt::format("{}: cannot make the folder ({})", folder, error.message()));
  const std::vector<std::string> columns = table->table_columns();
  std::vector<Prediction> predictions;
  std::vector<std::string> ids;
  std::vector<std::int64_t> ptr(1, 0);
  std::vector<double> values;
  for (const PredictedRow& row : rows) {
    ids.push_back(row.id);
    values.insert(values.end(), row.table.begin(), row.table.end());
    ptr.push_back(static_cast<std::int64_t>(values.size() / columns.size()));
    if (row.sample >= 0) predictions.push_back({row.sample, row.target, row.prediction, {}, {}, row.table});
  }
  for (const auto& [name, text] : item_tables<T>(task, {{"", std::move(predictions)}}))
    write_file_atomically((fs::path(folder) / name).string(), text);
  Hdf5Writer file((fs::path(folder) / "tables.h5").string());
  file.write_text("/Info/kind", "gnn_hpc tables");
  file.write_texts("/id", ids);
  file.write_texts("/columns", columns);
  file.write<std::int64_t>("/ptr", std::span<const std::int64_t>(ptr), {static_cast<std::int64_t>(ptr.size())});
  file.write<double>("/values", std::span<const double>(values), {ptr.back(), static_cast<std::int64_t>(columns.size())});
  file.commit();
}

template void write_item_tables<float>(const std::string&, const Task<float>&, const std::vector<PredictedRow>&);
template void write_item_tables<double>(const std::string&, const Task<double>&, const std::vector<PredictedRow>&);
template std::vector<PredictedRow> predict<float>(Task<float>&, const std::string&, int, const Comm&, Embeddings);
template std::vector<PredictedRow> predict<double>(Task<double>&, const std::string&, int, const Comm&, Embeddings);

}  // namespace gnn_hpc
