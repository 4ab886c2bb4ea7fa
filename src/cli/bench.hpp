// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/comm.hpp"
#include "cli/command_line.hpp"
#include "cli/job.hpp"
#include "train/part_bench.hpp"

#include <nlohmann/json_fwd.hpp>

namespace gnn_hpc {

/// What the JSON of every bench begins with: command, what, input, system, precision, ranks.
template <class T>
nlohmann::ordered_json bench_head(const Job<T>& job, const CommandLine& line, const Comm& comm);

/// Fills the task's parameters from `line.checkpoint`, a checkpoint or run folder, if one is named. Every rank reads the file.
template <class T>
void load_weights(Task<T>& task, const CommandLine& line);

/// Times a training step on the first `line.batch` samples of the input, in input order, over and over:
///   `median_seconds`  whole steps, as training runs them (one wait a step; assembling batches is not in it: a thread does it ahead)
///   `phases_ms`       collate, upload, forward, loss, backward, allreduce, optimizer, each with a wait of its own
///   `gflop_per_second` multiply-adds in matrix products, times two, by the whole step
/// Opens or builds the cache first. Collective; the result is the root's.
template <class T>
nlohmann::ordered_json bench_step(Job<T>& job, const CommandLine& line, const Comm& comm);

/// Times opening the cache of an earlier run until its first batch, and loading the batches of an epoch with the loader's thread.
template <class T>
nlohmann::ordered_json bench_load(Job<T>& job, const CommandLine& line, const Comm& comm);

/// Runs `gnn_hpc bench`: prints JSON on stdout, and to `line.output`. Collective.
int bench_command(const CommandLine& line, const Comm& comm);

}  // namespace gnn_hpc
