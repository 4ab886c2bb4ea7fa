// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/comm.hpp"
#include "cli/command_line.hpp"
#include "cli/job.hpp"

#include <string>
#include <vector>

namespace gnn_hpc {

/// One point of a sweep: what differs from the input, and the folder of its run.
struct SweepPoint {
  std::vector<std::string> overrides;  ///< key=value
  std::string name;                    ///< of the sub-folder: "learning_rate=0.001,seed=2"
};

/// Names are made of the values, not of the position, so that results stay valid when the sweep grows. Unique.
std::vector<SweepPoint> name_points(const std::vector<std::vector<std::string>>& points);

/// `sweep.csv`: one row per point with its status (waiting | running | finished | early_stopped | diverged | failed), whether it is the best of
/// those that are finished (by the validation metric that decides in training, where all points have the same), its values, best epoch and
/// the metrics of each part, from the `summary.json` and `status` of the sub-folders.
std::string sweep_csv(const std::string& folder, const std::vector<SweepPoint>& points);

/// The same for people: point, best epoch, deciding metric, test metrics, seconds; `*` before the best one. Empty if no point is finished.
std::string sweep_table(const std::string& folder, const std::vector<SweepPoint>& points);

/// Runs the points one after the other (or one of them), each in `run.dir`/NAME. Points that are finished with the same options are
/// skipped, interrupted ones continue; a point that diverges or fails is noted and the next one runs.
/// `gnn_hpc replicates` does the same for every split of the data (`line.count` of them, joined with the points of a `sweep` block if there
/// is one), keeps `results.csv` in `run.dir` up to date and prints means and spread at the end.
/// Returns 0, the code of the worst point that failed, or Exit::stopped after a signal. Collective.
int sweep_command(const CommandLine& line, const Comm& comm);

}  // namespace gnn_hpc
