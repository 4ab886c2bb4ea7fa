// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/comm.hpp"
#include "dataset/data_state.hpp"
#include "nn/param.hpp"
#include "train/optimizer.hpp"

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace gnn_hpc {

/// Where a run stands. The sampler is a pure function of (seed, epoch, step), so these numbers are all it takes to go on.
struct TrainState {
  std::int64_t epoch = 0;          ///< epochs completed, validation included
  std::int64_t step_in_epoch = 0;  ///< steps done of the epoch under way; equal to the steps of an epoch: only validation is left
  std::int64_t step = 0;           ///< steps since the beginning
  double best_metric = std::numeric_limits<double>::quiet_NaN();  ///< of the deciding validation metric; NaN: none yet
  std::int64_t best_epoch = 0;                                    ///< counted from 1; 0: none yet
  std::int64_t epochs_since_best = 0;
  std::int64_t evaluated_step = 0;                           ///< `step` at the last validation
  std::int64_t bad_in_a_row = 0;                             ///< steps whose loss or gradient was not finite
  double loss_sum = 0.0, loss_weight = 0.0;                  ///< of the epoch under way; without auxiliary terms
  double auxiliary_sum = 0.0;                                ///< the auxiliary terms of the same steps
  double updates = 0.0, skipped = 0.0;                       ///< of the optimiser
  std::int64_t jsonl_bytes = 0, csv_bytes = 0;               ///< length of metrics.jsonl and metrics.csv at this point
  std::int64_t phase = 0;                                    ///< of training, from 0
  std::int64_t phase_begun = 0;                              ///< 1: its beginning (`Task::begin_phase`) is done
  std::int64_t phase_first_epoch = 0, phase_first_step = 0;  ///< `epoch` and `step` when it began
  std::vector<double> part_sums{};                           ///< of named parts of the loss, in the epoch under way
};

/// What else identifies a checkpoint.
struct CheckpointInfo {
  std::string system;
  std::string precision;      ///< float | double
  std::string resolved_yaml;  ///< all options of the run
  std::string split_digest;   ///< of the ids of the three parts
  DataState data_state;
  double seconds = 0.0;  ///< wall time of the run up to here, over all its starts
};

/// Writes a checkpoint (HDF5, readable by h5py):
///   /params/<name>, /buffers/<name>      shapes and names of the reference
///   /optimizer/m/<name>, /optimizer/v/<name>   if `optimizer` is given
///   /state/*  TrainState;  /data_state/*  DataState;  /config (resolved YAML);  /Info/* (format, system, precision, provenance)
/// Written beside its name, sealed with checksums, synced, read back (seal and header), and only then renamed; the file that stood
/// there is kept as `<stem>.prev.h5` (if `keep_previous`). At no moment is there no valid file, and the two names never mean one file.
/// Throws Error(Exit::data) if a step fails; what stood there then stands. Call on one rank.
template <class T>
void save_checkpoint(const std::string& path, const ParamStore<T>& store, const Optimizer<T>* optimizer, const TrainState& state,
                     const CheckpointInfo& info, bool keep_previous = true);

/// A copy of parameters and buffers in device memory.
template <class T>
struct WeightSnapshot {
  View1<T> values, buffers;
  void take(const Exec& exec, const ParamStore<T>& store);  ///< allocates at the first call only
};
/// The same file without optimiser, with these weights instead of the store's present ones.
template <class T>
void save_checkpoint(const std::string& path, const ParamStore<T>& store, const WeightSnapshot<T>& weights, const TrainState& state,
                     const CheckpointInfo& info);

/// The small parts of a checkpoint. Throws DamagedFile if its seal fails, and Error(Exit::data) naming the file and what is missing, of
/// another format or cannot be read. Formats: 2, and 1 (names of targets and descriptors in names of data sets).
struct CheckpointHeader {
  TrainState state;
  CheckpointInfo info;
};
CheckpointHeader read_checkpoint_header(const std::string& path);

/// Fills parameters and buffers, and the optimiser if given. The precision may differ (values are converted), names and shapes
/// may not: throws Error(Exit::data) with the first tensor that is missing, unknown or of another shape.
template <class T>
void load_checkpoint(const std::string& path, ParamStore<T>& store, Optimizer<T>* optimizer);

/// `<folder>/last.h5` -> `<folder>/last.prev.h5`.
std::string previous_checkpoint(const std::string& path);

/// The file to use: `path`, or its previous version where `path` is damaged or gone; empty if there is none. A damaged file (its seal
/// fails) is renamed to `<stem>.damaged.h5` (`.damaged.2.h5` ... where there is one), so that it never becomes the previous one, and
/// described in `warnings`. Whatever else is wrong with a file (another format, no permission, an I/O error) is thrown as
/// Error(Exit::data) and the file stays: nobody may train from an older one, or from nothing, because of it. The root looks, all
/// ranks get the answer.
std::string find_valid_checkpoint(const std::string& path, const Comm& comm, std::vector<std::string>& warnings);

/// The file that holds the weights which `state` calls the best: `best` or its previous version, whichever has the same best epoch
/// and metric in its header; empty if none has, and `warnings` then say what was found. Moves and throws nothing. Collective.
std::string find_best_checkpoint(const std::string& best, const TrainState& state, const Comm& comm, std::vector<std::string>& warnings);

/// 64-bit digest of the parameters, bit by bit.
template <class T>
std::uint64_t parameter_digest(const ParamStore<T>& store);

/// Throws Error(Exit::internal), naming what differs, unless all ranks hold the same parameters bit by bit. Collective.
template <class T>
void require_equal_parameters(const ParamStore<T>& store, const Comm& comm);

}  // namespace gnn_hpc
