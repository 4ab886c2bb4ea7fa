// SPDX-License-Identifier: Apache-2.0
#include "cli/job.hpp"

#include "base/error.hpp"
#include "base/text.hpp"
#include "base/yaml_tree.hpp"
#include "models/systems.hpp"
#include "train/run_folder.hpp"

#include <algorithm>

namespace gnn_hpc {

MpiOptions MpiOptions::parse(Config node) {
  MpiOptions o;
  node.choice("gpu_aware", o.gpu_aware, {"auto", "on", "off"}, "give device pointers to MPI; auto: if the library says it takes them");
  node.done();
  return o;
}

bool MpiOptions::use_device_pointers() const { return gpu_aware == "on" || (gpu_aware == "auto" && mpi_claims_gpu_support()); }

namespace {

/// The overrides of one explicit point `{key: value, ...}`.
std::vector<std::string> overrides_of(const YamlTree& point) {
  std::vector<std::string> out;
  for (std::size_t i = 0; i < point.keys.size(); ++i) out.push_back(point.keys[i] + "=" + point.children[i].flow());
  return out;
}

/// Key `which` of the grid varies fastest if it stands last.
void add_grid(const YamlTree& grid, std::size_t which, std::vector<std::string> point, std::vector<std::vector<std::string>>& out) {
  if (which == grid.keys.size()) {
    out.push_back(std::move(point));
    return;
  }
  for (const YamlTree& value : grid.children[which].children) {
    std::vector<std::string> longer = point;
    longer.push_back(grid.keys[which] + "=" + value.flow());
    add_grid(grid, which + 1, std::move(longer), out);
  }
}

}  // namespace

SweepOptions SweepOptions::parse(Config node) {
  SweepOptions o;
  const YamlTree* grid = node.tree("grid", "key: list of values, e.g. {train.learning_rate: [1e-3, 3e-4]}; all combinations are run");
  const YamlTree* points =
      node.tree("points", "list of points, e.g. [{model.node_features: 128, train.epochs: 50}]; with a grid: each with all combinations");
  node.done();
  bool good = true;
  const auto is_empty = [](const YamlTree& tree) { return tree.kind != YamlTree::Kind::scalar && tree.children.empty(); };
  if (grid != nullptr && is_empty(*grid)) grid = nullptr;
  if (points != nullptr && is_empty(*points)) points = nullptr;
  if (grid != nullptr && grid->kind != YamlTree::Kind::map) {
    node.problem("grid", fmt::format("found {}, expected a block `key: [values]`", grid->describe()));
    good = false;
  }
  for (std::size_t i = 0; good && grid != nullptr && i < grid->keys.size(); ++i) {
    if (grid->children[i].kind == YamlTree::Kind::list && !grid->children[i].children.empty()) continue;
    node.problem("grid", fmt::format("{}: found {}, expected a list of values", grid->keys[i], grid->children[i].describe()));
    good = false;
  }
  if (points != nullptr) {
    const bool list_of_maps = points->kind == YamlTree::Kind::list && std::all_of(points->children.begin(), points->children.end(),
                                                                                  [](const YamlTree& p) { return p.kind == YamlTree::Kind::map; });
    if (!list_of_maps) {
      node.problem("points", fmt::format("found {}, expected a list of blocks `key: value`", points->describe()));
      good = false;
    }
  }
  if (!good || (grid == nullptr && points == nullptr)) return o;
  std::vector<std::vector<std::string>> starts;
  if (points != nullptr) {
    for (const YamlTree& point : points->children) starts.push_back(overrides_of(point));
  } else {
    starts.emplace_back();
  }
  for (std::vector<std::string>& start : starts) add_grid(grid != nullptr ? *grid : YamlTree{}, 0, std::move(start), o.points);
  return o;
}

JobOptions JobOptions::parse(Config root, const std::string& schema_system) {
  JobOptions o;
  o.system = schema_system.empty() ? std::string(systems().front()->name) : schema_system;
  root.choice("system", o.system, system_names(), "what is trained");
  o.run = RunOptions::parse(root.block("run", "where results go, how a run starts and ends"));
  o.train = TrainOptions::parse(root.block("train", "training"), find_system(o.system).train_defaults());
  o.phases = parse_phases(root, o.train, find_system(o.system).phase_vocabulary);
  o.log = LogOptions::parse(root.block("log", "messages"));
  o.mpi = MpiOptions::parse(root.block("mpi", "ranks"));
  o.sweep = SweepOptions::parse(root.block("sweep", "points of `gnn_hpc sweep`; other commands ignore them"));
  return o;
}

std::string read_input(const std::string& path, const Comm& comm) {
  std::string text;
  on_root(comm, [&] { text = read_text_file(path); });
  comm.broadcast(text);
  return text;
}

JobOptions peek_options(const std::string& text, const std::string& name, const std::vector<std::string>& overrides) {
  return JobOptions::parse(Config::from_text(text, name, overrides));
}

namespace {

/// A run is the same run whatever sweep it belongs to.
std::string without_sweep(const std::string& yaml) {
  std::string out;
  bool inside = false;
  for (std::string& line : split(yaml, '\n')) {
    if (line.empty()) continue;
    if (line.front() != ' ') inside = line.starts_with("sweep:");
    if (!inside) out += line + "\n";
  }
  return out;
}

}  // namespace

template <class T>
Job<T> make_job(const std::string& text, const std::string& name, const std::vector<std::string>& overrides) {
  Config root = Config::from_text(text, name, overrides);
  Job<T> job;
  job.options = JobOptions::parse(root);
  job.task = make_task<T>(job.options.system, root, static_cast<std::uint64_t>(job.options.run.seed));
  root.done();
  root.finish();
  job.resolved = without_sweep(root.resolved());
  return job;
}

std::string resolved_input(const std::string& text, const std::string& name, const std::vector<std::string>& overrides) {
  const bool in_double = peek_options(text, name, overrides).run.precision == "double";
  return in_double ? make_job<double>(text, name, overrides).resolved : make_job<float>(text, name, overrides).resolved;
}

std::string schema_of(const std::string& system) {
  const std::string name(system.empty() ? systems().front()->name : find_system(system).name);
  Config schema = Config::for_schema();
  JobOptions::parse(schema, name);
  make_task<float>(name, schema, 0);
  return schema.schema_text();
}

template Job<float> make_job<float>(const std::string&, const std::string&, const std::vector<std::string>&);
template Job<double> make_job<double>(const std::string&, const std::string&, const std::vector<std::string>&);

}  // namespace gnn_hpc
