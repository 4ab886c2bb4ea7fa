// SPDX-License-Identifier: Apache-2.0
#include "cli/sweep.hpp"

#include "base/error.hpp"
#include "base/subnormals.hpp"
#include "base/text.hpp"
#include "base/together.hpp"
#include "base/yaml_tree.hpp"
#include "cli/machine.hpp"
#include "cli/replicates.hpp"
#include "io/atomic_file.hpp"
#include "train/run_folder.hpp"
#include "train/trainer.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <optional>
#include <set>

namespace gnn_hpc {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t kLongestName = 120;
constexpr std::size_t kShownMetrics = 4;  ///< in the table for people; sweep.csv has all

/// A metric of a point: the part, the target (any name that the data hold) and what is measured.
using MetricPlace = std::array<std::string, 3>;

std::string safe(std::string text) {
  for (char& ch : text) {
    if (std::isalnum(static_cast<unsigned char>(ch)) == 0 && std::string_view("._-+=,").find(ch) == std::string_view::npos) ch = '_';
  }
  return text;
}

std::pair<std::string, std::string> key_and_value(const std::string& override_text) {
  const std::size_t at = override_text.find('=');
  return {override_text.substr(0, at), override_text.substr(at + 1)};
}

/// The JSON of a file, or null if it is absent or damaged (the point then counts as unfinished).
nlohmann::json read_json(const std::string& path) {
  std::ifstream file(path);
  return file ? nlohmann::json::parse(file, nullptr, false) : nlohmann::json();
}

std::string first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

}  // namespace

std::vector<SweepPoint> name_points(const std::vector<std::vector<std::string>>& points) {
  // The last part of a key names it, unless two keys of the sweep share it (model.seed, run.seed).
  std::set<std::string> keys;
  for (const auto& point : points) {
    for (const std::string& o : point) keys.insert(key_and_value(o).first);
  }
  const auto leaf = [](const std::string& key) { return key.substr(key.rfind('.') + 1); };
  std::vector<SweepPoint> out;
  std::set<std::string> used;
  for (const auto& point : points) {
    std::string name;
    for (const std::string& o : point) {
      const auto pair = key_and_value(o);  // clang 15 captures no structured binding in a lambda
      const std::string &key = pair.first, &value = pair.second;
      const bool unique = std::count_if(keys.begin(), keys.end(), [&](const std::string& k) { return leaf(k) == leaf(key); }) == 1;
      name += (name.empty() ? "" : ",") + safe(unique ? leaf(key) : key) + "=" + safe(value);
    }
    if (name.empty()) name = "base";
    if (name.size() > kLongestName) name.resize(kLongestName);
    std::string candidate = name;
    for (int n = 2; !used.insert(candidate).second; ++n) candidate = fmt::format("{}_{}", name, n);
    out.push_back({point, candidate});
  }
  return out;
}

namespace {

struct PointResult {
  std::string status;      ///< "waiting" before its first start
  nlohmann::json summary;  ///< null unless the run came to its end
  bool finished() const { return summary.is_object() && (status == "finished" || status == "early_stopped"); }

  /// A number of a finished run's summary, null where there is none.
  nlohmann::json number(const nlohmann::json::json_pointer& at) const {
    if (!finished() || !summary.contains(at) || !summary[at].is_number()) return {};
    return summary[at];
  }
};

const nlohmann::json::json_pointer kBestValidation("/best_validation");

std::vector<PointResult> results_of(const std::string& folder, const std::vector<SweepPoint>& points) {
  std::vector<PointResult> out;
  for (const SweepPoint& point : points) {
    PointResult& r = out.emplace_back();
    r.status = first_line(fmt::format("{}/{}/status", folder, point.name));
    if (r.status.empty()) r.status = "waiting";
    r.summary = read_json(fmt::format("{}/{}/summary.json", folder, point.name));
  }
  return out;
}

/// The best of the finished points; none where they do not decide by the same metric.
std::optional<std::size_t> best_of(const std::vector<PointResult>& results) {
  std::optional<std::size_t> best;
  for (std::size_t i = 0; i < results.size(); ++i) {
    if (results[i].number(kBestValidation).is_null()) continue;
    if (!best) {
      best = i;
      continue;
    }
    const nlohmann::json &now = results[i].summary, &then = results[*best].summary;
    for (const char* key : {"deciding_metric", "larger_is_better"}) {
      if (now.value(key, nlohmann::json()) != then.value(key, nlohmann::json())) return std::nullopt;
    }
    const double a = now["best_validation"], b = then["best_validation"];
    if (now.value("larger_is_better", false) ? a > b : a < b) best = i;
  }
  return best;
}

/// Metrics of all points in the order of their first appearance.
std::vector<MetricPlace> metrics_of(const std::vector<PointResult>& results) {
  std::vector<MetricPlace> out;
  for (const PointResult& r : results) {
    if (!r.summary.is_object() || !r.summary.contains("parts")) continue;
    for (const auto& [part, scores] : r.summary["parts"].items()) {
      if (!scores.contains("targets")) continue;
      for (const auto& [target, values] : scores["targets"].items()) {
        for (const auto& [name, value] : values.items()) {
          const MetricPlace place{part, target, name};
          if (name != "count" && value.is_primitive() && std::find(out.begin(), out.end(), place) == out.end()) out.push_back(place);
        }
      }
    }
  }
  return out;
}

nlohmann::json::json_pointer pointer_to(const MetricPlace& p) { return nlohmann::json::json_pointer() / "parts" / p[0] / "targets" / p[1] / p[2]; }

/// Keys of the sweep in the order of their first appearance.
std::vector<std::string> keys_of(const std::vector<SweepPoint>& points) {
  std::vector<std::string> out;
  for (const SweepPoint& point : points) {
    for (const std::string& o : point.overrides) {
      if (const std::string key = key_and_value(o).first; std::find(out.begin(), out.end(), key) == out.end()) out.push_back(key);
    }
  }
  return out;
}

}  // namespace

std::string sweep_csv(const std::string& folder, const std::vector<SweepPoint>& points) {
  const std::vector<PointResult> results = results_of(folder, points);
  const std::optional<std::size_t> best = best_of(results);
  const std::vector<std::string> keys = keys_of(points);
  const std::vector<MetricPlace> metrics = metrics_of(results);
  std::string out = "point,folder,status,best";
  for (const std::string& key : keys) out += "," + csv_field(key);
  out += ",best_epoch,best_validation,seconds";
  for (const MetricPlace& p : metrics) out += "," + csv_field(fmt::format("{}_{}_{}", p[0], p[2], p[1]));
  out += "\n";
  for (std::size_t i = 0; i < points.size(); ++i) {
    const SweepPoint& point = points[i];
    const PointResult& r = results[i];
    out += fmt::format("{},{},{},{}", i, csv_field(point.name), csv_field(r.status), best == i ? "best" : "");
    for (const std::string& key : keys) {
      std::string value;
      for (const std::string& o : point.overrides) {
        if (key_and_value(o).first == key) value = key_and_value(o).second;
      }
      out += "," + csv_field(value);
    }
    const auto number = [&](const nlohmann::json::json_pointer& at) {
      const nlohmann::json value = r.number(at);
      return value.is_null() ? std::string() : value.dump();
    };
    for (const char* name : {"best_epoch", "best_validation", "seconds"}) out += "," + number(nlohmann::json::json_pointer() / name);
    for (const MetricPlace& p : metrics) out += "," + number(pointer_to(p));
    out += "\n";
  }
  return out;
}

std::string sweep_table(const std::string& folder, const std::vector<SweepPoint>& points) {
  const std::vector<PointResult> results = results_of(folder, points);
  const std::optional<std::size_t> best = best_of(results);
  std::vector<MetricPlace> metrics = metrics_of(results);
  std::erase_if(metrics, [](const MetricPlace& p) { return p[0] != "test"; });
  if (metrics.size() > kShownMetrics) metrics.resize(kShownMetrics);
  if (std::none_of(results.begin(), results.end(), [](const PointResult& r) { return r.finished(); })) return {};

  std::size_t width = 5;
  for (const SweepPoint& point : points) width = std::max(width, point.name.size());
  std::string out = fmt::format("  {:<{}} {:>13} {:>10} {:>15} {:>8}", "point", width, "status", "best epoch", "best validation", "seconds");
  const auto title = [](const MetricPlace& p) { return printable_name(fmt::format("test {} {}", p[2], p[1])); };
  for (const MetricPlace& p : metrics) out += "  " + title(p);
  for (std::size_t i = 0; i < points.size(); ++i) {
    const PointResult& r = results[i];
    const auto number = [&](const nlohmann::json::json_pointer& at, int digits) {
      const nlohmann::json value = r.number(at);
      return value.is_null() ? std::string("-") : fmt::format("{:.{}g}", value.get<double>(), digits);
    };
    out += fmt::format("\n{} {:<{}} {:>13} {:>10} {:>15} {:>8}", best == i ? '*' : ' ', points[i].name, width, r.status,
                       number(nlohmann::json::json_pointer("/best_epoch"), 9), number(kBestValidation, 5),
                       number(nlohmann::json::json_pointer("/seconds"), 4));
    for (const MetricPlace& p : metrics) {
      out += fmt::format("  {:>{}}", number(pointer_to(p), 5), title(p).size());
    }
  }
  return out;
}

namespace {

class Sweep {
 public:
  Sweep(const CommandLine& line, const Comm& comm)
      : line_(line),
        comm_(comm),
        text_(read_input(line.input, comm)),
        base_(peek_options(text_, line.input, line.overrides)),
        replicates_(line.command == "replicates"),
        points_(name_points(replicates_ ? with_replicates(base_.sweep.points, line.count) : base_.sweep.points)) {}

  int run() {
    if (points_.empty()) {
      throw Error(Exit::usage, fmt::format("{}: no `sweep` block; e.g. sweep: {{grid: {{train.learning_rate: [1e-3, 3e-4]}}}}", line_.input));
    }
    if (line_.point >= static_cast<int>(points_.size())) {
      throw Error(Exit::usage, fmt::format("--point {}: the sweep has {} points, counted from 0", line_.point, points_.size()));
    }
    check_all();
    if (line_.dry_run) {
      if (comm_.is_root()) std::cout << sweep_csv(base_.run.dir, points_) << std::flush;
      return 0;
    }
    int worst = 0;
    for (std::size_t i = 0; i < points_.size(); ++i) {
      if (line_.point >= 0 && static_cast<int>(i) != line_.point) continue;
      const int code = run_point(i);
      if (code == static_cast<int>(Exit::stopped)) return code;
      worst = std::max(worst, code);
    }
    if (comm_.is_root() && !replicates_) {
      if (const std::string table = sweep_table(base_.run.dir, points_); !table.empty()) {
        log_info("sweep: the best by validation is marked\n{}", table);
      }
    }
    log_info("sweep: results in {}/sweep.csv", base_.run.dir);
    if (replicates_ && comm_.is_root()) {
      log_info("test errors, mean +- standard deviation over splits; one row a split in {}/results.csv\n{}", base_.run.dir,
               results_table(collect_results(base_.run.dir, points_)));
    }
    return worst;
  }

 private:
  std::vector<std::string> overrides_of(const SweepPoint& point) const {
    std::vector<std::string> out = line_.overrides;
    out.insert(out.end(), point.overrides.begin(), point.overrides.end());
    out.push_back("run.dir=" + yaml_scalar(base_.run.dir + "/" + point.name));
    return out;
  }

  /// All points' options before the first run: a typo in the last one must not be found after a night.
  void check_all() const {
    for (const SweepPoint& point : points_) {
      try {
        resolved_input(text_, line_.input, overrides_of(point));
      } catch (const Error& e) {
        throw Error(e.code(), fmt::format("point {}:\n{}", point.name, e.what()));
      }
    }
  }

  void note(const SweepPoint& point, const std::string& status) {
    on_root(comm_, [&] {
      fs::create_directories(fs::path(base_.run.dir) / point.name);
      write_file_atomically(fmt::format("{}/{}/status", base_.run.dir, point.name), status + "\n");
      write_file_atomically(base_.run.dir + "/sweep.csv", sweep_csv(base_.run.dir, points_));
      if (const Results results = replicates_ ? collect_results(base_.run.dir, points_) : Results(); !results.header.empty()) {
        write_file_atomically(base_.run.dir + "/results.csv", results.csv());
      }
    });
  }

  int run_point(std::size_t index) {
    const SweepPoint& point = points_[index];
    stop_together(comm_, "sweep", "finished points stay, the same command goes on from there");
    std::string status;
    if (comm_.is_root()) status = first_line(fmt::format("{}/{}/status", base_.run.dir, point.name));
    comm_.broadcast(status);
    const bool done = status == "finished" || status == "early_stopped";
    if (done && already_run(point)) {
      log_info("sweep: point {} of {}, {}: {} before", index + 1, points_.size(), point.name, status);
      return 0;
    }
    log_info("sweep: point {} of {}, {}", index + 1, points_.size(), point.name);
    note(point, "running");
    try {
      const TrainResult result = base_of(point).run.precision == "double" ? train_point<double>(point) : train_point<float>(point);
      note(point, result.status);
      return static_cast<int>(result.exit);
    } catch (const Error& e) {
      // Only errors that all ranks met may be passed over: the others are waiting elsewhere.
      if (!comm_.meet(5.0)) throw;
      if (e.code() != Exit::diverged && e.code() != Exit::data) throw;
      log_error("point {}: {}", point.name, e.what());
      note(point, e.code() == Exit::diverged ? "diverged" : "failed");
      return static_cast<int>(e.code());
    }
  }

  JobOptions base_of(const SweepPoint& point) const { return peek_options(text_, line_.input, overrides_of(point)); }

  template <class T>
  TrainResult train_point(const SweepPoint& point) {
    Job<T> job = make_job<T>(text_, line_.input, overrides_of(point));
    flush_subnormals_on_all_threads(job.options.run.flush_subnormals);
    return train(*job.task, job.options.run, job.options.phases, comm_, job.resolved, {{}, gemm_rate<T>});
  }

  /// True if the finished run of this folder had the options that the point has now.
  bool already_run(const SweepPoint& point) const {
    std::string then;
    if (comm_.is_root()) {
      std::ifstream file(fmt::format("{}/{}/resolved.yaml", base_.run.dir, point.name));
      then.assign(std::istreambuf_iterator<char>(file), {});
    }
    comm_.broadcast(then);
    return then == resolved_input(text_, line_.input, overrides_of(point));
  }

  const CommandLine& line_;
  const Comm& comm_;
  std::string text_;
  JobOptions base_;
  bool replicates_;
  std::vector<SweepPoint> points_;
};

}  // namespace

int sweep_command(const CommandLine& line, const Comm& comm) { return Sweep(line, comm).run(); }

}  // namespace gnn_hpc
