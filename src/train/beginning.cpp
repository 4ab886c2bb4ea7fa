// SPDX-License-Identifier: Apache-2.0
#include "train/beginning.hpp"

#include "base/error.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "train/restart.hpp"

#include <nlohmann/json.hpp>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string_view>
#include <vector>

namespace gnn_hpc {

namespace {

std::string variable(const char* name) {
  const char* text = std::getenv(name);
  return text == nullptr ? std::string() : std::string(text);
}

/// True if this run would not be the one of the checkpoint.
bool is_another_run(const std::string& path, const CheckpointInfo& old_run, const CheckpointInfo& new_run) {
  try {
    return !check_continuation(path, old_run, new_run, true).empty();
  } catch (const Error&) {  // another system or precision
    return true;
  }
}

/// Throws where an earlier run left something, but nothing that can be read.
void refuse_to_forget(const RunFolder& folder, const RunOptions& run, const std::vector<std::string>& damage) {
  const std::vector<std::string> traces = folder.traces();
  if (traces.empty()) {
    if (run.restart != "require") return;
    throw Error(Exit::usage, fmt::format("run.restart=require, but {} has no checkpoint", run.dir));
  }
  std::string text;
  for (const std::string& line : damage) text += line + "\n";
  throw Error(Exit::data, fmt::format("{}run.dir: an earlier run left {} in {}, but no checkpoints/last.h5 that can be read; training would "
                                      "begin again at epoch 1. Put back a copy of last.h5 or last.prev.h5, choose another run.dir, or start "
                                      "anew with run.restart=never, which keeps these files in previous.<n>",
                                      text, join(traces, ", "), run.dir));
}

}  // namespace

Beginning find_beginning(RunFolder& folder, const RunOptions& run, const CheckpointInfo& info, const Comm& comm) {
  const bool never = run.restart == "never";
  std::int64_t goes_on = 0;
  on_root(comm, [&] {
    goes_on = never && Requeue::goes_on(folder, JobStart::of_environment()) ? 1 : 0;
    if (never && goes_on == 0) folder.set_old_results_aside();
  });
  comm.broadcast(std::span<std::int64_t>(&goes_on, 1));

  std::vector<std::string> damage;
  Beginning out{find_valid_checkpoint(folder.last(), comm, damage), {}};
  for (const std::string& line : damage) log_warning("{}", line);
  if (!out.checkpoint.empty()) {
    out.header = read_checkpoint_header(out.checkpoint);
    const bool nothing_learnt = out.header.state.step == 0 && run.restart == "auto" && !run.restart_allow_change;
    if ((never || nothing_learnt) && is_another_run(out.checkpoint, out.header.info, info)) {
      log_info("{} belongs to a run with other options{}: set aside, training begins anew", out.checkpoint, never ? "" : " that made no step");
      out = {};
      comm.barrier();  // all have read what is moved now
      on_root(comm, [&] { folder.set_old_results_aside(); });
    }
  } else {
    on_root(comm, [&] {
      if (never)
        folder.set_old_results_aside();
      else
        refuse_to_forget(folder, run, damage);
    });
  }
  if (!out.checkpoint.empty()) {
    for (const std::string& line : check_continuation(out.checkpoint, out.header.info, info, run.restart_allow_change)) {
      log_warning("continuing with another option: {}", line);
    }
    if (goes_on != 0)
      log_info("run.restart=never: this command began the run and was stopped, so it goes on; to begin anew remove {}", folder.path("requeue.json"));
  }
  on_root(comm, [&] { Requeue::note(folder, run, "running", JobStart::of_environment()); });
  return out;
}

JobStart JobStart::of_environment() {
  JobStart out;
  if (const std::string slurm = variable("SLURM_JOB_ID"); !slurm.empty()) {
    out.job = "slurm " + slurm;
    out.restarts = std::strtoll(variable("SLURM_RESTART_COUNT").c_str(), nullptr, 10);
  } else if (const std::string pbs = variable("PBS_JOBID"); !pbs.empty() && variable("PBS_ENVIRONMENT") != "PBS_INTERACTIVE") {
    out.job = "pbs " + pbs;
  }
  return out;
}

bool Requeue::goes_on(const RunFolder& folder, const JobStart& now) {
  std::ifstream file(folder.path("requeue.json"));
  const nlohmann::json mark = file ? nlohmann::json::parse(file, nullptr, false) : nlohmann::json();
  if (!mark.is_object()) return false;
  if (mark.value("status", nlohmann::json()) == "stopped") return true;
  // Slurm counts the starts of a job; one job may also hold two commands with `never`, and the second is no requeue. PBS counts
  // nothing: a job that runs again is one that the server started again.
  const nlohmann::json restarts = mark.value("restarts", nlohmann::json());
  const bool later = now.job.starts_with("pbs ") || (restarts.is_number_integer() && now.restarts > restarts.get<std::int64_t>());
  return !now.job.empty() && mark.value("job", nlohmann::json()) == now.job && later;
}

void Requeue::note(RunFolder& folder, const RunOptions& run, const char* status, const JobStart& now) {
  if (run.restart != "never") {
    forget(folder);
    return;
  }
  const nlohmann::ordered_json mark{{"status", status}, {"job", now.job}, {"restarts", now.restarts}};
  folder.write("requeue.json", mark.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
}

void Requeue::forget(const RunFolder& folder) {
  std::error_code ignored;
  std::filesystem::remove(folder.path("requeue.json"), ignored);
}

}  // namespace gnn_hpc
