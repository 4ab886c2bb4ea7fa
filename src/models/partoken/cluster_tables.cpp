// SPDX-License-Identifier: Apache-2.0
#include "models/partoken/cluster_tables.hpp"

#include "train/run_folder.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <map>

namespace gnn_hpc::partoken {

namespace {

struct Cluster {
  std::vector<std::size_t> members;
  double token = 0.0, importance = 0.0;
};

/// By number.
std::map<int, Cluster> clusters_of(const Prediction& row) {
  std::map<int, Cluster> out;
  for (std::size_t i = 0; i < row.table.size() / kColumns; ++i) {
    const double* values = row.table.data() + i * kColumns;
    if (std::isnan(values[kCluster])) continue;
    Cluster& c = out[static_cast<int>(values[kCluster])];
    c.members.push_back(i);
    c.token = values[kToken];
    c.importance = values[kImportance];
  }
  return out;
}

std::string token_text(double token) { return std::isnan(token) ? std::string() : fmt::format("{}", static_cast<int>(token)); }

}  // namespace

std::string clusters_csv(const std::vector<std::string>& ids, const std::vector<Prediction>& rows,
                         const std::vector<std::vector<std::string>>& names) {
  std::string out = "id,cluster,residues,token,importance,coverage,members\n";
  for (std::size_t r = 0; r < rows.size(); ++r) {
    const double residues = static_cast<double>(rows[r].table.size() / kColumns);
    for (const auto& [number, cluster] : clusters_of(rows[r])) {
      std::string members;
      for (const std::size_t i : cluster.members) members += (members.empty() ? "" : " ") + names[r][i];
      fmt::format_to(std::back_inserter(out), "{},{},{},{},{:.6g},{:.6g},{}\n", csv_field(ids[r]), number, cluster.members.size(),
                     token_text(cluster.token), cluster.importance, static_cast<double>(cluster.members.size()) / residues, csv_field(members));
    }
  }
  return out;
}

std::string codebook_csv(const std::vector<Prediction>& rows, const std::vector<std::string>& classes) {
  struct Use {
    int clusters = 0, chains = 0;
    double importance = 0.0;
    std::vector<int> by_class;
  };
  std::map<int, Use> codes;
  for (const Prediction& row : rows) {
    std::map<int, int> seen;
    const double label = row.target.empty() ? std::nan("") : row.target.front();
    for (const auto& [number, cluster] : clusters_of(row)) {
      if (std::isnan(cluster.token)) continue;
      Use& use = codes[static_cast<int>(cluster.token)];
      use.by_class.resize(classes.size(), 0);
      ++use.clusters;
      use.importance += cluster.importance;
      use.chains += seen[static_cast<int>(cluster.token)]++ == 0 ? 1 : 0;
      if (label >= 0.0 && label < static_cast<double>(classes.size())) ++use.by_class[static_cast<std::size_t>(label)];
    }
  }
  std::vector<std::pair<int, Use>> order(codes.begin(), codes.end());
  std::stable_sort(order.begin(), order.end(), [](const auto& a, const auto& b) { return a.second.clusters > b.second.clusters; });
  std::string out = "token,clusters,chains,importance";
  for (const std::string& name : classes) out += "," + csv_field("clusters_" + name);
  out += "\n";
  for (const auto& [token, use] : order) {
    fmt::format_to(std::back_inserter(out), "{},{},{},{:.6g}", token, use.clusters, use.chains, use.importance / use.clusters);
    for (const int n : use.by_class) fmt::format_to(std::back_inserter(out), ",{}", n);
    out += "\n";
  }
  return out;
}

}  // namespace gnn_hpc::partoken
