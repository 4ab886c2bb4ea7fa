// SPDX-License-Identifier: Apache-2.0
#include "models/comformer/crystal_records.hpp"

#include "base/error.hpp"
#include "io/cif.hpp"

namespace gnn_hpc::comformer {

namespace {
/// Raise it when reading or graph building gives other samples from the same input.
constexpr int kSchemaVersion = 2;

struct CrystalRecord : RecordSource::Record {
  RawRecord raw;
};

struct GraphWorkspace : RecordSource::Workspace {
  CrystalGraphWorkspace search;
  CrystalGraph graph;
  std::vector<double> frac;
  std::vector<std::int32_t> triple;
};
}  // namespace

Schema crystal_schema(std::size_t num_targets) {
  Schema schema{"crystal",
                kSchemaVersion,
                {{"lattice", Domain::graph, DType::f64, 9},         // rows a, b, c; angstrom
                 {"lattice_images", Domain::graph, DType::i32, 9},  // l1, l2, l3 in units of a, b, c
                 {"z", Domain::node, DType::u8, 1},
                 {"frac", Domain::node, DType::f64, 3},   // wrapped
                 {"u", Domain::edge, DType::i32, 1},      // source atom, counted from the crystal's first
                 {"v", Domain::edge, DType::i32, 1},      // target atom
                 {"image", Domain::edge, DType::i16, 3},  // r = (image + frac_v - frac_u) lattice
                 {"mult", Domain::edge, DType::u8, 1}}};
  if (num_targets > 0) schema.columns.push_back({"targets", Domain::graph, DType::f64, static_cast<int>(num_targets), true});
  return schema;
}

CrystalRecords::CrystalRecords(const CrystalSourceOptions& source, const CrystalGraphOptions& graph, bool targets_optional)
    : graph_(graph), num_targets_(source.targets.size()) {
  CrystalSourceOptions options = source;
  options.targets_optional = targets_optional;
  source_ = CrystalSource::open(options);
}

std::unique_ptr<RecordSource::Record> CrystalRecords::new_record() const { return std::make_unique<CrystalRecord>(); }
std::unique_ptr<RecordSource::Workspace> CrystalRecords::new_workspace() const { return std::make_unique<GraphWorkspace>(); }
bool CrystalRecords::next(Record& record) { return source_->next(static_cast<CrystalRecord&>(record).raw); }

void CrystalRecords::convert(std::int64_t index, const Record& record, Workspace& workspace, SampleBlock& out) const {
  auto& w = static_cast<GraphWorkspace&>(workspace);
  auto parsed = source_->parse(static_cast<const CrystalRecord&>(record).raw);
  if (auto* bad = std::get_if<BadRecord>(&parsed)) {
    out.skip(index, std::move(*bad));
    return;
  }
  Crystal& crystal = std::get<Crystal>(parsed);
  const auto reject = [&](std::string reason) { out.skip(index, {crystal.id, crystal.file, crystal.line, std::move(reason)}); };
  try {
    build_crystal_graph(crystal.lattice, crystal.frac, graph_, w.search, w.graph);
  } catch (const Error& error) {
    if (error.code() != Exit::data) throw;
    reject(error.what());
    return;
  } catch (const std::bad_alloc&) {
    reject("its graph does not fit into memory");
    return;
  }
  w.frac.resize(crystal.frac.size());
  for (std::size_t i = 0; i < w.frac.size(); ++i) w.frac[i] = wrap_fraction(crystal.frac[i]);
  w.triple.assign(w.graph.lattice_images.begin(), w.graph.lattice_images.end());
  out.begin(index, crystal.id, w.graph.num_nodes, w.graph.num_edges());
  out.put<double>(kLattice, crystal.lattice);
  out.put<std::int32_t>(kTriple, w.triple);
  out.put<std::uint8_t>(kZ, crystal.z);
  out.put<double>(kFrac, w.frac);
  out.put<std::int32_t>(kU, w.graph.u);
  out.put<std::int32_t>(kV, w.graph.v);
  out.put<std::int16_t>(kImage, w.graph.image);
  out.put<std::uint8_t>(kMult, w.graph.mult);
  if (num_targets_ > 0) out.put<double>(kTargets, crystal.targets);
  out.end();
}

CacheKey CrystalRecords::key() const {
  const auto& o = source_->options();
  CacheKey key(crystal_schema(num_targets_));
  key.field("cif", cif_library());
  key.field("graph.max_neighbors", std::int64_t{graph_.max_neighbors});
  key.field("graph.cutoff", graph_.cutoff);
  key.field("graph.use_lattice", graph_.use_lattice);
  key.field("data.format", o.format);
  key.field("data.targets", o.targets);
  key.field("data.targets_optional", o.targets_optional);
  key.field("data.id_column", o.id_column);
  key.field("data.cif_column", o.cif_column);
  key.field("data.index", o.index);
  key.field("data.non_periodic", o.non_periodic);
  key.files("data.files", source_->files());
  return key;
}

}  // namespace gnn_hpc::comformer
