// SPDX-License-Identifier: Apache-2.0
#include "cli/replicates.hpp"

#include "base/text.hpp"
#include "cli/sweep.hpp"
#include "io/csv.hpp"
#include "train/run_folder.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <limits>
#include <system_error>
#include <utility>

namespace gnn_hpc {

namespace {

constexpr std::size_t kMetrics = 3;  // columns before `split` and `target`

/// "data.seed=3" -> "data.seed", "3".
std::pair<std::string, std::string> parts_of(const std::string& text) {
  const std::size_t at = text.find('=');
  return {text.substr(0, at), text.substr(at + 1)};
}

/// Keys that need a column, in order of first use.
std::vector<std::string> further_keys(const std::vector<SweepPoint>& points) {
  std::vector<std::string> keys;
  for (const SweepPoint& point : points) {
    for (const std::string& o : point.overrides) {
      const std::string key = parts_of(o).first;
      if (key == "data.replicate" || key == "data.targets") continue;
      if (std::find(keys.begin(), keys.end(), key) == keys.end()) keys.push_back(key);
    }
  }
  return keys;
}

/// A finished row: at least the metrics, the split and the target.
constexpr std::size_t kFewestColumns = kMetrics + 2;

std::string csv_line(const std::vector<std::string>& fields) {
  std::string out;
  for (std::size_t i = 0; i < fields.size(); ++i) out += (i > 0 ? "," : "") + csv_field(fields[i]);
  return out + "\n";
}

/// "0.88 +- 0.015" of the values that are defined, and of how many where it is not all; "-" without any.
std::string mean_and_spread(const std::vector<double>& values) {
  std::vector<double> defined;
  for (const double x : values) {
    if (!std::isnan(x)) defined.push_back(x);
  }
  const double n = static_cast<double>(defined.size());
  double mean = 0.0, squares = 0.0;
  for (const double x : defined) mean += x / n;
  for (const double x : defined) squares += (x - mean) * (x - mean);
  if (defined.empty()) return "-";
  std::string out = fmt::format("{:.5g}", mean);
  if (n > 1.0) out += fmt::format(" +- {:.2g}", std::sqrt(squares / (n - 1.0)));
  if (defined.size() < values.size()) out += fmt::format(" ({} of {})", defined.size(), values.size());
  return out;
}

}  // namespace

std::vector<std::vector<std::string>> with_replicates(std::vector<std::vector<std::string>> points, int count) {
  if (points.empty()) points.emplace_back();
  std::vector<std::vector<std::string>> out;
  for (const auto& point : points) {
    for (int r = 0; r < count; ++r) {
      out.push_back(point);
      out.back().push_back(fmt::format("data.replicate={}", r));
    }
  }
  return out;
}

std::string Results::csv() const {
  if (header.empty()) return {};
  std::string out = csv_line(header);
  for (const auto& row : rows) out += csv_line(row);
  return out;
}

Results collect_results(const std::string& folder, const std::vector<SweepPoint>& points) {
  const std::vector<std::string> keys = further_keys(points);
  Results out;
  std::vector<std::string> header;  // of the first run
  for (const SweepPoint& point : points) {
    const std::string path = fmt::format("{}/{}/results.csv", folder, point.name);
    std::error_code ignored;
    if (!std::filesystem::exists(path, ignored)) continue;
    CsvReader file(path);  // a name may hold line ends: rows are not lines
    CsvReader::Row row;
    const auto fields = [&row] { return std::vector<std::string>(row.fields.begin(), row.fields.begin() + static_cast<std::ptrdiff_t>(row.size)); };
    if (!file.next(row) || row.size < kFewestColumns) continue;
    if (header.empty()) header = fields();
    if (fields() != header) continue;
    while (file.next(row)) {
      if (row.size != header.size()) continue;
      out.rows.push_back(fields());
      for (const std::string& key : keys) {
        std::string value;
        for (const std::string& o : point.overrides) {
          if (const auto part = parts_of(o); part.first == key) value = part.second;
        }
        out.rows.back().push_back(std::move(value));
      }
    }
  }
  if (header.empty()) return {};
  out.header = std::move(header);
  out.header.insert(out.header.end(), keys.begin(), keys.end());
  return out;
}

std::string results_table(const Results& results) {
  if (results.header.empty()) return "no run is finished";
  const std::vector<std::string> names(results.header.begin(), results.header.begin() + kMetrics);
  std::vector<std::vector<std::string>> keys;  // what identifies a row apart from its split
  std::vector<std::string> groups;             // the same for people
  std::vector<std::vector<std::vector<double>>> members;
  for (const auto& row : results.rows) {
    const std::vector<std::string> key(row.begin() + kMetrics + 1, row.end());
    const auto at = static_cast<std::size_t>(std::find(keys.begin(), keys.end(), key) - keys.begin());
    if (at == keys.size()) {
      std::string group;
      for (const std::string& text : key) group += (group.empty() ? "" : ",") + csv_field(printable_name(text));
      keys.push_back(key);
      groups.push_back(std::move(group));
      members.emplace_back();
    }
    std::vector<double> metrics;
    for (std::size_t m = 0; m < kMetrics; ++m) {  // an empty field is undefined and must not become 0
      metrics.push_back(row[m].empty() ? std::numeric_limits<double>::quiet_NaN() : std::strtod(row[m].c_str(), nullptr));
    }
    members[at].push_back(std::move(metrics));
  }
  std::size_t width = 6;
  for (const std::string& group : groups) width = std::max(width, group.size());
  std::string out = fmt::format("{:<{}} {:>6}", "target", width, "splits");
  for (const std::string& name : names) out += fmt::format(" {:>22}", name);
  for (std::size_t g = 0; g < groups.size(); ++g) {
    fmt::format_to(std::back_inserter(out), "\n{:<{}} {:>6}", groups[g], width, members[g].size());
    for (std::size_t m = 0; m < kMetrics; ++m) {
      std::vector<double> values;
      for (const auto& row : members[g]) values.push_back(row[m]);
      fmt::format_to(std::back_inserter(out), " {:>22}", mean_and_spread(values));
    }
  }
  return out;
}

}  // namespace gnn_hpc
