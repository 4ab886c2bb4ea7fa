// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "dataset/measures.hpp"

#include <string>
#include <vector>

namespace gnn_hpc::partoken {

/// Columns of `Prediction::table`, a row a residue; NaN where a residue has no cluster or the model no codes.
enum Column : std::size_t { kCluster = 0, kToken, kImportance, kColumns };

/// One row a cluster: id,cluster,residues,token,importance,coverage,members. Coverage is its share of the chain's residues; members are names of
/// residues with blanks between. @param names [rows] of the residues of each prediction
std::string clusters_csv(const std::vector<std::string>& ids, const std::vector<Prediction>& rows,
                         const std::vector<std::vector<std::string>>& names);

/// One row a code that any cluster has, the most used first: token,clusters,chains,importance (mean), and for each class the clusters of chains of
/// that label. @param classes names of the classes of the first target; empty: no such columns
std::string codebook_csv(const std::vector<Prediction>& rows, const std::vector<std::string>& classes);

}  // namespace gnn_hpc::partoken
