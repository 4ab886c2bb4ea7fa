// SPDX-License-Identifier: Apache-2.0
#include "models/dmpnn_diffpool/dataset.hpp"

#include "models/dmpnn_diffpool/molecule_records.hpp"

namespace gnn_hpc::dmpnn {

MoleculeDataset::MoleculeDataset(DataOptions options)
    : LabelledDataset({"molecules", "rows", "data.task: binary", "multiclass takes other labels"}, options.target_kind(), options.targets),
      options_(std::move(options)) {}

void MoleculeDataset::add_source(const std::vector<std::string>& paths, DataUse use, const Comm& comm, const std::string& options_text) {
  DataOptions wanted = options_;
  if (!tables_.empty()) {  // further files have what the first one has
    wanted.targets = tables_.front().targets;
    wanted.descriptors = tables_.front().descriptors;
    wanted.notation = tables_.front().polymer ? "polymer" : "smiles";
  }
  const MoleculeTable table = resolve_table(wanted, paths, use == DataUse::prediction, comm);
  const auto open = [table] { return std::make_unique<MoleculeRecords>(table); };
  CacheRequest request = request_for(use, options_.cache_dir, options_.max_bad_fraction, options_.threads, options_text);
  request.schema = MoleculeColumns(table).schema;
  request.key = [open] { return open()->key(); };
  request.open_source = open;
  samples_.add(std::move(request), paths, cache_words(), comm);
  tables_.push_back(table);
}

void MoleculeDataset::prepare() {
  descriptor_scaler_ = for_prediction() ? DescriptorScaler{} : DescriptorScaler::fit(raw_descriptors_, descriptor_names_.size(), splits_.train);
  apply_scaling();
}

InputTable MoleculeDataset::table_of(const std::vector<std::string>& paths) const {
  return {paths, options_.id_column.empty() ? options_.smiles : options_.id_column, {}};
}

}  // namespace gnn_hpc::dmpnn
