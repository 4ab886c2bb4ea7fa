// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace gnn_hpc {

/// What the program was asked to do.
struct CommandLine {
  std::string command = "train";       ///< train | predict | build-graphs | verify | bench | sweep | replicates | generate | info | version
  std::string input;                   ///< the YAML file; generate: checkpoint or run folder; info: any file, or empty
  std::vector<std::string> overrides;  ///< block.key=value
  std::vector<std::string> kokkos;     ///< --kokkos-...: passed on untouched

  bool dry_run = false;              ///< train, build-graphs, sweep: say what would happen
  bool quiet = false;                ///< warnings and errors only
  bool verbose = false;              ///< version: libraries too
  std::string checkpoint;            ///< predict: empty = best of the run folder; bench: empty = the weights of the beginning
  std::string output;                ///< predict, bench: empty = the default of the command
  std::string data;                  ///< predict: other structures than those of the input
  std::string precision = "double";  ///< verify
  bool failures_only = false;        ///< verify
  bool keep_subnormals = false;      ///< verify: as `run.flush_subnormals=false` of the other commands
  std::string what = "step";         ///< bench: step | graph | load | subnormals, or a part of a system
  int repeat = 20, warmup = 3;       ///< bench
  int batch = 0;                     ///< bench: graphs a step; 0 = train.batch_size
  int point = -1;                    ///< sweep, replicates: only this one; -1 = all
  int count = 5;                     ///< replicates: splits
  std::string fingerprint;           ///< predict: file of the learned representations; empty = none
  std::string tables;                ///< predict: folder of tables of parts of samples; empty = none
  bool per_item = false;             ///< predict: those of parts of samples, too
  std::string prompt, prompt_file;   ///< generate: text to continue
  std::vector<int> prompt_ids;       ///< generate: the same as tokens
  int max_new_tokens = 100;          ///< generate
  double temperature = 0.7;          ///< generate: 0 = the most likely token
  int top_k = 50;                    ///< generate: 0 = off
  double top_p = 0.9;                ///< generate: 0 = off
  int eos = -1;                      ///< generate: a token that ends the text; -1 = none
  std::int64_t seed = 0;             ///< generate
  bool print_ids = false;            ///< generate: tokens as numbers
  bool schema = false;               ///< info
  bool systems = false;              ///< info
  std::string system;                ///< info --schema SYSTEM; empty = the only or first one
  bool full = false;                 ///< info FILE: every tensor
  std::string option;                ///< info INPUT.yaml: only the value of this key (run.dir); empty = none
};

/// What to print and how to end instead of doing anything.
struct EarlyExit {
  int code = 0;
  std::string text;
};

/// Understands the arguments without starting MPI or Kokkos, so that `--help` works on a login node.
/// `gnn_hpc INPUT.yaml ...` means `gnn_hpc train INPUT.yaml ...`. Returns an EarlyExit for --help, --version and errors (code 2).
struct ParsedCommandLine {
  CommandLine line;
  std::optional<EarlyExit> exit;
};
ParsedCommandLine parse_command_line(int argc, const char* const* argv);

}  // namespace gnn_hpc
