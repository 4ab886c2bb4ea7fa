// SPDX-License-Identifier: Apache-2.0
// Names from data are opaque: columns, ids and files with names that would be a path, a separator, a format, a program or an escape
// sequence somewhere, through everything that a user does with them.
#include "cli/program_fixture.hpp"

#include "io/csv.hpp"
#include "train/run_folder.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <sstream>

namespace gnn_hpc {
namespace {

class Names : public Program {
 protected:
  void SetUp() override {
    Program::SetUp();
    // Run by a shell or by gnuplot, this makes a file.
    const std::string shell = (folder_ / "ran").string();
    nasty_ = fmt::format("E/at \"q\" 'r' `touch {0}1` $(touch {0}2) ${{HOME}} {{0}} {{x}} %s \\, é|touch {0}3;\n# <b> \x1b[31m@(eV/atom){1}", shell,
                         std::string(300, 'z'));
    id_ = fmt::format("a/b, \"c\"\n`touch {}4` {{}} $1", shell);
  }

  std::vector<std::vector<std::string>> table(const std::string& name) const {
    CsvReader file((folder_ / name).string());
    CsvReader::Row row;
    std::vector<std::vector<std::string>> out;
    while (file.next(row)) out.emplace_back(row.fields.begin(), row.fields.begin() + static_cast<std::ptrdiff_t>(row.size));
    return out;
  }
  /// The column of a table, without its name.
  std::vector<std::string> column(const std::string& file, const std::string& name) const {
    const auto rows = table(file);
    const auto at = static_cast<std::size_t>(std::find(rows.at(0).begin(), rows.at(0).end(), name) - rows.at(0).begin());
    EXPECT_LT(at, rows[0].size()) << file << " has no column " << name;
    std::vector<std::string> out;
    for (std::size_t r = 1; r < rows.size() && at < rows[0].size(); ++r) out.push_back(rows[r].at(at));
    return out;
  }
  std::vector<nlohmann::json> json_lines(const std::string& name) const {
    std::istringstream lines(read(name));
    std::vector<nlohmann::json> out;
    for (std::string line; std::getline(lines, line);) out.push_back(nlohmann::json::parse(line));
    return out;
  }
  void expect_nothing_was_run() const {
    for (const auto& entry : fs::directory_iterator(folder_)) EXPECT_FALSE(entry.path().filename().string().starts_with("ran")) << entry.path();
  }
  static void expect_plain(const std::string& text) { EXPECT_EQ(text.find('\x1b'), std::string::npos) << text; }
  Outcome must(const std::vector<std::string>& arguments, const std::vector<std::string>& launcher = {}) {
    const Outcome r = run(arguments, launcher);
    EXPECT_EQ(r.code, 0) << arguments[0] << "\n" << r.out << r.err;
    expect_plain(r.err);
    return r;
  }
  /// One picture a target, each with something in it.
  void draw(const std::string& run_dir, int pictures) {
    if (std::system("command -v gnuplot >/dev/null && command -v python3 >/dev/null") != 0) return;
    const Outcome r = run_any({"bash", GNN_HPC_SOURCE_DIR "/scripts/plot.sh", run_dir});
    EXPECT_EQ(r.code, 0) << r.out << r.err;
    EXPECT_EQ(r.err, "");
    EXPECT_GT(fs::file_size(folder_ / run_dir / "learning_curve.png"), 1000U);
    int found = 0;
    for (const auto& entry : fs::directory_iterator(folder_ / run_dir)) {
      const std::string name = entry.path().filename().string();
      if (name.starts_with("parity") && fs::file_size(entry.path()) > 1000) ++found;
    }
    EXPECT_EQ(found, pictures);
  }

  /// The picture of a sweep, and of one with more points than gnuplot takes arguments.
  void draw_sweep(const std::string& run_dir) {
    if (std::system("command -v gnuplot >/dev/null && command -v python3 >/dev/null") != 0) return;
    std::string many = "folder,status,best,best_validation\n";
    for (int i = 0; i < 30; ++i) many += fmt::format("point={},finished,{},{}\n", i, i == 20 ? "best" : "", 30 - i);
    fs::create_directories(folder_ / "many");
    write("many/sweep.csv", many);
    for (const std::string& folder : {run_dir, std::string("many")}) {
      const Outcome r = run_any({"bash", GNN_HPC_SOURCE_DIR "/scripts/plot.sh", folder});
      EXPECT_EQ(r.code, 0) << r.out << r.err;
      EXPECT_EQ(r.err, "");
      EXPECT_GT(fs::file_size(folder_ / folder / "sweep.png"), 1000U);
    }
  }

  std::string nasty_, id_;
};

TEST_F(Names, OfCrystalTargetsAreOpaque) {
  // The demo's compounds with the names of both enthalpies and of the first compound replaced.
  std::string csv = slurp(GNN_HPC_SOURCE_DIR "/inputs/data/compounds.csv");
  const auto replace = [&csv](const std::string& what, const std::string& name) { csv.replace(csv.find(what), what.size(), csv_field(name)); };
  const std::string second = "E/atom\n(kJ)";
  replace("formation_enthalpy_ev_per_atom", nasty_);
  replace("formation_enthalpy_kj_per_mol", second);
  replace("LiF-rock-salt", id_);
  write("[data] 'x'.csv", csv);
  // JSON strings are YAML strings.
  write("in.yaml", slurp(GNN_HPC_SOURCE_DIR "/inputs/tiny_comformer.yaml"));
  const std::string targets = "data.targets=" + nlohmann::json{nasty_, second}.dump();
  const auto words = [&](const std::string& command, const std::vector<std::string>& more) {
    std::vector<std::string> out{command, "in.yaml", targets, "data.path=\"[data] 'x'.csv\"", "data.cache_dir=cache"};
    out.insert(out.end(), more.begin(), more.end());
    return out;
  };
  EXPECT_EQ(run(words("train", {"run.dir=one", "run.walltime=0.001"})).code, 5);
  must(words("train", {"run.dir=one"}));  // continues
  const auto lines = json_lines("one/metrics.jsonl");
  EXPECT_TRUE(lines.back().contains("val_mae_" + nasty_)) << lines.back();
  if (!std::string_view(GNN_HPC_MPIEXEC).empty()) {
    ::setenv("OMP_NUM_THREADS", "1", 1);
    must(words("train", {"run.dir=two"}), {GNN_HPC_MPIEXEC, "-n", "2", "--oversubscribe"});
    const double one = lines.back().at("val_mae_" + nasty_), two = json_lines("two/metrics.jsonl").back().at("val_mae_" + nasty_);
    EXPECT_NEAR(one, two, 2e-2 * one) << "ranks gather by name";
  }
  const std::vector<std::string> ids = column("one/predictions.csv", "id");
  EXPECT_EQ(std::count(ids.begin(), ids.end(), id_), 1);
  EXPECT_EQ(column("one/predictions.csv", "prediction_" + nasty_).size(), ids.size());
  EXPECT_EQ(column("one/metrics.csv", "val_mae_" + second).size(), 3U);
  const auto summary = nlohmann::json::parse(read("one/summary.json"));
  EXPECT_TRUE(summary["parts"]["test"]["targets"][nasty_].contains("mae")) << summary;
  EXPECT_EQ(column("one/results.csv", "target"), (std::vector<std::string>{nasty_, second}));
  EXPECT_NE(read("one/ids_train_val_test.json").find(nlohmann::json(id_).dump()), std::string::npos);

  must(words("predict", {"run.dir=one", "--output", "p.csv", "--data", "[data] 'x'.csv"}));
  EXPECT_EQ(column("p.csv", "prediction_" + nasty_).size(), ids.size());
  expect_plain(must({"info", "one/checkpoints/best.h5"}).out);
  expect_plain(must({"info", "--full", "one/checkpoints/best.h5"}).out);
  draw("one", 2);

  const std::string grid = "sweep.grid={data.targets: [" + nlohmann::json{nasty_}.dump() + ", " + nlohmann::json{second}.dump() + "]}";
  must(words("sweep", {"run.dir=s", "train.epochs=1", grid}));
  const std::vector<std::string> folders = column("s/sweep.csv", "folder");
  ASSERT_EQ(folders.size(), 2U);
  for (const std::string& name : folders) EXPECT_TRUE(exists("s/" + name + "/summary.json")) << name;
  EXPECT_TRUE(std::isfinite(std::stod(column("s/sweep.csv", "test_mae_" + nasty_).at(0))));
  EXPECT_TRUE(std::isfinite(std::stod(column("s/sweep.csv", "test_mae_" + second).at(1))));
  draw_sweep("s");
  expect_nothing_was_run();
}

TEST_F(Names, OfMoleculeColumnsAreOpaque) {
  if (run({"--version", "--verbose"}).out.find("RDKit       none") != std::string::npos) GTEST_SKIP() << "built without RDKit";
  std::string csv = "name,smiles,x," + csv_field(nasty_) + "\n", new_csv = "name,smiles\n" + csv_field(id_) + ",CCO\n";
  for (int i = 1; i <= 40; ++i) {
    csv += (i == 1 ? csv_field(id_) : fmt::format("m{}", i)) + "," + std::string(static_cast<std::size_t>(i), 'C') +
           fmt::format(",{},{}\n", i % 3, 0.1 * i);
  }
  write("data.csv", csv);
  write("new.csv", new_csv);
  write("in.yaml",
        "system: dmpnn_diffpool\nrun: {dir: run}\n"
        "data: {path: data.csv, id_column: name, descriptors: [x], cache_dir: cache, targets: [" +
            nlohmann::json(nasty_).dump() +
            "]}\n"
            "model: {encoder: dmpnn, hidden_dim: 8, depth: 2}\ntrain: {epochs: 2, batch_size: 8}\n");
  EXPECT_EQ(run({"train", "in.yaml", "run.walltime=0.001"}).code, 5);
  must({"train", "in.yaml"});
  fs::remove(folder_ / "run/predictions.csv");
  must({"train", "in.yaml"});  // from the checkpoint at its end
  EXPECT_FALSE(exists("run/checkpoints/last.damaged.h5"));
  const std::vector<std::string> ids = column("run/predictions.csv", "id");
  EXPECT_EQ(ids.size(), 40U);
  EXPECT_EQ(std::count(ids.begin(), ids.end(), id_), 1);
  EXPECT_EQ(column("run/results.csv", "target"), std::vector<std::string>{nasty_});
  must({"predict", "in.yaml", "data.targets=[]", "--output", "p.csv"});  // names from the checkpoint
  EXPECT_EQ(column("p.csv", "id").size(), 40U);
  draw("run", 1);

  must({"replicates", "in.yaml", "--count", "2", "run.dir=r"});
  EXPECT_EQ(column("r/results.csv", "target"), (std::vector<std::string>{nasty_, nasty_}));
  expect_nothing_was_run();
}

TEST_F(Names, InScriptsAreArguments) {
  // A qsub that says what it was given, and runs the job.
  fs::create_directories(folder_ / "bin");
  write("bin/qsub", "#!/bin/sh\nfor last; do :; done\nmv \"$last\" job.sh\n");
  write("bin/mpiexec", "#!/bin/sh\nshift 2\nfor a; do printf '%s\\0' \"$a\"; done >arguments\nexit 0\n");
  for (const char* name : {"bin/qsub", "bin/mpiexec"}) fs::permissions(folder_ / name, fs::perms::owner_all);
  fs::create_directories(folder_ / "scripts/slurm");
  fs::copy_file(GNN_HPC_SOURCE_DIR "/scripts/slurm/job.sh", folder_ / "scripts/slurm/job.sh");
  write("nodes", "a\nb\n");
  const std::string target = "data.targets=" + nlohmann::json{nasty_, "a,b c"}.dump();
  const std::string path = "PATH=" + (folder_ / "bin").string() + ":" + std::getenv("PATH");
  const Outcome submitted =
      run_any({"env", path, "bash", GNN_HPC_SOURCE_DIR "/scripts/slurm/pbs.sh", "-q", "gpu", "--", "in, put.yaml", target, id_});
  ASSERT_EQ(submitted.code, 0) << submitted.err;
  const Outcome job = run_any({"env", path, "PBS_O_WORKDIR=" + folder_.string(), "PBS_NODEFILE=nodes", "bash", "job.sh"});
  ASSERT_EQ(job.code, 0) << job.err;
  expect_plain(job.out);
  const std::string nul(1, '\0');
  EXPECT_EQ(read("arguments"), "build/cuda/gnn_hpc" + nul + "in, put.yaml" + nul + "run.walltime=23:50:00" + nul + target + nul + id_ + nul);
  expect_nothing_was_run();
}

TEST_F(Names, OfTheRunFolderAreToldByTheProgram) {
  write("in.yaml", slurp(GNN_HPC_SOURCE_DIR "/inputs/tiny_comformer.yaml"));
  EXPECT_EQ(must({"info", "in.yaml", "--option", "run.dir"}).out, "runs/tiny_comformer\n");
  EXPECT_EQ(must({"info", "in.yaml", "--option", "run.dir", "run.dir=\"a # 'b': c\""}).out, "a # 'b': c\n");
  EXPECT_EQ(must({"info", "in.yaml", "--option", "system"}).out, "comformer\n");
  EXPECT_EQ(run({"info", "in.yaml", "--option", "run.dri"}).code, 2);
  EXPECT_EQ(run({"info", "--option", "run.dir"}).code, 2);
}

}  // namespace
}  // namespace gnn_hpc
