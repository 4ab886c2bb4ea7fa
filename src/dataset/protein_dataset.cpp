// SPDX-License-Identifier: Apache-2.0
#include "dataset/protein_dataset.hpp"

#include "base/digest.hpp"
#include "base/error.hpp"
#include "base/together.hpp"
#include "graph/residue_graph.hpp"
#include "io/text_source.hpp"

#include <cmath>

namespace gnn_hpc {

namespace {

/// Appends a column of one sample.
template <class T>
void append(const GraphCache& cache, int column, std::int64_t sample, std::int64_t values, std::vector<T>& out) {
  const std::size_t before = out.size();
  out.resize(before + static_cast<std::size_t>(values));
  cache.read<T>(column, std::span(&sample, 1), std::span<T>(out).subspan(before));
}

/// Moves the residues with edges to their centre; one without, whose place no feature needs, stands there.
void centre(std::span<double> position, std::span<const std::int32_t> degree) {
  double sum[3] = {}, count = 0.0;
  for (std::size_t i = 0; i < degree.size(); ++i) {
    if (degree[i] == 0) continue;
    for (std::size_t c = 0; c < 3; ++c) sum[c] += position[3 * i + c];
    count += 1.0;
  }
  for (std::size_t i = 0; i < degree.size(); ++i) {
    for (std::size_t c = 0; c < 3; ++c) position[3 * i + c] = degree[i] == 0 ? 0.0 : position[3 * i + c] - sum[c] / count;
  }
}

}  // namespace

ProteinDataset::ProteinDataset(ProteinDataOptions options)
    : LabelledDataset({"chains", "rows", "data.task: binary", "multiclass takes other labels"}, options.target_kind(), options.targets),
      options_(std::move(options)) {}

void ProteinDataset::add_source(const std::vector<std::string>& paths, DataUse use, const Comm& comm, const std::string& options_text) {
  ProteinTable table{
      paths, options_.path_column, options_.chain_column, options_.id_column, {options_.targets, options_.target_kind(), {}, false}, options_.top_k};
  table.labels.optional = use == DataUse::prediction;
  if (table.labels.kind == TargetKind::classes) {
    together(comm, [&] {
      if (!comm.is_root()) return;
      std::vector<std::string> csv;
      for (const std::string& path : paths) {
        if (!is_structure_input(path)) csv.push_back(path);
      }
      table.labels.classes = distinct_labels(csv, table.labels.names);
    });
    table.labels.classes.resize(table.labels.names.size());
    for (auto& names : table.labels.classes) comm.broadcast(names);
  }
  CacheRequest request = request_for(use, options_.cache_dir, options_.max_bad_fraction, options_.threads, options_text);
  request.schema = ProteinColumns(table.labels.names.size()).schema;
  request.key = [table] { return ProteinRecords::key(table); };
  request.open_source = [table] { return std::make_unique<ProteinRecords>(table); };
  samples_.add(std::move(request), paths, cache_words(), comm);
  tables_.push_back(table);
}

void ProteinDataset::load() {
  for (std::size_t c = 0; c < tables_.size(); ++c) {
    const auto values = samples_.caches()[c]->resident(ProteinColumns(num_targets()).targets);
    labels_.insert(labels_.end(), values.begin(), values.end());
  }
}

InputTable ProteinDataset::table_of(const std::vector<std::string>& paths) const {
  for (const std::string& path : paths) {
    if (is_structure_input(path)) return {};
  }
  return {paths, options_.id_column.empty() ? options_.path_column : options_.id_column, {}};
}

void ProteinDataset::collate(std::span<const std::int64_t> samples, ResidueBatch& b) const {
  static const ProteinColumns columns(0);
  b.num_graphs = static_cast<int>(samples.size());
  b.graph_ptr.assign(1, 0);
  b.in_ptr.assign(1, 0);
  b.edge_s.clear();
  b.edge_v.clear();
  for (auto* values : {&b.src, &b.code}) values->clear();
  for (auto* values : {&b.position, &b.node_s, &b.node_v}) values->clear();
  std::vector<std::int32_t> degree, number;
  for (const std::int64_t sample : samples) {
    const CachedSamples::Place place = samples_.locate(sample);
    const GraphCache& cache = *samples_.caches()[place.cache];
    const std::int64_t nodes = cache.num_nodes(place.local), edges = cache.num_edges(place.local);
    const int first = b.graph_ptr.back();
    degree.clear();
    append(cache, columns.degree, place.local, nodes, degree);
    for (const std::int32_t d : degree) b.in_ptr.push_back(b.in_ptr.back() + d);
    if (b.in_ptr.back() != static_cast<int>(b.src.size()) + edges) {
      throw Error(Exit::data, fmt::format("{}: {}: edges of residues do not add up to those of the chain", cache.path(), cache.id(place.local)));
    }
    number.clear();
    append(cache, columns.src, place.local, edges, number);
    for (const std::int32_t j : number) b.src.push_back(first + j);
    append(cache, columns.code, place.local, nodes, b.code);
    append(cache, columns.node_s, place.local, kResidueScalars * nodes, b.node_s);
    append(cache, columns.node_v, place.local, 3 * kResidueVectors * nodes, b.node_v);
    append(cache, columns.position, place.local, 3 * nodes, b.position);
    centre(std::span(b.position).last(static_cast<std::size_t>(3 * nodes)), degree);
    b.graph_ptr.push_back(first + static_cast<int>(nodes));
  }
  b.num_nodes = b.graph_ptr.back();
  b.num_edges = static_cast<int>(b.src.size());
  b.finish();
}

std::vector<std::string> ProteinDataset::residue_names(std::int64_t sample) const {
  static const ProteinColumns columns(0);
  const CachedSamples::Place place = samples_.locate(sample);
  const GraphCache& cache = *samples_.caches()[place.cache];
  std::vector<std::int32_t> number;
  append(cache, columns.residue, place.local, cache.num_nodes(place.local), number);
  std::vector<std::string> out;
  for (const std::int32_t n : number) out.push_back(n == kUnnamedResidue ? fmt::format("[{}]", out.size() + 1) : residue_name(n));
  return out;
}

void ProteinDataset::scaled_targets(std::int64_t sample, std::vector<double>& out) const {
  const auto values = labels(sample);
  for (std::size_t k = 0; k < values.size(); ++k) out.push_back(std::isnan(values[k]) ? values[k] : scaler().scale(values[k], k));
}

std::vector<std::uint64_t> ProteinDataset::input_digests() const {
  static const ProteinColumns columns(0);
  std::vector<std::uint64_t> out;
  std::vector<std::int32_t> code;
  for (std::int64_t sample = 0; sample < num_samples(); ++sample) {
    const CachedSamples::Place place = samples_.locate(sample);
    const GraphCache& cache = *samples_.caches()[place.cache];
    code.clear();
    append(cache, columns.code, place.local, cache.num_nodes(place.local), code);
    std::uint64_t digest = code.size();
    for (const std::int32_t c : code) digest = digest_with(digest, static_cast<std::uint64_t>(c));
    out.push_back(digest);
  }
  return out;
}

DataState ProteinDataset::state() const {
  DataState out = LabelledDataset::state();
  out.numbers["num_classes"] = {static_cast<double>(num_classes_)};
  out.numbers["top_k"] = {static_cast<double>(options_.top_k)};
  return out;
}

void ProteinDataset::set_state(const DataState& state) {
  const std::vector<double>& classes = state.number("num_classes");
  if (classes.size() != 1 || state.text("targets").empty() || state.number("top_k").size() != 1) {
    throw Error(Exit::data, "the checkpoint does not hold the targets and classes of a protein data set; it belongs to another system");
  }
  if (for_prediction() && state.text("targets") != target_names_) {
    throw Error(Exit::usage, fmt::format("data.targets: the model was trained on {}", join_names(state.text("targets"))));
  }
  num_classes_ = static_cast<int>(classes[0]);
  LabelledDataset::set_state(state);
}

}  // namespace gnn_hpc
