// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/comm.hpp"
#include "base/error.hpp"
#include "io/bad_record.hpp"
#include "train/checkpoint.hpp"
#include "train/task.hpp"

#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace gnn_hpc {

/// Runs `work` on the root; an Error there is thrown on every rank, so that none is left waiting. Collective.
void on_root(const Comm& comm, const std::function<void()>& work);

/// The folder of one run, made on construction. Only one process at a time may use it: a lock that ends with the process, even
/// if it is killed. Throws Error(Exit::data) on every rank if the folder cannot be made or another run uses it. Members act on
/// the root and do nothing elsewhere, unless said otherwise.
///   resolved.yaml              all options
///   metrics.jsonl              one line a step and one an epoch
///   metrics.csv                one row an epoch
///   ids_train_val_test.json    the split, by id
///   skipped.csv                records that could not be used, and why
///   checkpoints/{last,best}.h5 and the version before each (*.prev.h5); {last,best}.NAME.h5 of phases that ended
///   predictions.csv, results.csv, summary.json, tables/*.csv (of parts of samples)   at the end
///   requeue.json               see train/beginning.hpp
class RunFolder {
 public:
  RunFolder(std::string dir, const Comm& comm);
  ~RunFolder();
  RunFolder(const RunFolder&) = delete;
  RunFolder& operator=(const RunFolder&) = delete;

  std::string path(const std::string& name) const { return dir_ + "/" + name; }
  std::string last() const { return path("checkpoints/last.h5"); }
  std::string best() const { return path("checkpoints/best.h5"); }

  /// Moves checkpoints, metrics, results and pictures of an earlier run to `previous.<n>/`; does nothing if there are none.
  void set_old_results_aside();
  /// What shows that a run trained here: checkpoint files (whatever their name) and metrics that are not empty.
  std::vector<std::string> traces() const;
  /// Copies last.h5, and best.h5 where it is the best of `state`, to {best,last}.NAME.h5, each written aside and renamed; throws Error(Exit::data).
  void keep_phase(const std::string& name, const TrainState& state);
  /// Atomically.
  void write(const std::string& name, const std::string& content);

 private:
  void create_and_lock();
  std::string dir_;
  bool root_;
  int lock_ = -1;
};

/// `text` as a field of a CSV file: quoted where it holds a comma, a quote or a line end.
std::string csv_field(const std::string& text);

/// `id,file,line,reason`; ids are `shortened`.
std::string skipped_csv(const std::vector<BadRecord>& skipped);

/// {"id_train": [...], "id_val": [...], "id_test": [...]}
template <class T>
std::string splits_json(const Task<T>& task);

/// Digest of the ids of the three parts, in order.
template <class T>
std::string split_digest(const Task<T>& task);

}  // namespace gnn_hpc
