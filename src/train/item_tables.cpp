// SPDX-License-Identifier: Apache-2.0
#include "train/item_tables.hpp"

#include "base/error.hpp"
#include "train/capabilities.hpp"
#include "train/run_folder.hpp"

#include <fmt/format.h>

#include <cmath>
#include <iterator>

namespace gnn_hpc {

namespace {

/// Whole numbers without a point, what is not a number empty.
void append_number(std::string& text, double x) {
  if (std::isnan(x)) return;
  if (x == std::floor(x) && std::abs(x) < 1e15)
    fmt::format_to(std::back_inserter(text), "{}", static_cast<std::int64_t>(x));
  else
    fmt::format_to(std::back_inserter(text), "{:.6g}", x);
}

}  // namespace

template <class T>
std::map<std::string, std::string> item_tables(const Task<T>& task, const std::vector<std::pair<std::string, std::vector<Prediction>>>& rows) {
  const auto* table = offered<ItemTable>(task);
  if (table == nullptr) return {};
  const std::vector<std::string> columns = table->table_columns();
  const std::string name = table->table_name();
  const bool with_parts = rows.size() != 1 || !rows.front().first.empty();
  std::string text = std::string(with_parts ? "part,id," : "id,") + table->item_word();
  for (const std::string& column : columns) text += "," + csv_field(column);
  text += "\n";
  std::vector<std::string> ids;
  std::vector<Prediction> all;
  for (const auto& [part, predictions] : rows) {
    for (const Prediction& p : predictions) {
      ids.push_back(task.sample_id(p.sample));
      all.push_back(p);
      const std::vector<std::string> items = table->item_names(p.sample);
      GNN_HPC_REQUIRE(items.size() * columns.size() == p.table.size(), "{} values for {} {}", p.table.size(), items.size(), name);
      const std::string begin = (with_parts ? part + "," : std::string()) + csv_field(ids.back()) + ",";
      for (std::size_t i = 0; i < items.size(); ++i) {
        text += begin + csv_field(items[i]);
        for (std::size_t c = 0; c < columns.size(); ++c) {
          text += ",";
          append_number(text, p.table[i * columns.size() + c]);
        }
        text += "\n";
      }
    }
  }
  std::map<std::string, std::string> out{{name + ".csv", std::move(text)}};
  for (auto& [file, summary] : table->summaries(ids, all)) out.emplace(file + ".csv", std::move(summary));
  return out;
}

template std::map<std::string, std::string> item_tables(const Task<float>&, const std::vector<std::pair<std::string, std::vector<Prediction>>>&);
template std::map<std::string, std::string> item_tables(const Task<double>&, const std::vector<std::pair<std::string, std::vector<Prediction>>>&);

}  // namespace gnn_hpc
