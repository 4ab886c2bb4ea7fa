// SPDX-License-Identifier: Apache-2.0
// The built program as a user runs it: exit codes, messages, files.
#include "base/config.hpp"
#include "base/subnormals.hpp"
#include "cli/program_fixture.hpp"
#include "io/smiles.hpp"

#include <gtest/gtest.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <set>
#include <sstream>
#include <thread>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace gnn_hpc {
namespace {

namespace fs = std::filesystem;

TEST_F(Program, TyposAreReportedAllAtOnce) {
  write("in.yaml",
        "system: comformer\n"
        "data:\n"
        "  path: crystals.csv\n"
        "  targets: [energy]\n"
        "  test_ratoi: 0.1\n"
        "train:\n"
        "  epochs: 1e3\n"
        "  learning_rte: 1e-3\n"
        "  schedule: onecycle\n"
        "grahp:\n"
        "  max_neighbors: 12\n");
  const Outcome r = run({"in.yaml", "train.batch_size=0", "run.seeed=3"});
  EXPECT_EQ(r.code, 2);
  EXPECT_EQ(r.out, "");
  EXPECT_EQ(r.err,
            "error: in.yaml:5: data.test_ratoi: unknown key (did you mean test_ratio?)\n"
            "error: in.yaml:7: train.epochs: found '1e3', allowed: an integer >= 1 (write 1000)\n"
            "error: in.yaml:8: train.learning_rte: unknown key (did you mean learning_rate?)\n"
            "error: in.yaml:9: train.schedule: found 'onecycle', allowed: one_cycle, none, step, polynomial, cosine, "
            "warmup_exponential, warmup_cosine (did you mean one_cycle?)\n"
            "error: in.yaml:10: grahp: unknown key (did you mean graph?)\n"
            "error: command line: train.batch_size: found '0', allowed: an integer >= 1\n"
            "error: command line: run.seeed: unknown key (did you mean seed?)\n");
  EXPECT_FALSE(exists("run"));
}

TEST_F(Program, MissingFilesEndWithThree) {
  const Outcome input = run({"absent.yaml"});
  EXPECT_EQ(input.code, 3);
  EXPECT_EQ(input.err, "error: cannot read 'absent.yaml': No such file or directory; relative paths start at the working directory\n");
  const Outcome data = run(tiny("train", {"data.path=absent.csv"}));
  EXPECT_EQ(data.code, 3);
  EXPECT_NE(data.err.find("absent.csv: no such file or folder"), std::string::npos) << data.err;
  EXPECT_EQ(run({"info", "absent.h5"}).code, 3);
  EXPECT_EQ(run({"verify", "absent.h5"}).code, 3);
  EXPECT_EQ(run(tiny("predict")).code, 3) << "no checkpoint";
}

TEST_F(Program, BadOverridesEndWithTwo) {
  const Outcome r = run(tiny("train", {"train.epochs", "train.batch_size=many"}));
  EXPECT_EQ(r.code, 2);
  EXPECT_EQ(r.err,
            "error: command line: 'train.epochs' is no override; write block.key=value\n"
            "error: command line: train.batch_size: found 'many', allowed: an integer >= 1\n");
  EXPECT_EQ(run({"info", "--schema", "comfromer"}).err,
            "error: unknown system 'comfromer' (did you mean comformer?); known: comformer, dmpnn_diffpool, gvp, hgnn_moe, partoken\n");
}

TEST_F(Program, HelpAndVersion) {
  EXPECT_EQ(run({"--help"}).code, 0);
  EXPECT_EQ(run({"--version"}).out.substr(0, 8), "gnn_hpc ");
  const Outcome verbose = run({"--version", "--verbose"});
  EXPECT_EQ(verbose.code, 0);
  for (const char* word : {"MPI", "HDF5", "Kokkos", "TPL_BLAS"}) EXPECT_NE(verbose.out.find(word), std::string::npos) << word;
}

TEST_F(Program, SchemaReadsBackAsAnInput) {
  const Outcome schema = run({"info", "--schema"});
  EXPECT_EQ(schema.code, 0) << schema.err;
  for (const char* key : {"learning_rate:", "max_neighbors:", "node_features:", "gpu_aware:", "# "}) {
    EXPECT_NE(schema.out.find(key), std::string::npos) << key;
  }
  write("schema.yaml", schema.out);
  const Outcome r = run({"train", "schema.yaml", "--dry-run", "data.path=x.csv", "data.targets=[y]", "model.node_features=16"});
  EXPECT_EQ(r.code, 0) << r.err;
}

TEST_F(Program, DryRunChangesNothing) {
  const Outcome r = run(tiny("train", {"--dry-run"}));
  EXPECT_EQ(r.code, 0) << r.err;
  for (const char* text : {"node_features: 16", "att_layers.3", "edge_update_layer", "no graph cache yet", "model and optimiser"}) {
    EXPECT_NE(r.out.find(text), std::string::npos) << text << "\n" << r.out;
  }
  EXPECT_FALSE(exists("run"));
  EXPECT_FALSE(exists("cache"));
  ASSERT_EQ(run(tiny("build-graphs")).code, 0);
  const Outcome again = run(tiny("train", {"--dry-run"}));
  EXPECT_NE(again.out.find("168 training, 21 validation, 21 test"), std::string::npos) << again.out;
  EXPECT_NE(again.out.find("activations of a step"), std::string::npos) << again.out;
  EXPECT_FALSE(exists("run"));
}

TEST_F(Program, EveryInputOfTheRepositoryIsValid) {
  int count = 0;
  for (const auto& entry : fs::directory_iterator(GNN_HPC_SOURCE_DIR "/inputs")) {
    if (entry.path().extension() != ".yaml") continue;
    const Outcome r = run({entry.path().string(), "--dry-run", "data.cache_dir=cache"});
    EXPECT_EQ(r.code, 0) << entry.path() << "\n" << r.err;
    // It trains what its name says, whatever the defaults are; the longest name first.
    const std::string name = entry.path().filename().string();
    for (const auto& [part, line] : {std::pair{"dmpnn_diffpool_", "  encoder: diffpool\n"},
                                     {"wdmpnn_", "  encoder: wdmpnn\n"},
                                     {"dmpnn_", "  encoder: dmpnn\n"},
                                     {"hgnn_moe_", "  coupler_type: HGNN\n"},
                                     {"gnn_moe_", "  coupler_type: GNN\n"},
                                     {"comformer", "system: comformer\n"}}) {
      if (name.find(part) == std::string::npos) continue;
      EXPECT_NE(r.out.find(line), std::string::npos) << name;
      break;
    }
    ++count;
  }
  EXPECT_GE(count, 10);
}

TEST_F(Program, TrainsPredictsAndTells) {
  const Outcome trained = run(tiny("train", {"train.epochs=2"}));
  ASSERT_EQ(trained.code, 0) << trained.err;
  EXPECT_EQ(trained.out.find('\r'), std::string::npos) << "no progress bar in a file";
  for (const char* name : {"resolved.yaml", "metrics.jsonl", "metrics.csv", "predictions.csv", "skipped.csv", "summary.json", "checkpoints/last.h5",
                           "checkpoints/best.h5"}) {
    EXPECT_TRUE(exists(std::string("run/") + name)) << name;
  }
  const std::string predictions = read("run/predictions.csv");

  const Outcome again = run(tiny("train", {"train.epochs=2"}));  // nothing is left to do
  ASSERT_EQ(again.code, 0) << again.err;
  EXPECT_EQ(read("run/predictions.csv"), predictions);

  const Outcome predicted = run(tiny("predict", {"--output", "p.csv"}));
  ASSERT_EQ(predicted.code, 0) << predicted.err;
  const std::string csv = read("p.csv");
  EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'), 211);
  EXPECT_NE(predicted.out.find("MAE"), std::string::npos) << predicted.out;

  write("salt.cif",
        "data_x\n_cell_length_a 4\n_cell_length_b 4\n_cell_length_c 4\n_cell_angle_alpha 90\n_cell_angle_beta 90\n_cell_angle_gamma 90\n"
        "loop_\n_atom_site_type_symbol\n_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\nCs 0 0 0\nCl 0.5 0.5 0.5\n");
  const Outcome other = run(tiny("predict", {"--data", "salt.cif", "--output", "-"}));
  ASSERT_EQ(other.code, 0) << other.err;
  EXPECT_EQ(other.out.substr(0, other.out.find('\n')), "id,prediction_formation_enthalpy_ev_per_atom,row") << other.out;
  EXPECT_NE(other.out.find("\nsalt,"), std::string::npos) << other.out;

  const Outcome checkpoint = run({"info", "run/checkpoints/best.h5"});
  EXPECT_EQ(checkpoint.code, 0);
  EXPECT_NE(checkpoint.out.find("checksums verified"), std::string::npos) << checkpoint.out;
  EXPECT_NE(checkpoint.out.find("comformer"), std::string::npos);
  for (const auto& entry : fs::directory_iterator(folder_ / "cache")) {
    if (entry.path().extension() != ".h5") continue;
    const Outcome cache = run({"info", entry.path().string()});
    EXPECT_EQ(cache.code, 0) << cache.err;
    EXPECT_NE(cache.out.find("graph cache of crystals"), std::string::npos) << cache.out;
  }
}

TEST_F(Program, APredictionUsesTheModelAsItWasTrained) {
  ASSERT_EQ(run(tiny("train", {"train.epochs=1"})).code, 0);
  ASSERT_EQ(run(tiny("predict", {"--output", "p.csv"})).code, 0);
  // An input that says nothing but where the weights and the data are: no default of today takes part.
  write("bare.yaml", "run: {dir: run}\ndata: {path: " GNN_HPC_SOURCE_DIR "/inputs/data/compounds.csv, cache_dir: cache}\n");
  const Outcome bare = run({"predict", "bare.yaml", "--output", "bare.csv"});
  ASSERT_EQ(bare.code, 0) << bare.err;
  EXPECT_EQ(read("bare.csv"), read("p.csv"));
  const Outcome other = run(tiny("predict", {"graph.max_neighbors=12", "graph.use_lattice=false", "--output", "other.csv"}));
  EXPECT_EQ(other.code, 2);
  EXPECT_NE(other.err.find("graph.max_neighbors: trained with 4, the input says 12"), std::string::npos) << other.err;
  EXPECT_NE(other.err.find("graph.use_lattice: trained with true, the input says false"), std::string::npos) << other.err;
  EXPECT_FALSE(exists("other.csv"));
  const Outcome targets = run(tiny("predict", {"data.targets=[band_gap]"}));
  EXPECT_EQ(targets.code, 2);
  EXPECT_NE(targets.err.find("data.targets: trained with [formation_enthalpy_ev_per_atom], the input says [band_gap]"), std::string::npos)
      << targets.err;
  EXPECT_EQ(run(tiny("predict", {"train.batch_size=7", "--output", "q.csv"})).code, 0) << "does not shape the model";
}

TEST_F(Program, AnUnreadableRecordAloneOrAnEmptyListIsAPrediction) {
  ASSERT_EQ(run(tiny("train", {"train.epochs=1"})).code, 0);
  const std::string header = "id,prediction_formation_enthalpy_ev_per_atom,row\n";
  write("bad.cif", "no structure\n");
  const Outcome bad = run(tiny("predict", {"--data", "bad.cif", "--output", "out/bad.csv"}));
  ASSERT_EQ(bad.code, 0) << bad.err;
  EXPECT_EQ(read("out/bad.csv"), header + "bad,nan,1\n");
  EXPECT_NE(read("out/bad_skipped.csv").find("\nbad,bad.cif,1,"), std::string::npos) << read("out/bad_skipped.csv");
  EXPECT_NE(bad.out.find("1 of 1 records could not be used"), std::string::npos) << bad.out;
  write("empty.csv", "id,cif\n");
  write("empty.extxyz", "");
  fs::create_directory(folder_ / "folder");
  for (const char* name : {"empty.csv", "empty.extxyz", "folder"}) {
    const Outcome empty = run(tiny("predict", {"--data", name, "--output", "empty.out"}));
    ASSERT_EQ(empty.code, 0) << name << ": " << empty.err;
    EXPECT_EQ(read("empty.out").substr(0, header.size() - 1), header.substr(0, header.size() - 1)) << name;
    const std::string lines = read("empty.out");
    EXPECT_EQ(std::count(lines.begin(), lines.end(), '\n'), 1) << name;
    EXPECT_EQ(read("empty_skipped.csv"), "id,file,line,reason\n");
  }
}

TEST_F(Program, QuietIsQuiet) {
  const Outcome r = run(tiny("train", {"--quiet", "train.epochs=1"}));
  EXPECT_EQ(r.code, 0) << r.err;
  EXPECT_EQ(r.out, "");
}

TEST_F(Program, BenchPrintsJson) {
  const Outcome step = run(tiny("bench", {"--repeat", "2", "--warmup", "1", "--batch", "8", "--output", "bench.json"}));
  ASSERT_EQ(step.code, 0) << step.err;
  const auto j = nlohmann::json::parse(step.out);
  EXPECT_EQ(j["graphs"], 8);
  EXPECT_GT(j["edges"], 0);
  EXPECT_GT(j["median_seconds"], 0.0);
  EXPECT_GT(j["gflop_per_second"], 0.0);
  EXPECT_GT(j["arena_bytes"], 0);
  for (const char* phase : {"collate", "upload", "forward", "loss", "backward", "allreduce", "optimizer"}) {
    EXPECT_GE(j["phases_ms"][phase], 0.0) << phase;
  }
  EXPECT_GT(j["machine"]["triad_gbyte_per_second"], 0.0);
  EXPECT_EQ(nlohmann::json::parse(read("bench.json")), j);
  const Outcome load = run(tiny("bench", {"--what", "load"}));
  ASSERT_EQ(load.code, 0) << load.err;
  EXPECT_GT(nlohmann::json::parse(load.out)["items_per_second"], 0.0);
  const Outcome graph = run(tiny("bench", {"--what", "graph", "--repeat", "2"}));
  ASSERT_EQ(graph.code, 0) << graph.err;
  EXPECT_EQ(nlohmann::json::parse(graph.out)["graphs"], 210);
}

TEST_F(Program, SaysWhoMultipliesAndWhatBecomesOfSubnormalNumbers) {
  const auto machine = [&](const std::vector<std::string>& more) {
    std::vector<std::string> words{"--repeat", "1", "--warmup", "0", "--batch", "4"};
    words.insert(words.end(), more.begin(), more.end());
    const Outcome r = run(tiny("bench", words));
    EXPECT_EQ(r.code, 0) << r.err;
    return nlohmann::json::parse(r.out)["machine"];
  };
  const auto flushed = machine({}), kept = machine({"run.flush_subnormals=false"});
  EXPECT_FALSE(flushed["blas"].get<std::string>().empty());
  EXPECT_EQ(kept["subnormal_numbers"].get<std::string>().substr(0, 4), "kept");
  EXPECT_EQ(flushed["subnormal_numbers"].get<std::string>().starts_with("taken for zero on"), can_flush_subnormals());
  const Outcome info = run({"info"});
  EXPECT_EQ(info.code, 0) << info.err;
  for (const char* key : {"\nblas ", "\nsubnormal_numbers "}) EXPECT_NE(info.out.find(key), std::string::npos) << info.out;
}

TEST_F(Program, BenchCountsSubnormalOperandsByLayer) {
  ASSERT_EQ(run(tiny("train", {"train.epochs=1"})).code, 0);
  if (!kExecIsHost) {
    const Outcome refused = run(tiny("bench", {"--what", "subnormals"}));
    EXPECT_EQ(refused.code, 2) << refused.out;
    EXPECT_NE(refused.err.find("computes on a device"), std::string::npos) << refused.err;
    return;
  }
  const Outcome r = run(tiny("bench", {"--what", "subnormals", "--batch", "8", "--checkpoint", "run"}));
  ASSERT_EQ(r.code, 0) << r.err;
  const auto j = nlohmann::json::parse(r.out);
  EXPECT_GT(j["operands"], 0);
  std::set<std::string> kinds;
  bool named = false;
  for (const auto& row : j["products"]) {
    kinds.insert(row["kind"].get<std::string>());
    named = named || row["matrix"].get<std::string>().ends_with(".weight");
    EXPECT_GE(row["left"], row["left_subnormal"]);
  }
  EXPECT_TRUE(named) << j["products"].dump(1);
  EXPECT_EQ(kinds, (std::set<std::string>{"forward", "input_gradient", "weight_gradient"}));
  EXPECT_EQ(run(tiny("bench", {"--what", "subnormals", "--checkpoint", "absent"})).code, 3);
}

TEST_F(Program, ASignalEndsWithFiveAndTheSameCommandContinues) {
  const std::vector<std::string> command = tiny("train", {"train.epochs=2000"});
  const pid_t pid = start(command);
  for (int i = 0; i < 600 && !exists("run/checkpoints/last.h5"); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(50));
  kill(pid, SIGUSR1);
  const Outcome stopped = wait_for(pid);
  EXPECT_EQ(stopped.code, 5) << stopped.out << stopped.err;
  EXPECT_NE(stopped.out.find("SIGUSR1"), std::string::npos) << stopped.out;
  const pid_t second = start(command);
  const std::string before = read("run/metrics.csv");
  for (int i = 0; i < 600 && read("run/metrics.csv").size() <= before.size(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(50));
  kill(second, SIGTERM);
  const Outcome continued = wait_for(second);
  EXPECT_EQ(continued.code, 5) << continued.err;
  EXPECT_NE(continued.out.find("continuing from"), std::string::npos) << continued.out;
}

TEST_F(Program, ADivergingRunEndsWithFour) {
  const Outcome r = run(tiny("train", {"train.learning_rate=1e30", "train.schedule=none"}));
  EXPECT_EQ(r.code, 4) << r.out << r.err;
  EXPECT_NE(r.err.find("not finite"), std::string::npos) << r.err;
}

/// As the tasks of a job array do; models whose graphs are the same among them.
TEST_F(Program, PointsThatStartTogetherShareOneCache) {
  write("sweep.yaml", slurp(GNN_HPC_SOURCE_DIR "/inputs/tiny_comformer.yaml") + "\nsweep:\n  grid:\n    model.name: [iComFormer, eComFormer]\n");
  const auto point = [&](const std::string& number) {
    return start_any({"sh", "-c", "exec \"$0\" \"$@\" >point" + number + ".log 2>&1", GNN_HPC_PROGRAM, "sweep", "sweep.yaml",
                      "data.path=" GNN_HPC_SOURCE_DIR "/inputs/data/compounds.csv", "run.dir=s", "data.cache_dir=cache", "train.epochs=1",
                      "model.node_features=4", "--point", number});
  };
  const pid_t first = point("0"), second = point("1");
  EXPECT_EQ(wait_for(first).code, 0) << read("point0.log");
  EXPECT_EQ(wait_for(second).code, 0) << read("point1.log");
  int built = 0;
  for (const char* log : {"point0.log", "point1.log"}) built += read(log).find("graphs: building from ") != std::string::npos;
  EXPECT_EQ(built, 1) << read("point0.log") << read("point1.log");
  const auto caches =
      std::count_if(fs::directory_iterator(folder_ / "cache"), {}, [](const auto& entry) { return entry.path().extension() == ".h5"; });
  EXPECT_EQ(caches, 1);
}

TEST_F(Program, SweepsRunEveryPointOnce) {
  write("sweep.yaml",
        slurp(GNN_HPC_SOURCE_DIR "/inputs/tiny_comformer.yaml") + "\nsweep:\n  grid:\n    train.learning_rate: [1e-3, 1e-4]\n    run.seed: [1, 2]\n");
  const std::vector<std::string> command{"sweep",     "sweep.yaml",           "data.path=" GNN_HPC_SOURCE_DIR "/inputs/data/compounds.csv",
                                         "run.dir=s", "data.cache_dir=cache", "train.epochs=1"};
  const auto with = [&](const std::vector<std::string>& more) {
    std::vector<std::string> words = command;
    words.insert(words.end(), more.begin(), more.end());
    return words;
  };
  const Outcome plan = run(with({"--dry-run"}));
  EXPECT_EQ(plan.code, 0) << plan.err;
  EXPECT_NE(plan.out.find("learning_rate=1e-4,seed=2"), std::string::npos) << plan.out;
  EXPECT_FALSE(exists("s"));

  ASSERT_EQ(run(with({"--point", "3"})).code, 0);
  EXPECT_TRUE(exists("s/learning_rate=1e-4,seed=2/summary.json"));
  EXPECT_FALSE(exists("s/learning_rate=1e-3,seed=1"));
  const Outcome all = run(command);
  ASSERT_EQ(all.code, 0) << all.err;
  EXPECT_NE(all.out.find("point 4 of 4, learning_rate=1e-4,seed=2: finished before"), std::string::npos) << all.out;
  const std::string csv = read("s/sweep.csv");
  EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'), 5);
  EXPECT_EQ(csv.find("waiting"), std::string::npos) << csv;
  EXPECT_NE(csv.find("test_mae_formation_enthalpy_ev_per_atom"), std::string::npos) << csv;

  EXPECT_NE(all.out.find("\n* learning_rate="), std::string::npos) << all.out;

  const Outcome typo = run(with({"sweep.grid={train.epohcs: [1]}"}));
  EXPECT_EQ(typo.code, 2);
  EXPECT_NE(typo.err.find("did you mean epochs?"), std::string::npos) << typo.err;
  EXPECT_EQ(run(with({"--point", "9"})).code, 2);
  EXPECT_EQ(run(tiny("sweep")).code, 2) << "no sweep block";
}

TEST_F(Program, ReplicatesTrainOnEverySplitAndPredictWithFingerprints) {
  if (run({"--version", "--verbose"}).out.find("RDKit       none") != std::string::npos) GTEST_SKIP() << "built without RDKit";
  const auto words = [](const std::string& command, const std::vector<std::string>& more) {
    std::vector<std::string> out{
        command, GNN_HPC_SOURCE_DIR "/inputs/dmpnn_diffpool_demo.yaml", "data.cache_dir=cache", "run.dir=run", "train.epochs=2", "model.hidden_dim=8",
        "-q"};
    out.insert(out.end(), more.begin(), more.end());
    return out;
  };
  ASSERT_EQ(run(words("replicates", {"--count", "2", "data.train_size=40"})).code, 0) << read("stderr");
  const std::string results = read("run/results.csv");
  EXPECT_EQ(results.substr(0, 40), "test/mae,test/rmse,test/r2,split,target\n");
  EXPECT_EQ(std::count(results.begin(), results.end(), '\n'), 3) << results;
  write("new.csv", "name,smiles\npolyethylene,*CC*\npolypropylene,*CC(C)*\npeo,*OCC*\n");
  const Outcome predicted = run(words("predict", {"run.dir=run/replicate=1", "--data", "new.csv", "--output", "-", "--fingerprint", "h.csv"}));
  ASSERT_EQ(predicted.code, 0) << predicted.err;
  EXPECT_EQ(predicted.out.substr(0, 46), "id,prediction_tg,row,name,smiles\npolyethylene,");
  EXPECT_EQ(std::count(predicted.out.begin(), predicted.out.end(), '\n'), 4) << predicted.out;
  EXPECT_EQ(read("h.csv").substr(0, 27), "id,h0,h1,h2,h3,h4,h5,h6,h7\n");
}

TEST_F(Program, RanksReportASharedErrorOnce) {
  if (std::string_view(GNN_HPC_MPIEXEC).empty()) GTEST_SKIP() << "built without MPI";
  write("in.yaml", "train:\n  epohcs: 3\n");
  const Outcome r = run({"in.yaml"}, {GNN_HPC_MPIEXEC, "-n", "2"});
  EXPECT_EQ(r.code, 2) << r.err;
  const std::string message = "error: in.yaml:2: train.epohcs: unknown key (did you mean epochs?)\n";
  const std::size_t first = r.err.find(message);
  ASSERT_NE(first, std::string::npos) << r.err;
  EXPECT_EQ(r.err.find(message, first + 1), std::string::npos) << r.err;
  const Outcome missing = run({"info", "absent.h5"}, {GNN_HPC_MPIEXEC, "-n", "2"});
  EXPECT_EQ(missing.code, 3) << missing.err;
  EXPECT_EQ(run(tiny("train", {"train.epochs=1"}), {GNN_HPC_MPIEXEC, "-n", "2"}).code, 0);
}

TEST_F(Program, AnErrorOfOneRankEndsAll) {
  if (std::string_view(GNN_HPC_MPIEXEC).empty()) GTEST_SKIP() << "built without MPI";
  // Rank 0 trains; rank 1 was given another command line, and rank 0 would wait for it for ever.
  std::vector<std::string> launcher{GNN_HPC_MPIEXEC, "-n", "1", GNN_HPC_PROGRAM};
  for (const std::string& word : tiny("train")) launcher.push_back(word);
  for (const char* word : {":", "-n", "1"}) launcher.emplace_back(word);
  const Outcome r = run(tiny("train", {"train.epohcs=1"}), launcher);
  EXPECT_EQ(r.code, 2) << r.out << r.err;
  EXPECT_NE(r.err.find("error: rank 1: command line: train.epohcs: unknown key (did you mean epochs?)"), std::string::npos) << r.err;
}

TEST_F(Program, AStopNamesTheSignalAndTheRankThatItReached) {
  if (std::string_view(GNN_HPC_MPIEXEC).empty()) GTEST_SKIP() << "built without MPI";
  const std::vector<std::string> words = tiny("train", {"train.epochs=100000"});
  std::vector<std::string> launcher{GNN_HPC_MPIEXEC, "-n", "1", GNN_HPC_PROGRAM};
  launcher.insert(launcher.end(), words.begin(), words.end());
  for (const char* word : {":", "-n", "1", "timeout", "-s", "TERM", "20"}) launcher.emplace_back(word);
  const Outcome r = run(words, launcher);
  EXPECT_NE(r.out.find("stopped (SIGTERM on rank 1) at epoch"), std::string::npos) << r.out << r.err;
  EXPECT_EQ(r.out.find("walltime"), std::string::npos) << r.out;
  // The time limit is named as what it is.
  const Outcome limit = run(tiny("train", {"train.epochs=100000", "run.walltime=10", "run.dir=other"}));
  EXPECT_EQ(limit.code, 5);
  EXPECT_NE(limit.out.find("stopped (run.walltime) at epoch"), std::string::npos) << limit.out << limit.err;
}

TEST_F(Program, AFewLinesTrainThePlainModelAndSayWhatItIs) {
  if (rdkit_version().empty()) GTEST_SKIP() << "built without RDKit";
  std::string csv = "smiles,y\n";
  for (int i = 0; i < 30; ++i) csv += std::string(static_cast<std::size_t>(i % 10) + 1, 'C') + "O," + std::to_string(i % 10) + "\n";
  write("in.yaml", "system: dmpnn_diffpool\ndata: {path: m.csv, targets: [y]}\n");
  write("m.csv", csv);
  const Outcome r = run({"in.yaml", "train.epochs=1", "model.hidden_dim=8", "model.ffn_hidden=8"});
  EXPECT_EQ(r.code, 0) << r.err;
  EXPECT_NE(r.out.find("training dmpnn_diffpool: D-MPNN, mean over atoms, width 8, depth 3; 1 target(s), "), std::string::npos) << r.out;
  EXPECT_NE(r.out.find("parameters in float; at most 1 epoch(s) of 1 step(s) of 64 samples; 21 training, 3 validation, 6 test samples"),
            std::string::npos)
      << r.out;
  const Outcome plan = run({"in.yaml", "--dry-run"});
  EXPECT_NE(plan.out.find("  encoder: dmpnn\n"), std::string::npos) << plan.out;
  EXPECT_NE(plan.out.find("  epochs: 50\n"), std::string::npos) << plan.out;
}

TEST_F(Program, TheLinesForYourOwnDataInTheReadmeTrainAsTheyStand) {
  // The data that the blocks name.
  fs::create_directories(folder_ / "my_crystals");
  std::string table;
  for (int i = 0; i < 24; ++i) {
    write(fmt::format("my_crystals/c{}.vasp", i),
          fmt::format("c\n1.0\n{0} 0 0\n0 {0} 0\n0 0 {0}\nNa Cl\n1 1\nDirect\n0 0 0\n0.5 0.5 0.5\n", 3.0 + 0.05 * i));
    table += fmt::format("c{}.vasp,{}\n", i, 0.1 * i);
  }
  write("my_crystals/id_prop.csv", table);
  std::string molecules = "smiles,solubility,melting_point\n";
  for (int i = 0; i < 30; ++i)
    molecules += fmt::format("{}O,{},{}\n", std::string(static_cast<std::size_t>(i) + 1, 'C'), i, i % 5 == 0 ? "" : std::to_string(3 * i));
  write("my_molecules.csv", molecules);
  std::string proteins = "path,chain,label\n";
  for (int i = 0; i < 30; ++i) {
    std::string atoms;
    for (int a = 0; a < 24; ++a) {
      atoms += fmt::format("ATOM  {:5d}  {} ALA A{:4d}    {:8.3f}{:8.3f}{:8.3f}  1.00  0.00\n", a + 1, std::vector{"N  ", "CA ", "C  ", "O  "}[a % 4],
                           a / 4 + 1, 1.3 * a, 0.4 * ((a * (i + 2)) % 5), 0.3 * (a % 3));
    }
    write(fmt::format("p{}.pdb", i), atoms);
    proteins += fmt::format("p{}.pdb,A,{}\n", i, i % 2 == 0 ? "even" : "odd");
  }
  write("my_proteins.csv", proteins);
  std::string text;
  for (int i = 0; i < 200; ++i) text += fmt::format("sentence number {} of a text that somebody wrote.\n", i);
  write("my_text.txt", text);

  const std::string readme = slurp(GNN_HPC_SOURCE_DIR "/README.md");
  std::set<std::string> systems;
  const std::string fence = "```yaml\n";
  for (std::size_t at = readme.find(fence); at != std::string::npos; at = readme.find(fence, at + 1)) {
    const std::size_t begin = at + fence.size(), end = readme.find("```", begin);
    ASSERT_NE(end, std::string::npos);
    const std::string block = readme.substr(begin, end - begin);
    ASSERT_TRUE(block.starts_with("system: ")) << block;
    const std::string system = block.substr(8, block.find_first_of(" \n", 8) - 8);
    EXPECT_EQ(std::count(block.begin(), block.end(), '\n'), 4) << block;
    if (system == "dmpnn_diffpool" && rdkit_version().empty()) continue;
    write("in.yaml", block);
    std::vector<std::string> words{"in.yaml", "train.epochs=1"};
    if (system == "comformer") {
      for (const char* width : {"node_features", "edge_features", "triplet_input_features", "fc_features"})
        words.push_back(fmt::format("model.{}=8", width));
    } else if (system == "dmpnn_diffpool") {
      words.insert(words.end(), {"model.hidden_dim=8", "model.ffn_hidden=8"});
    } else if (system == "gvp") {
      words.push_back("model.node_h=[8,2]");
    } else {
      words.insert(words.end(), {"model.embed_dim=16", "model.num_layers=1", "model.num_heads=2", "model.num_experts=2"});
    }
    const Outcome r = run(words);
    EXPECT_EQ(r.code, 0) << block << r.out << r.err;
    EXPECT_NE(r.out.find("training " + system + ": "), std::string::npos) << r.out;
    systems.insert(system);
  }
  EXPECT_GE(systems.size(), 3U);
  EXPECT_TRUE(systems.contains("comformer") && systems.contains("gvp") && systems.contains("hgnn_moe"));
}

TEST_F(Program, WhatIsSaidOfNamesOfOtherProgramsIsTrueHere) {
  // Every `block.key` that an advice names is a key of some system, and no name of another program is a key here in the place it is asked for.
  std::string keys;
  for (const char* system : {"comformer", "dmpnn_diffpool", "gvp", "hgnn_moe"}) {
    std::istringstream schema(run({"info", "--schema", system}).out);
    std::string block;
    for (std::string line; std::getline(schema, line);) {
      const std::size_t indent = line.find_first_not_of(' '), colon = line.find(':');
      if (indent == 0)
        block = line.substr(0, colon);
      else if (indent == 2)
        keys += " " + block + "." + line.substr(2, colon - 2) + " ";
    }
  }
  const std::string source = slurp(GNN_HPC_SOURCE_DIR "/src/base/foreign_keys.cpp");
  const std::regex named(R"(\b(run|data|graph|model|train)\.([a-z_]+)\b)");
  int found = 0;
  for (std::sregex_iterator at(source.begin(), source.end(), named), end; at != end; ++at, ++found) {
    EXPECT_NE(keys.find(" " + at->str() + " "), std::string::npos) << at->str();
  }
  EXPECT_GT(found, 40);
}

constexpr const char* kLanguageModel =
    "system: hgnn_moe\n"
    "run: {dir: run}\n"
    "data: {path: text.txt, cache_dir: cache, min_chars: 3, validation_ratio: 0.2}\n"
    "model: {max_seq_length: 32, embed_dim: 16, num_layers: 1, num_heads: 2, num_experts: 3, coupler_type: HGNN}\n"
    "train: {epochs: 12, batch_size: 4, learning_rate: 1e-2}\n"
    "log: {interval: 0.1}\n";

TEST_F(Program, ALanguageModelLearnsAndContinuesTexts) {
  std::string text;
  for (int i = 0; i < 40; ++i) text += "one two three four\n";
  write("text.txt", text);
  write("in.yaml", kLanguageModel);
  const Outcome trained = run({"in.yaml"});
  ASSERT_EQ(trained.code, 0) << trained.err;
  EXPECT_NE(trained.out.find("tokens/s"), std::string::npos) << trained.out;
  EXPECT_NE(trained.out.find("of the GEMM rate"), std::string::npos);
  EXPECT_NE(trained.out.find("val bits_per_byte"), std::string::npos);
  EXPECT_NE(trained.out.find("hyperedge_weights"), std::string::npos);

  const Outcome greedy = run({"generate", "run", "--prompt", "one t", "--temperature", "0", "--max-new-tokens", "5"});
  ASSERT_EQ(greedy.code, 0) << greedy.err;
  EXPECT_EQ(greedy.out, "one two th\n");
  EXPECT_EQ(run({"generate", "run", "--prompt", "one t", "--top-k", "1", "--max-new-tokens", "5", "-q"}).out, greedy.out);
  const Outcome ids = run({"generate", "run", "--prompt-ids", "111,110,101", "--ids", "--temperature", "0", "--max-new-tokens", "2"});
  EXPECT_EQ(ids.out, "111 110 101 32 116\n");
  const auto sampled = [&](const std::string& seed) {
    return run({"generate", "run", "--prompt", "one", "--temperature", "3", "--top-k", "0", "--top-p", "1", "--seed", seed, "--ids"}).out;
  };
  EXPECT_EQ(sampled("1"), sampled("1"));
  EXPECT_NE(sampled("1"), sampled("2"));

  const Outcome longer = run({"generate", "run", "--prompt", std::string(33, 'x')});
  EXPECT_EQ(longer.code, 2);
  EXPECT_NE(longer.err.find("the prompt has 33 tokens, the model's sequences 32 at most"), std::string::npos) << longer.err;
  EXPECT_EQ(run({"generate", "run"}).code, 2);
  EXPECT_EQ(run({"generate", "run", "--prompt-ids", "256"}).code, 2);
  EXPECT_EQ(run({"generate", "run", "--prompt", "a", "--top-p", "1.5"}).code, 2);
  const Outcome listed = run({"predict", "in.yaml", "--data", "text.txt"});
  EXPECT_EQ(listed.code, 2);
  EXPECT_NE(listed.err.find("gnn_hpc generate"), std::string::npos) << listed.err;
}

TEST_F(Program, BadTextsAndModelsAreRefused) {
  write("in.yaml", kLanguageModel);
  write("text.txt", "");
  const Outcome empty = run({"in.yaml"});
  EXPECT_EQ(empty.code, 3);
  EXPECT_NE(empty.err.find("text.txt: no line of more than 3 characters"), std::string::npos) << empty.err;
  write("text.txt", std::string("a line\nand a") + '\0' + "nother\n");
  const Outcome nul = run({"in.yaml"});
  EXPECT_EQ(nul.code, 3);
  EXPECT_NE(nul.err.find("byte 12 (counted from 0) is NUL"), std::string::npos) << nul.err;
  write("text.txt", "shorter than a window");
  const Outcome window = run({"in.yaml", "data.mode=stream"});
  EXPECT_EQ(window.code, 3);
  EXPECT_NE(window.err.find("no 32 bytes, the length of a sequence (model.max_seq_length)"), std::string::npos) << window.err;
  const Outcome options = run({"in.yaml", "model.num_heads=3", "model.num_experts=0", "model.coupler_type=HGN", "model.vocab_size=100"});
  EXPECT_EQ(options.code, 2);
  for (const char* text :
       {"3 heads do not divide embed_dim 16", "model.num_experts: found '0', allowed: an integer >= 1", "found 'HGN', allowed: GNN, HGNN"}) {
    EXPECT_NE(options.err.find(text), std::string::npos) << options.err;
  }
  write("text.txt", "one line that is long enough\nand another one, too\n");
  const Outcome bytes = run({"in.yaml", "model.vocab_size=100"});
  EXPECT_EQ(bytes.code, 2);
  EXPECT_NE(bytes.err.find("it must be at least 256"), std::string::npos) << bytes.err;
}

}  // namespace
}  // namespace gnn_hpc
