// SPDX-License-Identifier: Apache-2.0
#include "train/run_folder.hpp"

#include "base/text.hpp"
#include "io/atomic_file.hpp"
#include "io/checksum.hpp"
#include "train/capabilities.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <iterator>

namespace gnn_hpc {

namespace fs = std::filesystem;

void on_root(const Comm& comm, const std::function<void()>& work) {
  std::int64_t code = 0;
  std::string message;
  if (comm.is_root()) {
    try {
      work();
    } catch (const Error& error) {
      if (comm.size() == 1) throw;
      code = static_cast<std::int64_t>(error.code());
      message = error.what();
    } catch (const fs::filesystem_error& error) {
      code = static_cast<std::int64_t>(Exit::data);
      message = error.what();
      if (comm.size() == 1) throw Error(Exit::data, message);
    }
  }
  if (comm.size() == 1) return;
  comm.broadcast(std::span<std::int64_t>(&code, 1));
  if (code == 0) return;
  comm.broadcast(message);
  throw Error(static_cast<Exit>(code), message);
}

RunFolder::RunFolder(std::string dir, const Comm& comm) : dir_(std::move(dir)), root_(comm.is_root()) {
  while (dir_.size() > 1 && dir_.back() == '/') dir_.pop_back();
  on_root(comm, [&] { create_and_lock(); });
}

RunFolder::~RunFolder() {
  if (lock_ >= 0) ::close(lock_);
}

void RunFolder::create_and_lock() {
  std::error_code error;
  fs::create_directories(path("checkpoints"), error);
  if (error) throw Error(Exit::data, fmt::format("run.dir: cannot make the folder {} ({})", path("checkpoints"), error.message()));
  lock_ = ::open(path(".lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (lock_ < 0) throw Error(Exit::data, fmt::format("run.dir: {} is not writable ({})", dir_, std::strerror(errno)));
  // Some network file systems have no locks; there the user must take care.
  if (::flock(lock_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    throw Error(Exit::data, fmt::format("run.dir: {} is in use by another run; wait for it or choose another folder", dir_));
  }
  for (const char* name : {"checkpoints/last.h5", "checkpoints/best.h5", "summary.json", "predictions.csv", "results.csv", "requeue.json"}) {
    remove_stale_temporaries(path(name));
  }
}

void RunFolder::set_old_results_aside() {
  if (!root_) return;
  std::vector<std::string> old;
  // Everything that a run, `predict` or scripts/plot.sh leaves here; results of two runs side by side would be taken for one's.
  for (const char* name :
       {"metrics.jsonl", "metrics.csv", "predictions.csv", "results.csv", "summary.json", "resolved.yaml", "skipped.csv", "ids_train_val_test.json",
        "predicted.csv", "predicted_skipped.csv", "requeue.json", "learning_curve.png", "plots", "tables"}) {
    if (fs::exists(path(name))) old.emplace_back(name);
  }
  for (const auto& entry : fs::directory_iterator(dir_)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("parity") && name.ends_with(".png")) old.push_back(name);
  }
  if (!fs::is_empty(path("checkpoints"))) old.emplace_back("checkpoints");
  if (old.empty()) return;
  int n = 1;
  while (fs::exists(path(fmt::format("previous.{}", n)))) ++n;
  const std::string aside = path(fmt::format("previous.{}", n));
  fs::create_directory(aside);
  for (const std::string& name : old) fs::rename(path(name), aside + "/" + name);
  fs::create_directories(path("checkpoints"));
}

std::vector<std::string> RunFolder::traces() const {
  std::vector<std::string> out;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(path("checkpoints"), ignored)) {
    if (entry.path().extension() == ".h5") out.push_back("checkpoints/" + entry.path().filename().string());
  }
  std::sort(out.begin(), out.end());
  for (const char* name : {"metrics.jsonl", "metrics.csv"}) {
    const auto bytes = fs::file_size(path(name), ignored);
    if (bytes != static_cast<std::uintmax_t>(-1) && bytes > 0) out.emplace_back(name);
  }
  return out;
}

void RunFolder::keep_phase(const std::string& name, const TrainState& state) {
  for (const std::string& source : {best(), last()}) {
    std::error_code trouble;
    if (!root_ || !fs::exists(source, trouble)) continue;
    if (const TrainState there = read_checkpoint_header(source).state; there.phase != state.phase || there.best_epoch != state.best_epoch) continue;
    const fs::path from(source);
    AtomicFile copy((from.parent_path() / fmt::format("{}.{}{}", from.stem().string(), name, from.extension().string())).string());
    fs::copy_file(from, copy.path(), fs::copy_options::overwrite_existing, trouble);
    if (trouble) throw Error(Exit::data, fmt::format("{}: cannot be copied to {} ({})", source, copy.final_path(), trouble.message()));
    copy.commit();
  }
}

void RunFolder::write(const std::string& name, const std::string& content) {
  if (!root_) return;
  const fs::path file(path(name));
  std::error_code error;
  fs::create_directories(file.parent_path(), error);
  if (error) throw Error(Exit::data, fmt::format("{}: cannot make the folder ({})", file.parent_path().string(), error.message()));
  write_file_atomically(file.string(), content);
}

std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string out = "\"";
  for (const char ch : text) {
    if (ch == '"') out += '"';
    out += ch;
  }
  return out + '"';
}

std::string skipped_csv(const std::vector<BadRecord>& skipped) {
  std::string out = "id,file,line,reason\n";
  for (const BadRecord& r : skipped) {
    fmt::format_to(std::back_inserter(out), "{},{},{},{}\n", csv_field(shortened(r.id)), csv_field(r.file), r.line, csv_field(r.reason));
  }
  return out;
}

namespace {
template <class T>
std::vector<std::string> ids_of(const Task<T>& task, const std::vector<std::int64_t>& samples) {
  std::vector<std::string> ids;
  ids.reserve(samples.size());
  for (const std::int64_t s : samples) ids.push_back(task.sample_id(s));
  return ids;
}
}  // namespace

template <class T>
std::string splits_json(const Task<T>& task) {
  nlohmann::ordered_json out;
  out["id_train"] = ids_of(task, task.splits().train);
  out["id_val"] = ids_of(task, task.splits().validation);
  out["id_test"] = ids_of(task, task.splits().test);
  if (const auto* records = offered<LabelledRecords>(task)) {  // several records may have one id
    for (const auto& [name, part] :
         {std::pair{"row_train", &task.splits().train}, {"row_val", &task.splits().validation}, {"row_test", &task.splits().test}}) {
      auto& rows = out[name] = nlohmann::ordered_json::array();
      for (const std::int64_t s : *part) rows.push_back(records->record_number(s) - 1);
    }
  }
  return out.dump(1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

template <class T>
std::string split_digest(const Task<T>& task) {
  Digest digest;
  for (const auto* part : {&task.splits().train, &task.splits().validation, &task.splits().test}) {
    digest.number(static_cast<std::int64_t>(part->size()));
    for (const std::int64_t s : *part) digest.text(task.sample_id(s));
  }
  return digest.hex();
}

template std::string splits_json<float>(const Task<float>&);
template std::string splits_json<double>(const Task<double>&);
template std::string split_digest<float>(const Task<float>&);
template std::string split_digest<double>(const Task<double>&);

}  // namespace gnn_hpc
