// SPDX-License-Identifier: Apache-2.0
#include "dataset/split_policy.hpp"

#include "base/error.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "graph/split.hpp"
#include "io/text_source.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cctype>
#include <map>
#include <numeric>
#include <unordered_map>

namespace gnn_hpc {

namespace {

/// int(ratio n) of each part; what a file of its own provides is not taken from the order.
Splits ratio_parts(const SplitOptions& o, std::int64_t n, bool validation, bool test) {
  const auto order = python_shuffled(n, o.split_seed + o.replicate);
  const auto share = [n](double ratio) { return static_cast<std::int64_t>(ratio * static_cast<double>(n)); };
  const std::int64_t validating = validation ? share(o.validation_ratio) : 0;
  std::int64_t training = share(o.train_ratio), testing = 0;
  if (o.train.empty()) {
    testing = n - training - validating;
  } else {  // parts without a file of their own come from the end of the training file's order
    testing = test ? share(o.test_ratio) : 0;
    training = n - validating - testing;
  }
  const auto first = order.begin(), second = first + training, third = second + validating;
  return {{first, second}, {second, third}, {third, third + testing}};
}

Splits parts_of_numbers(const SplitOptions& o, std::int64_t n, std::span<const std::int64_t> classes, bool validation, bool test) {
  if (o.split == "ratios") return ratio_parts(o, n, validation, test);
  const auto seed = static_cast<std::uint32_t>(o.split_seed);
  SampleParts parts;
  if (o.train.empty() && o.kfold(n)) {
    if (o.replicate >= o.folds) {
      throw Error(Exit::data, fmt::format("data.replicate: {} of {} folds; folds count from 0 (fewer than {} records: data.split: auto is kfold)",
                                          o.replicate, o.folds, SplitOptions::kKfoldBelow));
    }
    parts = kfold_parts(n, seed, o.folds, o.replicate, classes);
  } else {
    // A test file takes nothing away: the others share the records as they would have shared the rest.
    const double validates = test ? o.validation_ratio : o.validation_ratio / (1.0 - o.test_ratio);
    parts = holdout_parts(n, seed + static_cast<std::uint32_t>(o.replicate), classes, validation ? validates : 0.0, test ? o.test_ratio : 0.0);
  }
  return {std::move(parts.train), std::move(parts.validation), std::move(parts.test)};
}

enum class Part { none, train, validation, test };

Part part_of(std::string_view word) {
  std::string lower(trim(word));
  std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  static const std::map<std::string, Part> known{{"train", Part::train},    {"training", Part::train},   {"validation", Part::validation},
                                                 {"val", Part::validation}, {"valid", Part::validation}, {"dev", Part::validation},
                                                 {"test", Part::test},      {"testing", Part::test}};
  const auto found = known.find(lower);
  return found == known.end() ? Part::none : found->second;
}

std::vector<std::int64_t>& list_of(Splits& splits, Part part) {
  return part == Part::train ? splits.train : part == Part::validation ? splits.validation : splits.test;
}

/// Which sample each record and each id of the input is.
class Finder {
 public:
  Finder(std::span<const NamedSample> samples, std::int64_t num_records) : samples_(samples), num_records_(num_records) {
    for (std::size_t s = 0; s < samples.size(); ++s) {
      by_record_[samples[s].record] = static_cast<std::int64_t>(s);
      const auto [at, fresh] = by_id_.emplace(samples[s].id, static_cast<std::int64_t>(s));
      if (!fresh) at->second = kSeveral;
    }
  }

  /// Sample of a record; -1 if it could not be used.
  std::int64_t of_record(std::int64_t record, const std::string& where) const {
    if (record < 0 || record >= num_records_) {
      throw Error(Exit::data, fmt::format("{}: record {}, but the input has {} (they count from 0)", where, record, num_records_));
    }
    const auto found = by_record_.find(record);
    return found == by_record_.end() ? -1 : found->second;
  }

  /// Sample of an id, -1 if there is none. @param record where the file says which of several is meant, else -1
  std::int64_t of_id(const std::string& id, std::int64_t record, const std::string& where) const {
    if (record >= 0) {
      const auto at = by_record_.find(record);
      if (at != by_record_.end() && samples_[static_cast<std::size_t>(at->second)].id == id) return at->second;
    }
    const auto found = by_id_.find(id);
    if (found == by_id_.end()) return -1;
    if (found->second == kSeveral) {
      throw Error(Exit::data,
                  fmt::format("{}: several records have the id {}; give numbers of records instead, or name a column of unique ids (data.id_column)",
                              where, quote_for_message(id)));
    }
    return found->second;
  }

 private:
  static constexpr std::int64_t kSeveral = -2;
  std::span<const NamedSample> samples_;
  std::int64_t num_records_;
  std::unordered_map<std::int64_t, std::int64_t> by_record_;
  std::unordered_map<std::string, std::int64_t> by_id_;
};

/// Collects the parts and judges them at the end.
class PartReader {
 public:
  PartReader(std::span<const NamedSample> samples, std::int64_t num_records) : finder_(samples, num_records), part_(samples.size(), Part::none) {}

  void add(Part part, std::int64_t sample, const std::string& what, const std::string& where) {
    ++named_;
    if (sample < 0) {
      if (missing_++ == 0) first_missing_ = what;
      return;
    }
    Part& mine = part_[static_cast<std::size_t>(sample)];
    if (mine != Part::none) throw Error(Exit::data, fmt::format("{}: {} stands in two parts, or twice in one", where, what));
    mine = part;
    list_of(splits_, part).push_back(sample);
  }

  Splits finish(const std::string& where) {
    if (2 * missing_ > named_) {
      throw Error(Exit::data, fmt::format("{}: {} of {} records named are none of the usable records of the input, the first: {}", where, missing_,
                                          named_, first_missing_));
    }
    if (missing_ > 0) {
      log_warning("{}: {} of {} records named are none of the usable records of the input and are passed over, the first: {}", where, missing_,
                  named_, first_missing_);
    }
    const std::int64_t left = static_cast<std::int64_t>(std::count(part_.begin(), part_.end(), Part::none));
    if (left > 0) log_info("{}: {} records of the input are in no part", where, left);
    return std::move(splits_);
  }

  const Finder& finder() const { return finder_; }

 private:
  Finder finder_;
  std::vector<Part> part_;
  Splits splits_;
  std::int64_t named_ = 0, missing_ = 0;
  std::string first_missing_;
};

nlohmann::json parse_json(const std::string& path) {
  try {
    return nlohmann::json::parse(read_text(path));
  } catch (const nlohmann::json::exception& problem) {
    throw Error(Exit::data, fmt::format("{}: is no JSON: {}", path, printable(problem.what())));
  }
}

/// One part of a JSON file: ids (texts) and numbers of records.
void read_list(const nlohmann::json& list, const nlohmann::json& rows, Part part, const std::string& where, PartReader& out) {
  if (!list.is_array()) throw Error(Exit::data, fmt::format("{}: expected a list of ids or numbers of records", where));
  for (std::size_t i = 0; i < list.size(); ++i) {
    const nlohmann::json& item = list[i];
    const std::string place = fmt::format("{}[{}]", where, i);
    if (item.is_number_integer()) {
      out.add(part, out.finder().of_record(item.get<std::int64_t>(), place), fmt::format("record {}", item.get<std::int64_t>()), place);
    } else if (item.is_string()) {
      const bool has_row = rows.is_array() && i < rows.size() && rows[i].is_number_integer();
      const std::string id = item.get<std::string>();
      out.add(part, out.finder().of_id(id, has_row ? rows[i].get<std::int64_t>() : -1, place), quote_for_message(id), place);
    } else {
      throw Error(Exit::data, fmt::format("{}: found {}, expected an id (text) or the number of a record", place, shortened(item.dump())));
    }
  }
}

void read_json(const std::string& path, PartReader& out) {
  const nlohmann::json file = parse_json(path);
  if (!file.is_object()) throw Error(Exit::data, fmt::format("{}: expected an object with the lists train, val and test", path));
  Splits found;  // which parts are there
  for (const auto& [key, list] : file.items()) {
    if (key.starts_with("row_")) continue;
    const std::string word = key.starts_with("id_") ? key.substr(3) : key;
    const Part part = part_of(word);
    if (part == Part::none)
      throw Error(Exit::data, fmt::format("{}: key {}: allowed are train, val, test, also as id_train ...", path, quote_for_message(key)));
    if (!list_of(found, part).empty()) throw Error(Exit::data, fmt::format("{}: key {}: this part is named twice", path, quote_for_message(key)));
    list_of(found, part).push_back(1);
    const auto rows = file.find("row_" + word);
    read_list(list, rows == file.end() ? nlohmann::json() : *rows, part, fmt::format("{}: {}", path, key), out);
  }
}

void read_numbers(const std::string& path, Part part, PartReader& out) {
  TextSource file(path);
  std::string line;
  for (std::int64_t number = 1; file.line(line); ++number) {
    if (trim(line).empty()) continue;
    const auto record = parse_integer(trim(line));
    const std::string where = fmt::format("{}:{}", path, number);
    if (!record) throw Error(Exit::data, fmt::format("{}: {} is no number of a record (one a line, from 0)", where, quote_for_message(line)));
    out.add(part, out.finder().of_record(*record, where), fmt::format("record {}", *record), where);
  }
}

template <class Key>
std::vector<std::int64_t> number_groups(std::span<const Key> keys, const auto& is_single) {
  std::unordered_map<Key, std::int64_t> number;
  std::vector<std::int64_t> out;
  std::int64_t next = 0;
  for (const Key& key : keys) {
    if (is_single(key)) {
      out.push_back(next++);
      continue;
    }
    const auto [at, fresh] = number.emplace(key, next);
    if (fresh) ++next;
    out.push_back(at->second);
  }
  return out;
}

}  // namespace

Splits random_parts(const SplitOptions& options, std::int64_t n, std::span<const std::int64_t> classes, std::span<const std::int64_t> groups,
                    bool validation, bool test) {
  if (groups.empty()) return parts_of_numbers(options, n, classes, validation, test);
  const std::int64_t count = groups.empty() ? 0 : *std::max_element(groups.begin(), groups.end()) + 1;
  std::vector<std::vector<std::int64_t>> members(static_cast<std::size_t>(count));
  for (std::int64_t s = 0; s < n; ++s) members[static_cast<std::size_t>(groups[static_cast<std::size_t>(s)])].push_back(s);
  const Splits of_groups = parts_of_numbers(options, count, {}, validation, test);
  Splits out;
  for (const auto& [from, to] : {std::pair{&of_groups.train, &out.train}, {&of_groups.validation, &out.validation}, {&of_groups.test, &out.test}}) {
    for (const std::int64_t group : *from) {
      const auto& samples = members[static_cast<std::size_t>(group)];
      to->insert(to->end(), samples.begin(), samples.end());
    }
  }
  return out;
}

Splits parts_of_words(std::span<const std::string> words, std::span<const NamedSample> samples, const std::string& column) {
  Splits out;
  for (std::size_t s = 0; s < words.size(); ++s) {
    if (trim(words[s]).empty()) continue;
    const Part part = part_of(words[s]);
    if (part == Part::none) {
      throw Error(Exit::data,
                  fmt::format("row {}, {}: column {} holds {}, allowed are train, validation (val), test or nothing", samples[s].record + 1,
                              quote_for_message(samples[s].id), quote_for_message(column), quote_for_message(words[s])));
    }
    list_of(out, part).push_back(static_cast<std::int64_t>(s));
  }
  return out;
}

Splits parts_of_files(const std::vector<std::string>& paths, std::span<const NamedSample> samples, std::int64_t num_records) {
  PartReader reader(samples, num_records);
  if (paths.size() == 1) {
    read_json(paths.front(), reader);
  } else {
    read_numbers(paths.at(0), Part::train, reader);
    read_numbers(paths.at(1), Part::validation, reader);
    read_numbers(paths.at(2), Part::test, reader);
  }
  return reader.finish(join_names(paths, 3));
}

std::vector<std::int64_t> groups_of(std::span<const std::string> keys) {
  return number_groups(keys, [](const std::string& key) { return trim(key).empty(); });
}
std::vector<std::int64_t> groups_of(std::span<const std::uint64_t> keys) {
  return number_groups(keys, [](std::uint64_t) { return false; });
}

}  // namespace gnn_hpc
