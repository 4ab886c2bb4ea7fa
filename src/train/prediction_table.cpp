// SPDX-License-Identifier: Apache-2.0
#include "train/prediction_table.hpp"

#include "base/error.hpp"
#include "io/csv.hpp"
#include "train/run_folder.hpp"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <iterator>
#include <memory>
#include <set>

namespace gnn_hpc {

namespace {

std::string csv_line(const std::vector<std::string>& fields) {
  std::string out;
  for (const std::string& field : fields) out += (out.empty() ? "" : ",") + csv_field(field);
  return out + "\n";
}

/// The rows of an InputTable once more, to be written beside what was predicted for them.
class InputColumns {
 public:
  explicit InputColumns(InputTable table) : table_(std::move(table)) {
    if (table_.paths.empty()) return;
    open(0);
    if (names_.size() == 1 && names_.front() == table_.id_column) {
      bare_ = true;
      kept_.clear();
      places_.clear();
    }
  }

  /// True for a table of ids and nothing else.
  bool bare() const { return bare_; }

  /// Adds the names of the kept columns, made different from those that are there.
  void add_names(std::vector<std::string>& header) const {
    std::set<std::string> used(header.begin(), header.end());
    for (const std::size_t c : kept_) {
      std::string name = names_[c];
      while (!used.insert(name).second) name = "input_" + name;
      header.push_back(name);
    }
  }

  /// `,field` for each of them, of the next record.
  std::string next() {
    if (table_.paths.empty()) return {};
    while (!reader_->next(row_)) {
      if (file_ + 1 == table_.paths.size()) changed();
      open(file_ + 1);
    }
    std::string out;
    for (const std::size_t c : places_) {
      out += ',';
      if (c < row_.size) out += csv_field(row_.fields[c]);
    }
    return out;
  }

  /// Throws if rows are left.
  void finish() {
    if (table_.paths.empty()) return;
    for (; file_ + 1 < table_.paths.size(); open(file_ + 1)) {
      if (reader_->next(row_)) changed();
    }
    if (reader_->next(row_)) changed();
  }

 private:
  void open(std::size_t file) {
    file_ = file;
    reader_ = std::make_unique<CsvReader>(table_.paths[file]);
    if (!reader_->next(row_)) changed();
    const std::vector<std::string> names = column_names(row_);
    if (file == 0) {
      names_ = names;
      for (std::size_t c = 0; c < names_.size(); ++c) {
        if (names_[c] != table_.omitted) kept_.push_back(c);
      }
    }
    places_ = kept_;
    if (names == names_ || bare_) return;
    for (std::size_t& place : places_) {  // a further file may have its columns in another order
      place = static_cast<std::size_t>(std::find(names.begin(), names.end(), names_[place]) - names.begin());
    }
  }
  [[noreturn]] void changed() const {
    throw Error(Exit::data, fmt::format("{}: has other rows than when it was read for prediction; do not change it meanwhile", reader_->path()));
  }

  InputTable table_;
  bool bare_ = false;
  std::vector<std::string> names_;          ///< of the first file
  std::vector<std::size_t> kept_, places_;  ///< columns of the first file and of the present one
  std::size_t file_ = 0;
  std::unique_ptr<CsvReader> reader_;
  CsvReader::Row row_;
};

}  // namespace

template <class T>
PredictionColumns PredictionColumns::of(const Task<T>& task, bool suffix_of_one_target) {
  const LabelledRecords& records = labelled_records(task);
  PredictionColumns out{records.target_names(), records.num_classes(), records.class_names(), true};
  out.suffix = suffix_of_one_target || out.targets.size() > 1;
  return out;
}

std::size_t PredictionColumns::classes_of(std::size_t target) const {
  return class_names.empty() ? static_cast<std::size_t>(num_classes) : class_names[target].size();
}

std::string PredictionColumns::class_name(std::size_t target, std::size_t c) const {
  return class_names.empty() ? fmt::format("{}", c) : class_names[target][c];
}

std::vector<std::string> PredictionColumns::names(bool with_target) const {
  std::vector<std::string> out;
  std::set<std::string> used;
  const auto add = [&](std::string name) {  // class b_c of target a, class c of target a_b
    while (!used.insert(name).second) name += "_";
    out.push_back(std::move(name));
  };
  for (std::size_t k = 0; k < targets.size(); ++k) {
    const std::string tail = suffix ? "_" + targets[k] : "";
    if (with_target) add("target" + tail);
    add("prediction" + tail);
    for (std::size_t c = 0; num_classes > 1 && c < classes_of(k); ++c) add("probability" + tail + "_" + class_name(k, c));
  }
  return out;
}

std::string PredictionColumns::fields(const std::vector<double>& target, const std::vector<double>& prediction, bool with_target) const {
  std::string out;
  const auto number = [&out](double value) { fmt::format_to(std::back_inserter(out), ",{}", value); };
  for (std::size_t k = 0; k < targets.size(); ++k) {
    if (num_classes == 1) {
      if (with_target) number(target[k]);
      number(prediction[k]);
      continue;
    }
    if (with_target) out += std::isnan(target[k]) ? ",nan" : "," + csv_field(class_name(k, static_cast<std::size_t>(target[k])));
    const auto begin = prediction.begin() + static_cast<std::ptrdiff_t>(k) * num_classes, end = begin + static_cast<std::ptrdiff_t>(classes_of(k));
    const bool known = std::none_of(begin, end, [](double p) { return std::isnan(p); });
    out += known ? "," + csv_field(class_name(k, static_cast<std::size_t>(std::max_element(begin, end) - begin))) : ",nan";
    for (auto p = begin; p != end; ++p) number(*p);
  }
  return out;
}

void write_predicted(std::ostream& out, const std::vector<PredictedRow>& rows, const PredictionColumns& columns, const InputTable& table) {
  const bool known = std::any_of(rows.begin(), rows.end(), [](const PredictedRow& r) {
    return std::any_of(r.target.begin(), r.target.end(), [](double y) { return !std::isnan(y); });
  });
  InputColumns input(table);
  std::vector<std::string> header{"id"};
  for (std::string& name : columns.names(known)) header.push_back(std::move(name));
  if (!input.bare()) header.emplace_back("row");
  input.add_names(header);
  out << csv_line(header);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    out << csv_field(rows[i].id) << columns.fields(rows[i].target, rows[i].prediction, known);
    if (!input.bare()) out << ',' << i + 1;
    out << input.next() << '\n';
  }
  input.finish();
}

template <class T>
std::string predictions_csv(const Task<T>& task, const std::vector<std::pair<std::string, std::vector<Prediction>>>& parts) {
  const auto columns = PredictionColumns::of(task, false);
  std::vector<std::string> header{"id", "row"};
  for (std::string& name : columns.names(true)) header.push_back(std::move(name));
  header.emplace_back("split");
  std::string out = csv_line(header);
  for (const auto& [part, rows] : parts) {
    for (const Prediction& row : rows) {
      fmt::format_to(std::back_inserter(out), "{},{}{},{}\n", csv_field(task.sample_id(row.sample)), labelled_records(task).record_number(row.sample),
                     columns.fields(row.target, row.prediction, true), part);
    }
  }
  return out;
}

std::string skipped_path(const std::string& output) {
  const std::filesystem::path path(output);
  return (path.parent_path() / (path.stem().string() + "_skipped.csv")).string();
}

template PredictionColumns PredictionColumns::of<float>(const Task<float>&, bool);
template PredictionColumns PredictionColumns::of<double>(const Task<double>&, bool);
template std::string predictions_csv<float>(const Task<float>&, const std::vector<std::pair<std::string, std::vector<Prediction>>>&);
template std::string predictions_csv<double>(const Task<double>&, const std::vector<std::pair<std::string, std::vector<Prediction>>>&);

}  // namespace gnn_hpc
