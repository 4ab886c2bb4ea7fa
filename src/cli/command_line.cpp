// SPDX-License-Identifier: Apache-2.0
#include "cli/command_line.hpp"

#include "base/error.hpp"
#include "base/provenance.hpp"
#include "base/text.hpp"
#include "models/systems.hpp"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <filesystem>
#include <sstream>

namespace gnn_hpc {

namespace {

const std::vector<std::string> kCommands{"train", "predict", "build-graphs", "verify", "bench", "sweep", "replicates", "generate", "info"};

constexpr const char* kFooter =
    "\nKeys of the input file, with units, defaults and meaning:  gnn_hpc info --schema [SYSTEM]"
    "\nKokkos options (--kokkos-num-threads=4, --kokkos-print-configuration, ...) are passed on; see --kokkos-help."
    "\nExit codes: 0 done; 1 internal error; 2 command line or input file; 3 data or file; 4 diverged;"
    "\n            5 stopped by a signal or the time limit, checkpoint written: the same command continues;"
    "\n            130 interrupted twice.";

void add_input(CLI::App& app, CommandLine& line) {
  app.add_option("INPUT", line.input, "the YAML input file")->required()->type_name("INPUT.yaml");
  app.add_option("OVERRIDES", line.overrides, "change keys of the input: train.learning_rate=3e-4")->type_name("KEY=VALUE ...");
}

/// The type name already says what is allowed.
CLI::Validator one_of(std::vector<std::string> words) { return CLI::IsMember(std::move(words)).description(""); }
CLI::Validator between(int low, int high) { return CLI::Range(low, high).description(""); }

/// All commands with their options. CLI11 keeps references to `line`.
void describe(CLI::App& app, CommandLine& line) {
  app.require_subcommand(1);
  app.set_help_flag("-h,--help", "this text; after a command: its options");
  app.footer(std::string("Without a command, `gnn_hpc INPUT.yaml [KEY=VALUE ...]` trains.\n") + kFooter);

  CLI::App* train = app.add_subcommand("train", "train a model, or continue where the run folder stands");
  add_input(*train, line);
  train->add_flag("--dry-run", line.dry_run, "only print resolved options, parameters, data and memory");
  train->add_flag("-q,--quiet", line.quiet, "warnings and errors only");

  CLI::App* predict = app.add_subcommand("predict", "predict with a trained model; CSV: id, predictions, targets if known");
  add_input(*predict, line);
  predict->add_option("--checkpoint", line.checkpoint, "checkpoint or run folder (default: run.dir, its best weights)")->type_name("PATH");
  predict->add_option("--data", line.data, "structures or molecules to predict, instead of data.path")->type_name("PATH");
  predict
      ->add_option("--output", line.output,
                   "CSV file, or - for stdout (default: RUN/predicted.csv); reasons of records without a prediction go to FILE_skipped.csv")
      ->type_name("FILE");
  predict->add_option("--fingerprint,--embeddings", line.fingerprint, "also write the learned representation of each sample (.csv, else HDF5)")
      ->type_name("FILE");
  predict->add_option("--tables", line.tables, "folder for tables of the parts of samples, as CSV and HDF5 (ParToken: residues, clusters, codes)")
      ->type_name("FOLDER");
  predict->add_flag("--per-item", line.per_item, "with --embeddings: those of the parts of each sample (residues), too (HDF5)");
  predict->add_flag("-q,--quiet", line.quiet, "warnings and errors only");

  CLI::App* build = app.add_subcommand("build-graphs", "build the graph cache only; later runs find it");
  add_input(*build, line);
  build->add_flag("--dry-run", line.dry_run, "only say whether the cache exists");
  build->add_flag("-q,--quiet", line.quiet, "warnings and errors only");

  CLI::App* verify = app.add_subcommand("verify", "compare this program with golden data, tensor by tensor");
  verify->add_option("FILE", line.input, "golden file (HDF5)")->required()->type_name("FILE.h5");
  verify->add_option("--precision", line.precision, "of the model under test")
      ->type_name("double|float")
      ->capture_default_str()
      ->check(one_of({"double", "float"}));
  verify->add_flag("--keep-subnormals", line.keep_subnormals,
                   "compute with numbers below 1e-38 (float), 1e-308 (double) instead of taking them for zero");
  verify->add_flag("--failures-only", line.failures_only, "print only what differs");

  CLI::App* bench = app.add_subcommand("bench", "time the phases of a step; JSON on stdout");
  add_input(*bench, line);
  std::vector<std::string> whats{"step", "graph", "load", "subnormals"};
  std::string parts;
  for (const System* system : systems()) {
    for (const PartBench& part : system->part_benches) {
      whats.emplace_back(part.name);
      parts += fmt::format("{}{} ({}: {})", parts.empty() ? "" : ", ", part.name, system->name, part.summary);
    }
  }
  bench
      ->add_option("--what", line.what,
                   "a training step, building graphs, loading batches from the cache; count subnormal numbers in the products of a "
                   "step; or a part of a step alone: " +
                       parts)
      ->type_name(join(whats, "|"))
      ->capture_default_str()
      ->check(one_of(whats));
  bench->add_option("--checkpoint", line.checkpoint, "step, subnormals: weights of this checkpoint or run folder (default: those of the beginning)")
      ->type_name("PATH");
  bench->add_option("--repeat", line.repeat, "timed repetitions; medians are reported")
      ->type_name("N")
      ->capture_default_str()
      ->check(between(1, 1000000));
  bench->add_option("--warmup", line.warmup, "repetitions before the clock starts")
      ->type_name("N")
      ->capture_default_str()
      ->check(between(0, 1000000));
  bench->add_option("--batch", line.batch, "samples a step over all ranks (default: train.batch_size)")->type_name("N")->check(between(1, 100000000));
  bench->add_option("--output", line.output, "also write the JSON here")->type_name("FILE");

  CLI::App* sweep = app.add_subcommand("sweep", "train every point of the input's `sweep` block, each in a folder of its own");
  add_input(*sweep, line);
  sweep->add_option("--point", line.point, "only this point, counted from 0 (Slurm arrays)")->type_name("N")->check(between(0, 1000000));
  sweep->add_flag("--dry-run", line.dry_run, "only list the points and what is done");
  sweep->add_flag("-q,--quiet", line.quiet, "warnings and errors only");

  CLI::App* replicates =
      app.add_subcommand("replicates", "train on every split of the data (data.replicate), each in a folder of its own; results.csv, mean, spread");
  add_input(*replicates, line);
  replicates->add_option("--count", line.count, "replicates, or folds where data.split is k-fold")
      ->type_name("N")
      ->capture_default_str()
      ->check(between(1, 1000));
  replicates->add_option("--point", line.point, "only this run, counted from 0 (Slurm arrays, quick tests)")
      ->type_name("N")
      ->check(between(0, 1000000));
  replicates->add_flag("--dry-run", line.dry_run, "only list the runs and what is done");
  replicates->add_flag("-q,--quiet", line.quiet, "warnings and errors only");

  CLI::App* generate = app.add_subcommand("generate", "continue a text with a trained language model");
  generate->add_option("CHECKPOINT", line.input, "checkpoint or run folder (its best weights)")->required()->type_name("CHECKPOINT");
  generate->add_option("OVERRIDES", line.overrides, "change keys of the checkpoint's options")->type_name("KEY=VALUE ...");
  generate->add_option("--prompt", line.prompt, "text to continue")->type_name("TEXT");
  generate->add_option("--prompt-file", line.prompt_file, "the same from a file")->type_name("FILE");
  generate->add_option("--prompt-ids", line.prompt_ids, "the same as tokens")->type_name("N,N,...")->delimiter(',');
  generate->add_option("--max-new-tokens", line.max_new_tokens, "tokens to add at most")
      ->type_name("N")
      ->capture_default_str()
      ->check(between(0, 1000000000));
  generate->add_option("--temperature", line.temperature, "divides the logits; 0: always the most likely token")
      ->type_name("X")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 1e6).description(""));
  generate->add_option("--top-k", line.top_k, "choose among the K most likely tokens; 0: off, 1: the most likely")
      ->type_name("K")
      ->capture_default_str()
      ->check(between(0, 1000000000));
  generate->add_option("--top-p", line.top_p, "choose among the most likely tokens that hold this much probability; 0 or 1: off")
      ->type_name("P")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 1.0).description(""));
  generate->add_option("--eos", line.eos, "a token that ends the text; -1: none")
      ->type_name("N")
      ->capture_default_str()
      ->check(between(-1, 1000000000));
  generate->add_option("--seed", line.seed, "of the choice; equal seeds, equal texts")->type_name("N")->capture_default_str();
  generate->add_flag("--ids", line.print_ids, "print tokens as numbers");
  generate->add_flag("-q,--quiet", line.quiet, "warnings and errors only");

  CLI::App* info = app.add_subcommand("info", "about a cache, checkpoint or golden file; without FILE about this machine");
  info->add_option("FILE", line.input, "an HDF5 file of this program")->type_name("FILE");
  info->add_option("--schema", line.system, "every key of the input file with default and meaning")
      ->type_name("[SYSTEM]")
      ->expected(0, 1)
      ->default_str("")
      ->each([&line](const std::string&) { line.schema = true; });
  info->add_flag("--systems", line.systems, "what can be trained");
  info->add_flag("--full", line.full, "list every tensor");
  info->add_option("--option", line.option, "with FILE an input file: print the value that this key has, e.g. run.dir (for scripts)")
      ->type_name("KEY");
  info->add_option("OVERRIDES", line.overrides, "with --option: changed keys of the input")->type_name("KEY=VALUE ...");

  for (CLI::App* command : app.get_subcommands({})) {
    command->set_help_flag("-h,--help", "this text");
    command->footer(kFooter);
  }
}

EarlyExit usage_error(const std::string& message) { return {static_cast<int>(Exit::usage), "gnn_hpc: " + message + "\n"}; }

/// What a first word that is neither a command nor a file may have meant; empty: an input file.
std::string unknown_command(const std::string& word) {
  const bool like_a_file = word.find_first_of("./=") != std::string::npos;
  std::error_code ignored;
  if (like_a_file || std::filesystem::exists(word, ignored)) return {};
  const std::string near = nearest_word(word, kCommands);
  return fmt::format("'{}' is neither a command ({}) nor an input file{}", word, join(kCommands, ", "),
                     near.empty() ? "" : fmt::format(" (did you mean {}?)", near));
}

/// An override where the input file should stand: the file would be looked for under the name `key=value`. Empty: all is well.
std::string misplaced_override(const CommandLine& line) {
  const std::size_t equals = line.input.find('=');
  std::error_code ignored;
  if (equals == std::string::npos || equals == 0 || std::filesystem::exists(line.input, ignored)) return {};
  const std::string key = line.input.substr(0, equals);
  const bool like_a_file = line.input.ends_with(".yaml") || line.input.ends_with(".yml") || line.input.ends_with(".h5");
  if (key.find('/') != std::string::npos || (like_a_file && key.find('.') == std::string::npos)) return {};  // lr=0.1.yaml, which is not there
  const bool checkpoint = line.command == "generate";
  const char* what = checkpoint ? "a run folder or checkpoint" : "an input file";
  const auto file = std::find_if(line.overrides.begin(), line.overrides.end(), [](const std::string& o) { return o.find('=') == std::string::npos; });
  return fmt::format("'{}' stands where {} must come first: gnn_hpc {} {} {} ...", line.input, what, line.command,
                     file != line.overrides.end() ? *file
                     : checkpoint                 ? "RUN_DIR"
                                                  : "INPUT.yaml",
                     line.input);
}

}  // namespace

ParsedCommandLine parse_command_line(int argc, const char* const* argv) {
  ParsedCommandLine out;
  CommandLine& line = out.line;
  std::vector<std::string> arguments;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    (argument.starts_with("--kokkos-") ? line.kokkos : arguments).push_back(argument);
  }

  const auto is = [&](std::initializer_list<const char*> words) {
    return !arguments.empty() && std::find(words.begin(), words.end(), arguments.front()) != words.end();
  };
  if (is({"--version", "-V", "version"})) {
    line.command = "version";
    line.verbose = arguments.size() > 1 && (arguments[1] == "--verbose" || arguments[1] == "-v");
    if (arguments.size() > (line.verbose ? 2U : 1U)) {
      out.exit = usage_error(fmt::format("--version takes --verbose and nothing else, found '{}'", arguments[line.verbose ? 2 : 1]));
    } else if (!line.verbose) {
      out.exit = EarlyExit{0, provenance_line() + "\n"};
    }
    return out;
  }

  CLI::App app{"gnn_hpc: graph learning for molecules and materials, on one machine or many.", "gnn_hpc"};
  describe(app, line);
  if (arguments.empty()) {
    if (!line.kokkos.empty()) {  // gnn_hpc --kokkos-help
      line.command = "version";
      line.verbose = true;
      return out;
    }
    out.exit = EarlyExit{static_cast<int>(Exit::usage), app.help()};
    return out;
  }
  const auto word = std::find_if(arguments.begin(), arguments.end(), [](const std::string& a) { return !a.starts_with('-'); });
  const bool has_command = word != arguments.end() && std::find(kCommands.begin(), kCommands.end(), *word) != kCommands.end();
  if (!has_command && word != arguments.end()) {
    if (const std::string problem = unknown_command(*word); !problem.empty()) {
      out.exit = usage_error(problem + "; see gnn_hpc --help");
      return out;
    }
    arguments.insert(arguments.begin(), "train");
  } else if (has_command && word != arguments.begin()) {
    std::rotate(arguments.begin(), word, word + 1);  // gnn_hpc --dry-run train in.yaml
  }

  std::reverse(arguments.begin(), arguments.end());  // CLI11 takes them from the back
  try {
    app.parse(arguments);
  } catch (const CLI::CallForHelp&) {
    const auto chosen = app.get_subcommands();
    out.exit = EarlyExit{0, chosen.empty() ? app.help() : chosen.front()->help("gnn_hpc")};
    return out;
  } catch (const CLI::ParseError& e) {
    const auto chosen = app.get_subcommands();
    out.exit = usage_error(fmt::format("{}; see gnn_hpc {}--help", e.what(), chosen.empty() ? "" : chosen.front()->get_name() + " "));
    return out;
  }
  line.command = app.get_subcommands().front()->get_name();
  if (const std::string problem = line.command == "info" || line.command == "verify" ? std::string() : misplaced_override(line); !problem.empty()) {
    out.exit = usage_error(fmt::format("{}; see gnn_hpc {} --help", problem, line.command));
    return out;
  }
  if (line.command == "info" && app.get_subcommand("info")->count("--schema") > 0) line.schema = true;
  return out;
}

}  // namespace gnn_hpc
