// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "dataset/split_options.hpp"
#include "dataset/splits.hpp"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace gnn_hpc {

/// A record of the input that became a sample, as users name it.
struct NamedSample {
  std::string id;
  std::int64_t record = 0;  ///< number of its record in the input, from 0, bad ones counted
};

/// Divides n samples as the options say, `split: column` and `file` apart. Parts in `validation`, `test` = false stay empty, their share goes to
/// the training part.
/// @param classes [n] labels to stratify by; empty: none
/// @param groups [n] equal numbers: one part; empty: every sample by itself. Ratios, folds and sizes then count groups, as scikit-learn's
///               GroupShuffleSplit does, and nothing is stratified.
/// Throws Error(Exit::data) for a replicate beyond the folds.
Splits random_parts(const SplitOptions& options, std::int64_t n, std::span<const std::int64_t> classes, std::span<const std::int64_t> groups,
                    bool validation, bool test);

/// Parts as the texts of a column say: train | training, validation | val | valid | dev, test | testing, in any case; nothing: the sample is
/// used by no part.
/// @param words [n] of the samples
/// Throws Error(Exit::data) for another word, naming the record.
Splits parts_of_words(std::span<const std::string> words, std::span<const NamedSample> samples, const std::string& column);

/// Parts that files name:
///   one JSON file   {"train": [...], "val": [...], "test": [...]}; also id_train, id_val, id_test (the `ids_train_val_test.json` of other
///                   programs and of our run folders), validation for val. Texts are ids, whole numbers are numbers of records from 0.
///                   `row_train` ... beside ids settle which record is meant where several have one id.
///   three files     train, validation, test: one number of a record a line, from 0
/// Records that could not be used are passed over with a warning; so are ids that the input lacks, if no more than half.
/// Throws Error(Exit::data): unreadable file, an id of several records, a record in two parts.
Splits parts_of_files(const std::vector<std::string>& paths, std::span<const NamedSample> samples, std::int64_t num_records);

/// Numbers of groups, from 0 in order of first appearance, of equal texts or digests. An empty text is a group by itself.
std::vector<std::int64_t> groups_of(std::span<const std::string> keys);
std::vector<std::int64_t> groups_of(std::span<const std::uint64_t> keys);

}  // namespace gnn_hpc
