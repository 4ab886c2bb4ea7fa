// SPDX-License-Identifier: Apache-2.0
#include "train/predict.hpp"

#include "base/error.hpp"
#include "base/log.hpp"
#include "train/checkpoint.hpp"
#include "train/evaluator.hpp"
#include "train/run_folder.hpp"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <iterator>
#include <limits>
#include <optional>

namespace gnn_hpc {

namespace fs = std::filesystem;

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
    if (!fs::exists(file)) continue;
    try {
      read_checkpoint_header(file);
      if (!damage.empty()) log_warning("using {} instead", file);
      return file;
    } catch (const Error& error) {
      log_warning("{}", error.what());
      damage += std::string("\n  ") + error.what();
    }
  }
  throw Error(Exit::data, damage.empty() ? path + ": no checkpoint there; name a file or the folder of a run"
                                         : path + ": no valid checkpoint there:" + damage);
}

template <class T>
std::vector<PredictedRow> predict(Task<T>& task, const std::string& checkpoint, int batch_size, const Comm& comm) {
  if (batch_size < 1) throw Error(Exit::usage, fmt::format("prediction batch size {}: must be at least 1", batch_size));
  const CheckpointHeader header = read_checkpoint_header(checkpoint);
  if (header.info.system != task.name()) {
    throw Error(Exit::data, fmt::format("{}: a checkpoint of {}, the task is {}", checkpoint, header.info.system, task.name()));
  }
  load_checkpoint<T>(checkpoint, task.params(), nullptr);
  task.open_prediction_data(comm);
  task.set_data_state(header.info.data_state);

  const std::vector<InputRecord> records = task.records();
  std::vector<std::int64_t> samples;
  for (const InputRecord& record : records) {
    if (record.sample >= 0) samples.push_back(record.sample);
  }
  std::optional<Evaluation> evaluation;
  if (!samples.empty()) {
    StepRunner<T> runner(task, comm, 0);
    evaluation = evaluate(task, runner, comm, samples, batch_size, true);
  }
  std::vector<PredictedRow> rows;
  if (!comm.is_root()) return rows;
  const std::vector<double> nothing(task.target_names().size(), std::numeric_limits<double>::quiet_NaN());
  std::size_t next = 0;
  for (const InputRecord& record : records) {
    if (record.sample < 0) rows.push_back({record.id, nothing, nothing});
    else {
      Prediction& p = evaluation->predictions[next++];
      rows.push_back({record.id, std::move(p.target), std::move(p.prediction)});
    }
  }
  return rows;
}

std::string predicted_csv(const std::vector<PredictedRow>& rows, const std::vector<std::string>& targets) {
  const bool known = std::any_of(rows.begin(), rows.end(), [](const PredictedRow& r) {
    return std::any_of(r.target.begin(), r.target.end(), [](double y) { return !std::isnan(y); });
  });
  std::string out = "id";
  for (const std::string& name : targets) {
    const std::string suffix = targets.size() > 1 ? "_" + name : "";
    if (known) out += "," + csv_field("target" + suffix);
    out += "," + csv_field("prediction" + suffix);
  }
  out += "\n";
  for (const PredictedRow& row : rows) {
    out += csv_field(row.id);
    for (std::size_t k = 0; k < targets.size(); ++k) {
      if (known) fmt::format_to(std::back_inserter(out), ",{}", row.target[k]);
      fmt::format_to(std::back_inserter(out), ",{}", row.prediction[k]);
    }
    out += "\n";
  }
  return out;
}

template std::vector<PredictedRow> predict<float>(Task<float>&, const std::string&, int, const Comm&);
template std::vector<PredictedRow> predict<double>(Task<double>&, const std::string&, int, const Comm&);

}  // namespace gnn_hpc
