// SPDX-License-Identifier: Apache-2.0
#include "models/dmpnn_diffpool/table_columns.hpp"

#include "base/log.hpp"
#include "io/csv.hpp"
#include "io/text_source.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>

namespace gnn_hpc::dmpnn {

void ColumnTally::add(std::string_view field) {
  const std::string_view text = trim(field);
  if (is_missing_value(text)) return;
  const auto number = parse_number(text);
  if (!number) {
    ++others_;
    return;
  }
  constexpr double kLargest = 9e15;
  whole_ = whole_ && std::fabs(*number) <= kLargest && *number == std::floor(*number);
  if (numbers_++ > 0) {
    rising_ = rising_ && *number > last_;
    falling_ = falling_ && *number < last_;
  }
  last_ = *number;
  if (whole_ && different_) different_ = seen_.insert(static_cast<std::int64_t>(*number)).second;
  if (!whole_ || !different_) std::unordered_set<std::int64_t>().swap(seen_);
}

bool ColumnTally::looks_like_an_id(const std::string& name) const {
  constexpr std::int64_t kFewest = 3;
  return others_ == 0 && numbers_ >= kFewest && whole_ && different_ && (rising_ || falling_ || names_an_id(name));
}

bool names_an_id(std::string_view name) {
  static constexpr std::array<std::string_view, 10> kWords{"id", "ids", "idx", "index", "no", "nr", "number", "row", "cid", "key"};
  std::string word;
  bool found = false;
  const auto end_word = [&] {
    found = found || std::find(kWords.begin(), kWords.end(), word) != kWords.end();
    word.clear();
  };
  bool lower_before = false;
  for (const char ch : name) {
    const auto byte = static_cast<unsigned char>(ch);
    if (std::isalnum(byte) == 0 || (std::isupper(byte) != 0 && lower_before)) end_word();
    if (std::isalnum(byte) != 0) word += static_cast<char>(std::tolower(byte));
    lower_before = std::islower(byte) != 0;
  }
  end_word();
  return found;
}

void announce_targets(const std::vector<std::string>& targets, const std::vector<std::string>& like_ids) {
  log_info("data.targets is not set: every column of numbers that no other option names is learned: {}", join_names(targets));
  for (const std::string& name : like_ids) {
    log_warning(
        "the column {} looks like a number of the row (whole numbers, all different), and is learned; if that is not meant, name "
        "it in "
        "data.ignore, or the targets in data.targets",
        quote_for_message(name));
  }
}

}  // namespace gnn_hpc::dmpnn
