// SPDX-License-Identifier: Apache-2.0
#include "cli/program.hpp"

#include "base/blas_kernels.hpp"
#include "base/error.hpp"
#include "base/log.hpp"
#include "base/restart_process.hpp"
#include "base/signals.hpp"
#include "base/subnormals.hpp"
#include "base/text.hpp"
#include "base/yaml_tree.hpp"
#include "cli/bench.hpp"
#include "cli/dry_run.hpp"
#include "cli/generate.hpp"
#include "cli/info.hpp"
#include "cli/job.hpp"
#include "cli/launch.hpp"
#include "cli/machine.hpp"
#include "cli/sweep.hpp"
#include "io/atomic_file.hpp"
#include "models/systems.hpp"
#include "train/capabilities.hpp"
#include "train/metrics.hpp"
#include "train/predict.hpp"
#include "train/prediction_table.hpp"
#include "train/run_folder.hpp"
#include "train/trained_options.hpp"
#include "train/trainer.hpp"
#include "verify/verify.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <iostream>

namespace gnn_hpc {

namespace {

/// Seconds that other ranks get to run into the same error. Ranks meet in every step, so a rank that is later than this has most
/// likely not failed and is waiting for this one.
constexpr double kMeetingSeconds = 5.0;

template <class T>
int train_job(Job<T> job, const CommandLine& line, const Comm& comm) {
  if (line.dry_run) {
    print_plan(job, comm, std::cout);
    return 0;
  }
  return static_cast<int>(train(*job.task, job.options.run, job.options.phases, comm, job.resolved, {{}, gemm_rate<T>}).exit);
}

template <class T>
int build_job(Job<T> job, const CommandLine& line, const Comm& comm) {
  const auto begin = std::chrono::steady_clock::now();
  if (line.dry_run) {
    const bool ready = job.task->open_data(comm, DataUse::training_if_built);
    if (comm.is_root()) std::cout << (ready ? "the cache is there and fits\n" : "no cache fits: a run would build it\n");
    return 0;
  }
  job.task->open_data(comm, DataUse::training);
  const Splits& splits = job.task->splits();
  log_info("{} samples ({} training, {} validation, {} test), {} records left out, {}",
           format_count(static_cast<long long>(splits.train.size() + splits.validation.size() + splits.test.size())),
           format_count(static_cast<long long>(splits.train.size())), format_count(static_cast<long long>(splits.validation.size())),
           format_count(static_cast<long long>(splits.test.size())), format_count(static_cast<long long>(job.task->skipped().size())),
           format_duration(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count()));
  return 0;
}

/// Who works, once the input has been found good; warns of a bad layout. Collective.
void announce(const CommandLine& line, const Comm& comm) {
  const LaunchLayout layout = current_layout(comm);
  log_info("gnn_hpc {}: {} rank(s), {}", line.command, layout.ranks,
           layout.devices > 0 ? fmt::format("one of {} {} devices each", layout.devices, kBackendName)
                              : fmt::format("{} with {} thread(s) each", kBackendName, layout.threads));
  for (const std::string& warning : launch_warnings(layout, threads_are_bound())) log_warning("{}", warning);
  if (const auto note = blas_note()) {
    if (note->warning)
      log_warning("{}", note->text);
    else
      log_info("{}", note->text);
  }
}

/// Errors of what the input knows the truth of, one row per target.
void log_scores(const std::vector<PredictedRow>& rows, const std::vector<std::string>& targets, TargetKind kind, int num_classes) {
  const auto columns = static_cast<std::size_t>(num_classes);
  for (std::size_t t = 0; t < targets.size(); ++t) {
    std::vector<double> truth, prediction;
    for (const PredictedRow& row : rows) {
      const double y = row.target[t];
      if (std::isnan(y) || std::isnan(row.prediction[t * columns])) continue;
      if (kind == TargetKind::classes && !(y >= 0.0 && y < num_classes)) continue;
      truth.push_back(y);
      for (std::size_t c = 0; c < columns; ++c) prediction.push_back(row.prediction[t * columns + c]);
    }
    if (truth.empty()) continue;
    if (kind == TargetKind::number) {
      const RegressionScore score = regression_score(truth, prediction);
      log_info("{}: MAE {}, RMSE {}, R2 {} over {} with a known value", printable_name(targets[t]), score_text(score.mae), score_text(score.rmse),
               score_text(score.r2), score.count);
      continue;
    }
    const ClassScore score = kind == TargetKind::probability ? binary_score(truth, prediction) : multiclass_score(truth, prediction, num_classes);
    log_info("{}: accuracy {}, F1 {}, ROC AUC {} over {} with a known label", printable_name(targets[t]), score_text(score.accuracy),
             score_text(score.f1), score_text(score.roc_auc), score.count);
  }
}

/// What is wrong with records of a prediction: the first reasons, and the file that holds all of them (empty: none does).
void warn_of_records(const std::vector<BadRecord>& records, std::string text, const std::string& file) {
  constexpr std::size_t kShown = 10;
  if (records.empty()) return;
  text += (file.empty() ? "" : "; all reasons are in " + file) + ":";
  for (std::size_t i = 0; i < std::min(records.size(), kShown); ++i) {
    const BadRecord& bad = records[i];
    text += fmt::format("\n  {}{}: {}", bad.line > 0 ? fmt::format("{}:{}: ", bad.file, bad.line) : "", bad.id, bad.reason);
  }
  if (records.size() > kShown) text += fmt::format("\n  and {} more{}", records.size() - kShown, file.empty() ? " (--output FILE lists all)" : "");
  log_warning("{}", text);
}

template <class T>
int predict_job(Job<T> job, const std::string& checkpoint, const CommandLine& line, const Comm& comm) {
  const std::string& dir = job.options.run.dir;
  log_info("weights: {}", checkpoint);
  if (line.per_item && line.fingerprint.empty()) throw Error(Exit::usage, "--per-item: name the file with --embeddings");
  if (line.per_item) require_place_for_items(line.fingerprint);
  if (!line.tables.empty() && offered<ItemTable>(*job.task) == nullptr) {
    throw Error(Exit::usage, fmt::format("--tables: system {} has none", job.task->name()));
  }
  const Embeddings wanted = line.per_item ? Embeddings::items : line.fingerprint.empty() ? Embeddings::none : Embeddings::samples;
  const auto rows = predict(*job.task, checkpoint, job.options.train.evaluation_batch(), comm, wanted);
  const std::vector<std::string> targets = labelled_records(*job.task).target_names();
  on_root(comm, [&] {
    const auto columns = PredictionColumns::of(*job.task, true);
    const LabelledRecords& records = labelled_records(*job.task);
    const std::vector<BadRecord> skipped = job.task->skipped(), unknown = records.unknown_labels();
    const std::string file = line.output.empty() ? dir + "/predicted.csv" : line.output;
    if (line.output == "-") {
      write_predicted(std::cout, rows, columns, records.input_table());
      std::cout << std::flush;
    } else {
      if (const auto folder = std::filesystem::path(file).parent_path(); !folder.empty()) std::filesystem::create_directories(folder);
      write_file_atomically(file, [&](std::ostream& out) { write_predicted(out, rows, columns, records.input_table()); });
      std::vector<BadRecord> reasons = skipped;
      reasons.insert(reasons.end(), unknown.begin(), unknown.end());
      write_file_atomically(skipped_path(file), skipped_csv(reasons));
      log_info("{} predictions in {}", format_count(static_cast<long long>(rows.size())), file);
    }
    const std::string list = line.output == "-" ? "" : skipped_path(file);
    warn_of_records(skipped, fmt::format("{} of {} records could not be used, their predictions are nan", skipped.size(), rows.size()), list);
    warn_of_records(unknown, fmt::format("{} labels are none of the model's classes", unknown.size()), list);
    if (!line.fingerprint.empty()) {
      if (const auto folder = std::filesystem::path(line.fingerprint).parent_path(); !folder.empty()) std::filesystem::create_directories(folder);
      write_embeddings(line.fingerprint, rows, static_cast<std::size_t>(records.embedding_width()),
                       line.per_item ? static_cast<std::size_t>(records.item_embedding_width()) : 0);
      log_info("fingerprints of width {} in {}", records.embedding_width(), line.fingerprint);
    }
    if (!line.tables.empty()) {
      write_item_tables(line.tables, *job.task, rows);
      log_info("tables in {}", line.tables);
    }
    log_scores(rows, targets, records.target_kind(), records.num_classes());
  });
  return 0;
}

/// The value of one key of an input file, as text, after defaults and overrides.
std::string option_of(const CommandLine& line) {
  if (line.input.empty()) throw Error(Exit::usage, fmt::format("info --option {}: name the input file", line.option));
  std::vector<YamlProblem> problems;
  const YamlTree options = read_yaml(resolved_input(read_input(line.input, Comm::self()), line.input, line.overrides), line.input, problems);
  const YamlTree* value = &options;
  for (const std::string& key : split(line.option, '.')) value = value == nullptr ? nullptr : value->find(key);
  if (value == nullptr)
    throw Error(Exit::usage, fmt::format("info --option {}: {} has no such key; gnn_hpc info --schema lists them", line.option, line.input));
  return value->kind == YamlTree::Kind::scalar ? value->text : value->flow();
}

/// What `--data` stands for.
std::vector<std::string> overrides_of(const CommandLine& line, const std::string& system) {
  std::vector<std::string> out = line.overrides;
  const System& row = find_system(system);
  if (!line.data.empty() && row.prediction_input != nullptr) {  // a system without will say that it predicts nothing
    const std::vector<std::string> more = row.prediction_input(line.data);
    out.insert(out.end(), more.begin(), more.end());
  }
  return out;
}

/// A trained model and the overrides after which the input describes it.
struct Trained {
  std::string checkpoint;
  std::vector<std::string> overrides;
};

/// What shapes the model comes from the checkpoint: see `trained_options`. Collective.
Trained find_trained(const std::string& text, const CommandLine& line, const Comm& comm) {
  const auto given = given_options(text, line.input, line.overrides);
  const JobOptions options = peek_options(text, line.input, line.overrides);
  Trained out;
  try {
    on_root(comm, [&] { out.checkpoint = checkpoint_for_prediction(line.checkpoint.empty() ? options.run.dir : line.checkpoint); });
  } catch (const Error&) {
    resolved_input(text, line.input, overrides_of(line, options.system));  // mistakes of the input are reported before a missing checkpoint
    throw;
  }
  comm.broadcast(out.checkpoint);
  const CheckpointInfo trained = read_checkpoint_header(out.checkpoint).info;
  out.overrides = overrides_of(line, trained.system);
  const auto with = [&](const std::vector<std::string>& more) {
    std::vector<std::string> all = out.overrides;
    all.insert(all.end(), more.begin(), more.end());
    return all;
  };
  out.overrides =
      with(trained_options(out.checkpoint, trained, given, [&](const auto& more) { return resolved_input(text, line.input, with(more)); }));
  return out;
}

template <class T>
int run_job(const std::string& text, const CommandLine& line, const Comm& comm) {
  if (line.command == "predict") {
    const Trained trained = find_trained(text, line, comm);
    Job<T> job = make_job<T>(text, line.input, trained.overrides);
    const TimeLimit limit(job.options.run.walltime);
    announce(line, comm);
    return predict_job(std::move(job), trained.checkpoint, line, comm);
  }
  Job<T> job = make_job<T>(text, line.input, line.overrides);
  const TimeLimit limit(job.options.run.walltime);
  if (!line.dry_run) announce(line, comm);
  if (line.command == "build-graphs") return build_job(std::move(job), line, comm);
  return train_job(std::move(job), line, comm);
}

/// Sets up what the input says about messages and MPI.
JobOptions prepare(const std::string& text, const CommandLine& line, Comm& comm) {
  JobOptions options = peek_options(text, line.input, line.overrides);
  if (line.quiet) options.log.level = "warning";
  const bool result_on_stdout = line.command == "bench" || line.dry_run || line.output == "-";
  setup_log(options.log, comm.rank(), result_on_stdout ? stderr : stdout);
  comm.set_gpu_aware(options.mpi.use_device_pointers());
  flush_subnormals_on_all_threads(options.run.flush_subnormals);
  return options;
}

}  // namespace

int run_command(const CommandLine& line, const Comm& world) {
  int code = 0;
  flush_subnormals_on_all_threads(!line.keep_subnormals);  // commands with an input file: until it has been read
  if (line.command == "version") {
    if (world.is_root()) print_versions(std::cout);
    return 0;
  }
  if (line.command == "verify") {
    on_root(world, [&] { code = verify_command({line.input, line.precision, line.failures_only}, golden_checks(), std::cout); });
    return code;
  }
  if (line.command == "info") {
    const LaunchLayout layout = current_layout(world);
    on_root(world, [&] {
      if (line.systems) {
        std::cout << systems_table();
      } else if (line.schema) {
        std::cout << schema_of(line.system);
      } else if (!line.option.empty()) {
        std::cout << option_of(line) << "\n";
      } else if (!line.input.empty()) {
        print_file(line.input, line.full, std::cout);
      } else {
        print_machine(layout, std::cout);
      }
    });
    return 0;
  }
  Comm comm = world;
  std::string text;
  // Before the handlers: nothing has begun that a signal may not end, and an input on a pipe may never come.
  if (line.command != "generate") text = read_input(line.input, comm);
  install_signal_handlers();
  if (line.command == "generate") return generate_command(line, world);
  const JobOptions options = prepare(text, line, comm);
  if (line.command == "bench" || line.command == "sweep" || line.command == "replicates") {
    resolved_input(text, line.input, line.overrides);  // mistakes first
    if (!line.dry_run) announce(line, comm);
    return line.command == "bench" ? bench_command(line, comm) : sweep_command(line, comm);
  }
  return options.run.precision == "double" ? run_job<double>(text, line, comm) : run_job<float>(text, line, comm);
}

int report_failure(const Comm& comm, int code, const std::string& message) {
  std::cout.flush();
  const auto print = [](const std::string& text) {
    for (const std::string& row : split(text, '\n')) std::fprintf(stderr, "error: %s\n", printable(row, 0, LineEnds::keep).c_str());
    std::fflush(stderr);
  };
  if (!comm.meet(kMeetingSeconds)) {
    print(fmt::format("rank {}: {}", comm.rank(), message));
    comm.abort(code);
  }
  // Ranks parse the same bytes and agree on most errors; where they do not, each version is printed once.
  const std::vector<std::string> messages = comm.gather(message);
  std::vector<std::string> printed;
  for (std::size_t rank = 0; rank < messages.size(); ++rank) {
    if (std::find(printed.begin(), printed.end(), messages[rank]) != printed.end()) continue;
    printed.push_back(messages[rank]);
    print(rank == 0 ? messages[rank] : fmt::format("rank {}: {}", rank, messages[rank]));
  }
  return static_cast<int>(comm.max(static_cast<std::int64_t>(code)));
}

}  // namespace gnn_hpc
