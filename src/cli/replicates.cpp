// SPDX-License-Identifier: Apache-2.0
#include "cli/replicates.hpp"

#include "base/text.hpp"
#include "cli/sweep.hpp"
#include "train/run_folder.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <limits>

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

/// A row of results: the metrics, and what identifies it apart from its split.
struct ResultRow {
  std::vector<double> metrics;
  std::string group;
};

ResultRow read_row(const std::string& line) {
  ResultRow row;
  std::size_t at = 0;
  for (std::size_t i = 0; i <= kMetrics; ++i) {  // the metrics, then the split; they hold no quotes
    const std::size_t end = std::min(line.find(',', at), line.size());
    if (i < kMetrics) row.metrics.push_back(std::strtod(line.substr(at, end - at).c_str(), nullptr));
    at = std::min(end + 1, line.size());
  }
  row.group = line.substr(at);
  return row;
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

std::string collected_results(const std::string& folder, const std::vector<SweepPoint>& points) {
  const std::vector<std::string> keys = further_keys(points);
  std::string header, rows;
  for (const SweepPoint& point : points) {
    std::ifstream file(fmt::format("{}/{}/results.csv", folder, point.name));
    std::string line;
    if (!std::getline(file, line)) continue;
    if (header.empty()) header = line;
    if (line != header) continue;
    while (std::getline(file, line)) {
      rows += line;
      for (const std::string& key : keys) {
        std::string value;
        for (const std::string& o : point.overrides) {
          if (const auto part = parts_of(o); part.first == key) value = part.second;
        }
        rows += "," + csv_field(value);
      }
      rows += "\n";
    }
  }
  if (header.empty()) return {};
  for (const std::string& key : keys) header += "," + csv_field(key);
  return header + "\n" + rows;
}

std::string results_table(const std::string& results) {
  const std::vector<std::string> lines = split(results, '\n');
  if (lines.size() < 2) return "no run is finished";
  std::vector<std::string> names = split(lines.front(), ',');
  names.resize(kMetrics);
  std::vector<std::string> groups;
  std::vector<std::vector<ResultRow>> members;
  for (std::size_t i = 1; i < lines.size(); ++i) {
    if (lines[i].empty()) continue;
    ResultRow row = read_row(lines[i]);
    const auto at = static_cast<std::size_t>(std::find(groups.begin(), groups.end(), row.group) - groups.begin());
    if (at == groups.size()) {
      groups.push_back(row.group);
      members.emplace_back();
    }
    members[at].push_back(std::move(row));
  }
  std::size_t width = 6;
  for (const std::string& group : groups) width = std::max(width, group.size());
  std::string out = fmt::format("{:<{}} {:>6}", "target", width, "splits");
  for (const std::string& name : names) out += fmt::format(" {:>22}", name);
  for (std::size_t g = 0; g < groups.size(); ++g) {
    fmt::format_to(std::back_inserter(out), "\n{:<{}} {:>6}", groups[g], width, members[g].size());
    for (std::size_t m = 0; m < kMetrics; ++m) {
      const double n = static_cast<double>(members[g].size());
      double mean = 0.0, squares = 0.0;
      for (const ResultRow& row : members[g]) mean += row.metrics[m] / n;
      for (const ResultRow& row : members[g]) squares += (row.metrics[m] - mean) * (row.metrics[m] - mean);
      const std::string text = n > 1.0 ? fmt::format("{:.5g} +- {:.2g}", mean, std::sqrt(squares / (n - 1.0))) : fmt::format("{:.5g}", mean);
      fmt::format_to(std::back_inserter(out), " {:>22}", text);
    }
  }
  return out;
}

}  // namespace gnn_hpc
