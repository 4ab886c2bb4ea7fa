// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "io/hdf5.hpp"
#include "io/tokens.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace gnn_hpc {

/// Text that another program has tokenised, in HDF5:
///   `input_ids` integers [N,L], optional `attention_mask` [N,L] of 0 and 1 (absent: all 1), or
///   `tokens` integers [T], cut into windows of `length`; an incomplete last one is dropped
///   root attributes `vocab_size`, optional `pad_id` and `eos_id`
/// Read in blocks of rows. Throws Error(Exit::data): neither data set, another type or shape, rows longer than `length`, a vocabulary
/// larger than the model's, an id outside the vocabulary or a mask that is neither 0 nor 1 (row and column).
class TokenTable {
 public:
  /// @param length      longest sequence of the model
  /// @param vocabulary  of the model; also that of the file where it does not say
  TokenTable(const std::string& path, int length, int vocabulary);

  bool next(TokenSequence& out);
  double fraction_read() const { return rows_ > 0 ? static_cast<double>(next_) / static_cast<double>(rows_) : 1.0; }

  /// True if the name is that of an HDF5 file.
  static bool is_one(const std::string& path);

 private:
  void load();
  [[noreturn]] void fail(const std::string& message) const;

  Hdf5Reader file_;
  std::string dataset_;
  std::int64_t rows_ = 0, columns_ = 0, next_ = 0, block_begin_ = 0, block_end_ = 0;
  std::int64_t vocabulary_ = 0;
  bool has_mask_ = false;
  std::vector<std::int64_t> ids_;   ///< [block, columns]
  std::vector<std::int64_t> mask_;  ///< the same, or empty
};

}  // namespace gnn_hpc
