// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/comm.hpp"
#include "train/task.hpp"

#include <string>
#include <vector>

namespace gnn_hpc {

/// One record of the input and what the model says about it; label units.
struct PredictedRow {
  std::string id;
  std::vector<double> target;       ///< NaN where the input has none
  std::vector<double> prediction;   ///< NaN if the record could not be used; [K C] probabilities of classes
  std::vector<double> embedding{};  ///< likewise; only if asked for
  std::vector<double> items{};      ///< [items, width] of its parts (residues); nothing of a record that could not be used; only if asked for
  std::int64_t sample = -1;         ///< of the data set; -1: the record could not be used
  std::vector<double> table{};      ///< [items, columns] of its parts, see ItemTable
};

/// What a prediction brings besides predictions.
enum class Embeddings { none, samples, items /* and samples */ };

/// The checkpoint file that `path` means: the file itself, or for a run folder (or its `checkpoints`) `best.h5`, else `last.h5`.
/// A damaged file is passed over for the version before it, with a warning that tells the epoch of those weights. Throws
/// Error(Exit::data) if nothing valid is there, or for a file that is not damaged but cannot be read or has another format.
/// Every rank may call it alone.
std::string checkpoint_for_prediction(const std::string& path);

/// Loads parameters, buffers and label scaling from a checkpoint (either precision) and runs every record of the task's data, in the
/// order of the input, bad records included. Any batch size and any number of ranks give the same numbers to rounding. No record:
/// no row. Rows are complete on the root and empty elsewhere. Throws Error(Exit::usage) for a batch size below 1,
/// Error(Exit::data) for a checkpoint of another system or with other tensors. Collective.
/// @param embeddings  the learned representation of each record, or of its parts, too; Error(Exit::usage) if the system has none
template <class T>
std::vector<PredictedRow> predict(Task<T>& task, const std::string& checkpoint, int batch_size, const Comm& comm,
                                  Embeddings embeddings = Embeddings::none);

/// Throws Error(Exit::usage) for a CSV file, which has no place for embeddings of parts of samples: before a prediction is made for it.
void require_place_for_items(const std::string& path);

/// Writes the tables of samples' parts of a system that has them (ItemTable) into a folder, which is made: one CSV each, and `tables.h5` with
/// `/id` [n] text, `/ptr` [n+1], `/columns` [c] text and `/values` [ptr[n], c] float64, NaN where there is none: row i of the prediction has the
/// rows ptr[i] .. ptr[i+1]. Throws Error(Exit::usage) if the system has no such table. Call on the root.
template <class T>
void write_item_tables(const std::string& folder, const Task<T>& task, const std::vector<PredictedRow>& rows);

/// Writes the embeddings of all rows. `.csv`: `id,h0,h1,...`; any other name: HDF5 with `/id` [n] text and `/embedding` [n,d] float64;
/// rows that could not be used are NaN. With `item_width` > 0 (HDF5 only) also `/item_ptr` [n+1] and `/item_embedding` [items,item_width]: those of
/// row i are item_ptr[i] .. item_ptr[i+1]. Call on the root.
void write_embeddings(const std::string& path, const std::vector<PredictedRow>& rows, std::size_t width, std::size_t item_width = 0);

}  // namespace gnn_hpc
