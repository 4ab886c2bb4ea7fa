// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/comm.hpp"
#include "base/log.hpp"
#include "base/options.hpp"
#include "cli/command_line.hpp"
#include "train/options.hpp"
#include "train/phase.hpp"
#include "train/task.hpp"

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

namespace gnn_hpc {

/// Block `mpi` of the input file.
struct MpiOptions {
  std::string gpu_aware = "auto";  ///< auto | on | off
  static MpiOptions parse(Config node);
  bool use_device_pointers() const;
};

/// Block `sweep`: every explicit point with every combination of the grid.
struct SweepOptions {
  std::vector<std::vector<std::string>> points;  ///< overrides `key=value`, in the order of keys; empty: no sweep block
  static SweepOptions parse(Config node);
};

/// One input file, understood as far as all systems share it. The rest belongs to the task.
struct JobOptions {
  std::string system;  ///< where the input says nothing: the first of the table
  RunOptions run;
  TrainOptions train;
  std::vector<Phase> phases;  ///< at least one
  LogOptions log;
  MpiOptions mpi;
  SweepOptions sweep;
  /// @param schema_system  whose defaults a schema shows
  static JobOptions parse(Config root, const std::string& schema_system = {});
};

/// An input file with its task, ready to open its data.
template <class T>
struct Job {
  JobOptions options;
  std::unique_ptr<Task<T>> task;
  std::string resolved;  ///< all options as YAML, without those of other commands (`sweep`)
};

/// The bytes of the input file as the root reads them. Collective; throws the root's Error on every rank.
std::string read_input(const std::string& path, const Comm& comm);

/// Reads the keys that all systems share, to learn precision, log and system before anything is built.
JobOptions peek_options(const std::string& text, const std::string& name, const std::vector<std::string>& overrides);

/// Parses everything and builds the task; no file but the input has been opened then.
/// Throws Error(Exit::usage) with all problems of the input at once.
template <class T>
Job<T> make_job(const std::string& text, const std::string& name, const std::vector<std::string>& overrides);

/// Checks an input without running it, as `make_job` does; returns all options as YAML.
std::string resolved_input(const std::string& text, const std::string& name, const std::vector<std::string>& overrides);

/// Every key of a system with default and meaning.
std::string schema_of(const std::string& system);

}  // namespace gnn_hpc
