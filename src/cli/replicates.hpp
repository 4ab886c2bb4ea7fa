// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace gnn_hpc {

struct SweepPoint;

/// Every point once for each split of the data: `data.replicate=0 ... count-1` joins its overrides. No point counts as one without overrides.
std::vector<std::vector<std::string>> with_replicates(std::vector<std::vector<std::string>> points, int count);

/// A table of texts, by row.
struct Results {
  std::vector<std::string> header;  ///< empty: no run is finished
  std::vector<std::vector<std::string>> rows;
  std::string csv() const;  ///< empty without a header
};

/// The rows of all `results.csv` in the points' folders, in the order of points, below one header. What else a point changes
/// (but `data.replicate` and `data.targets`, which the columns `split` and `target` tell) follows as columns of its own.
/// Runs without results are left out; so are runs of another kind of target than the first.
Results collect_results(const std::string& folder, const std::vector<SweepPoint>& points);

/// A table of means and sample standard deviations over the rows of `collect_results` that differ in `split` only.
std::string results_table(const Results& results);

}  // namespace gnn_hpc
