// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/comm.hpp"
#include "train/checkpoint.hpp"
#include "train/options.hpp"
#include "train/run_folder.hpp"

#include <cstdint>
#include <string>

namespace gnn_hpc {

/// From where a run starts.
struct Beginning {
  std::string checkpoint;   ///< empty: from nothing
  CheckpointHeader header;  ///< of that file
};

/// Decides by `run.restart` and by what stands in the folder.
///   auto     continues from the checkpoint. Refuses (Exit::data, saying what can be done) where an earlier run left traces but no
///            readable checkpoint: nobody trains from epoch 1 unasked, at this start or at a later one. A checkpoint of step 0 with
///            other options holds nothing yet: it is set aside, and the run begins anew.
///   require  the same, and Exit::usage where there is no checkpoint at all.
///   never    begins anew and sets the old results aside, except where it is the same command that goes on: see Requeue.
/// Warns of damage. Throws Error(Exit::usage) for a checkpoint of another run (`check_continuation`). Collective.
Beginning find_beginning(RunFolder& folder, const RunOptions& run, const CheckpointInfo& info, const Comm& comm);

/// The start of a batch job that this process belongs to; without one the texts are empty.
struct JobStart {
  std::string job;            ///< "slurm 1234", "pbs 56.host"
  std::int64_t restarts = 0;  ///< how often the job was queued again
  /// From SLURM_JOB_ID and SLURM_RESTART_COUNT, or PBS_JOBID of a job that is not interactive.
  static JobStart of_environment();
};

/// Keeps `run.restart: never` from starting anew for ever. A command that ends with exit code 5 asks to be given again (by a job
/// script, a requeue, a shell loop), and a job whose node failed is given again by the scheduler; in both cases the command that
/// began the run goes on with it. `requeue.json` in the run folder says so:
///   {"status": "running" | "stopped", "job": "slurm 1234", "restarts": 0}
/// It stands there from the beginning of a run with `never` to its end. The command goes on if the run was stopped (exit code 5),
/// or if this is a later start of the same job. In any other case `never` means never: after the run's end, after an error, after a
/// kill outside of a job, and with other options.
class Requeue {
 public:
  /// Root only.
  static bool goes_on(const RunFolder& folder, const JobStart& now);
  static void note(RunFolder& folder, const RunOptions& run, const char* status, const JobStart& now);
  static void forget(const RunFolder& folder);
};

}  // namespace gnn_hpc
