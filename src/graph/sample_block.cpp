// SPDX-License-Identifier: Apache-2.0
#include "graph/sample_block.hpp"

#include "base/error.hpp"

#include <iterator>
#include <numeric>

namespace gnn_hpc {

std::string_view name_of(Domain domain) {
  switch (domain) {
    case Domain::graph:
      return "graph";
    case Domain::node:
      return "node";
    case Domain::edge:
      return "edge";
  }
  return "?";
}

std::string Column::path() const { return fmt::format("/{}/{}", name_of(domain), name); }

int Schema::find(std::string_view name) const {
  for (std::size_t c = 0; c < columns.size(); ++c) {
    if (columns[c].name == name) return static_cast<int>(c);
  }
  throw Error(Exit::internal, fmt::format("the {} samples have no column {}", kind, name));
}

std::string Schema::text() const {
  std::string out = fmt::format("{} {}\n", kind, version);
  for (const auto& c : columns) out += fmt::format("{} {} {}{}\n", c.path(), gnn_hpc::name_of(c.type), c.width, c.resident ? " resident" : "");
  return out;
}

SampleBlock::SampleBlock(const Schema& schema) : schema_(&schema), columns_(schema.columns.size()) {}

void SampleBlock::begin(std::int64_t record, std::string id, std::int64_t num_nodes, std::int64_t num_edges) {
  record_.push_back(record);
  id_.push_back(std::move(id));
  num_nodes_.push_back(num_nodes);
  num_edges_.push_back(num_edges);
  total_nodes_ += num_nodes;
  total_edges_ += num_edges;
}

std::int64_t SampleBlock::rows(int column) const {
  switch (schema_->columns[static_cast<std::size_t>(column)].domain) {
    case Domain::graph:
      return num_samples();
    case Domain::node:
      return total_nodes_;
    case Domain::edge:
      return total_edges_;
  }
  return 0;
}

void SampleBlock::put_bytes(int column, DType type, const void* values, std::size_t count) {
  const auto& c = schema_->columns[static_cast<std::size_t>(column)];
  GNN_HPC_REQUIRE(c.type == type, "column {} holds {}, not {}", c.name, gnn_hpc::name_of(c.type), gnn_hpc::name_of(type));
  auto& data = columns_[static_cast<std::size_t>(column)];
  const auto* bytes = static_cast<const std::byte*>(values);
  data.insert(data.end(), bytes, bytes + count * size_of(type));
}

template <class T>
void SampleBlock::put(int column, std::span<const T> values) {
  put_bytes(column, dtype_of<T>(), values.data(), values.size());
}

void SampleBlock::end() {
  for (int c = 0; c < static_cast<int>(columns_.size()); ++c) {
    const auto& column = schema_->columns[static_cast<std::size_t>(c)];
    const std::size_t expected = static_cast<std::size_t>(rows(c) * column.width) * size_of(column.type);
    GNN_HPC_REQUIRE(columns_[static_cast<std::size_t>(c)].size() == expected, "sample {}: column {} has {} bytes where {} were expected", id_.back(),
                    column.name, columns_[static_cast<std::size_t>(c)].size(), expected);
  }
}

namespace {
template <class V>
void take(V& to, V& from) {
  to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
}
}  // namespace

void SampleBlock::append(SampleBlock&& other) {
  take(record_, other.record_);
  take(num_nodes_, other.num_nodes_);
  take(num_edges_, other.num_edges_);
  take(id_, other.id_);
  take(skipped_, other.skipped_);
  for (std::size_t c = 0; c < columns_.size(); ++c) columns_[c].insert(columns_[c].end(), other.columns_[c].begin(), other.columns_[c].end());
  total_nodes_ += other.total_nodes_;
  total_edges_ += other.total_edges_;
  other.clear();
}

void SampleBlock::clear() {
  record_.clear();
  num_nodes_.clear();
  num_edges_.clear();
  id_.clear();
  skipped_.clear();
  for (auto& c : columns_) c.clear();
  total_nodes_ = total_edges_ = 0;
}

template void SampleBlock::put<std::uint8_t>(int, std::span<const std::uint8_t>);
template void SampleBlock::put<std::int8_t>(int, std::span<const std::int8_t>);
template void SampleBlock::put<std::uint16_t>(int, std::span<const std::uint16_t>);
template void SampleBlock::put<std::int16_t>(int, std::span<const std::int16_t>);
template void SampleBlock::put<std::int32_t>(int, std::span<const std::int32_t>);
template void SampleBlock::put<std::int64_t>(int, std::span<const std::int64_t>);
template void SampleBlock::put<float>(int, std::span<const float>);
template void SampleBlock::put<double>(int, std::span<const double>);

}  // namespace gnn_hpc
