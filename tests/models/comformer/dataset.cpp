// SPDX-License-Identifier: Apache-2.0
#include "models/comformer/dataset.hpp"

#include "base/error.hpp"
#include "graph/split.hpp"
#include "support/paths.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <sstream>

namespace gnn_hpc::comformer {
namespace {

namespace fs = std::filesystem;

/// A CSV of cubic CsCl-like crystals; record i has lattice constant 3 + i/100 and target energy = i, gap = -i (missing for i % 7 == 3).
/// Records 5 and 15 are bad.
std::string csv_of(int count, double shift = 0.0) {
  std::string out = "material_id,energy,gap,cif\n";
  for (int i = 0; i < count; ++i) {
    const double a = 3.0 + 0.01 * i + shift;
    const std::string second = i == 5 ? "Xx" : "Cl";
    out += fmt::format(
        "m{},{},{},\"data_m\n_cell_length_a {}\n_cell_length_b {}\n_cell_length_c {}\n_cell_angle_alpha 90\n"
        "_cell_angle_beta 90\n_cell_angle_gamma {}\nloop_\n_atom_site_type_symbol\n_atom_site_label\n"
        "_atom_site_symmetry_multiplicity\n_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\n"
        "_atom_site_occupancy\nCs Cs0 1 0.0 0.0 0.0 1\n{} {}1 1 0.5 0.5 {} 1\n\"\n",
        i, i == 15 ? "not a number" : std::to_string(i), i % 7 == 3 ? "" : std::to_string(-i), a, a, a, 90, second, second, i % 2 ? 0.5 : 1.5);
  }
  return out;
}

class Dataset : public ::testing::Test {
 protected:
  void SetUp() override {
    put("data.csv", csv_of(40));
    options.source.paths = {(folder / "data.csv").string()};
    options.source.targets = {"energy"};
    options.cache_dir = (folder / "cache").string();
    options.max_bad_fraction = 0.2;
    graph.max_neighbors = 8;
  }
  void put(const std::string& name, const std::string& text) { std::ofstream(folder / name) << text; }
  CrystalDataset opened() const {
    CrystalDataset dataset(options, graph, {});
    dataset.open(Comm::self(), DataUse::training, "task: comformer\n");
    return dataset;
  }
  std::size_t caches() const { return static_cast<std::size_t>(std::distance(fs::directory_iterator(options.cache_dir), fs::directory_iterator())); }

  test::TemporaryFolder folder;
  DataOptions options;
  CrystalGraphOptions graph;
};

TEST_F(Dataset, SplitsAndScalesLikeTheReference) {
  const auto d = opened();
  ASSERT_EQ(d.num_samples(), 38);
  const auto order = python_shuffled(38, 123);
  EXPECT_EQ(d.splits().train, std::vector<std::int64_t>(order.begin(), order.begin() + 30));
  EXPECT_EQ(d.splits().validation, std::vector<std::int64_t>(order.begin() + 30, order.begin() + 33));
  EXPECT_EQ(d.splits().test, std::vector<std::int64_t>(order.begin() + 33, order.end()));
  EXPECT_EQ(d.id(5), "m6");  // m5 is bad
  double sum = 0.0, squares = 0.0;
  for (const auto s : d.splits().train) sum += d.labels(s)[0];
  for (const auto s : d.splits().train) squares += std::pow(d.labels(s)[0] - sum / 30, 2);
  EXPECT_NEAR(d.scaler().mean[0], sum / 30, 1e-12);
  EXPECT_NEAR(d.scaler().std[0], std::sqrt(squares / 30), 1e-12);
}

TEST_F(Dataset, BadRecordsKeepTheirPlace) {
  const auto d = opened();
  const auto bad = d.skipped();
  ASSERT_EQ(bad.size(), 2U);
  EXPECT_EQ(bad[0].id, "m5");
  EXPECT_EQ(bad[1].id, "m15");
  EXPECT_GT(bad[1].line, bad[0].line);
  EXPECT_NE(bad[1].reason.find("energy"), std::string::npos) << bad[1].reason;
  const auto records = d.records();
  ASSERT_EQ(records.size(), 40U);
  for (int i = 0; i < 40; ++i) {
    EXPECT_EQ(records[static_cast<std::size_t>(i)].id, "m" + std::to_string(i));
    EXPECT_EQ(records[static_cast<std::size_t>(i)].sample, i == 5 || i == 15 ? -1 : i - (i > 5) - (i > 15));
  }
}

TEST_F(Dataset, BatchEqualsTheGraphsBuiltDirectly) {
  const auto d = opened();
  HostCrystalBatch b;
  const std::vector<std::int64_t> samples{7, 8, 30, 2};
  for (int repeat = 0; repeat < 2; ++repeat) d.collate(samples, b);  // into used storage
  ASSERT_EQ(b.num_graphs, 4);
  ASSERT_EQ(b.num_nodes, 8);
  EXPECT_EQ(b.samples, samples);
  EXPECT_EQ(b.loss_weight, 4.0);
  CrystalGraphWorkspace workspace;
  CrystalGraph expected;
  std::size_t edge = 0;
  for (std::size_t g = 0; g < 4; ++g) {
    const int i = std::stoi(d.id(samples[g]).substr(1));
    const double a = 3.0 + 0.01 * i;
    const std::array<double, 9> cell{a, 0, 0, 0, a, 0, 0, 0, a};
    const std::vector<double> frac{0, 0, 0, 0.5, 0.5, 0.5};
    build_crystal_graph(cell, frac, graph, workspace, expected);
    EXPECT_EQ(b.edge_ptr[g + 1] - b.edge_ptr[g], expected.num_edges());
    EXPECT_EQ(b.atom_row[2 * g], 55);
    EXPECT_EQ(b.atom_row[2 * g + 1], 17);
    for (std::size_t e = 0; e < expected.u.size(); ++e, ++edge) {
      EXPECT_EQ(b.src[edge], expected.u[e] + b.graph_ptr[g]);
      EXPECT_EQ(b.dst[edge], expected.v[e] + b.graph_ptr[g]);
      EXPECT_EQ(b.mult[edge], expected.mult[e]);
      const auto r = edge_vector(cell, &frac[3 * static_cast<std::size_t>(expected.u[e])], &frac[3 * static_cast<std::size_t>(expected.v[e])],
                                 &expected.image[3 * e]);
      for (std::size_t c = 0; c < 3; ++c) EXPECT_NEAR(b.edge_vec[3 * edge + c], r[c], 1e-12);
    }
    for (std::size_t s = 0; s < 3; ++s)
      EXPECT_NEAR(std::hypot(b.lattice[9 * g + 3 * s], b.lattice[9 * g + 3 * s + 1], b.lattice[9 * g + 3 * s + 2]), a, 1e-12);
    EXPECT_DOUBLE_EQ(b.target[g], d.scaler().scale(i, 0));
  }
  EXPECT_EQ(edge, static_cast<std::size_t>(b.num_edges));
  d.collate({}, b);
  EXPECT_EQ(b.num_graphs, 0);
  EXPECT_EQ(b.num_edges, 0);
  EXPECT_EQ(b.loss_weight, 0.0);
}

TEST_F(Dataset, SeveralTargetsAreMasked) {
  options.source.targets = {"energy", "gap"};
  const auto d = opened();
  ASSERT_EQ(d.num_targets(), 2U);
  HostCrystalBatch b;
  d.collate(std::vector<std::int64_t>{2, 3}, b);
  EXPECT_EQ(b.num_targets, 2);
  EXPECT_EQ(b.loss_weight, 3.0);
  EXPECT_TRUE(std::isnan(b.target[3]));
  EXPECT_FALSE(std::isnan(b.target[2]));
}

TEST_F(Dataset, Classification) {
  options.classification = "threshold";
  options.classification_threshold = 20.0;
  const auto d = opened();
  EXPECT_EQ(d.labels(0)[0], 0.0);
  EXPECT_EQ(d.labels(18)[0], 0.0);  // m20: not above
  EXPECT_EQ(d.id(18), "m20");
  EXPECT_EQ(d.labels(19)[0], 1.0);
  EXPECT_EQ(d.scaler().std[0], 1.0);
  options.classification = "label";
  EXPECT_THROW(opened(), Error);
  EXPECT_EQ(caches(), 1U) << "labels are made when the cache is opened";
}

TEST_F(Dataset, EveryOptionAndEveryByteCounts) {
  opened();
  opened();
  EXPECT_EQ(caches(), 1U);
  graph.max_neighbors = 9;
  opened();
  EXPECT_EQ(caches(), 2U);
  graph.cutoff = 5.0;
  opened();
  EXPECT_EQ(caches(), 3U);
  graph.use_lattice = false;
  opened();
  EXPECT_EQ(caches(), 4U);
  options.source.targets = {"gap"};
  opened();
  EXPECT_EQ(caches(), 5U);
  std::string text = csv_of(40);
  text[text.find("3.2")] = '4';  // one byte of one structure
  put("data.csv", text);
  opened();
  EXPECT_EQ(caches(), 6U);
  options.split_seed = 7;  // not a matter of graphs
  options.train_ratio = 0.7;
  options.test_ratio = 0.2;
  opened();
  EXPECT_EQ(caches(), 6U);
}

TEST_F(Dataset, PartsFromFiles) {
  put("val.csv", csv_of(8, 0.5));
  options.source.paths.clear();
  options.train = {(folder / "data.csv").string()};
  options.validation = {(folder / "val.csv").string()};
  const auto d = opened();
  EXPECT_EQ(d.num_samples(), 38 + 7);
  EXPECT_EQ(d.splits().validation.size(), 7U);
  EXPECT_EQ(d.splits().validation.front(), 38);
  EXPECT_EQ(d.id(38), "m0");
  EXPECT_EQ(d.splits().test.size(), 3U);  // a tenth of the training file
  EXPECT_EQ(d.splits().train.size(), 35U);
  HostCrystalBatch b;
  d.collate(std::vector<std::int64_t>{0, 38, 1}, b);  // from both caches
  EXPECT_EQ(b.num_graphs, 3);
  EXPECT_NEAR(
      b.lattice[9] + b.lattice[12] + b.lattice[15] + b.lattice[10] + b.lattice[13] + b.lattice[16] + b.lattice[11] + b.lattice[14] + b.lattice[17],
      3 * 3.5, 1e-9);
  options.test = {(folder / "val.csv").string()};
  const auto e = opened();
  EXPECT_EQ(e.splits().test.size(), 7U);
  EXPECT_EQ(e.splits().train.size(), 38U);
  EXPECT_EQ(caches(), 2U);
}

TEST_F(Dataset, PartsGivenByTheUser) {
  std::istringstream rows(csv_of(40));
  std::string line, text;
  std::getline(rows, line);
  text = line + ",part\n";
  std::string record;
  for (int i = 0; std::getline(rows, line);) {  // the text of a structure has line ends
    record += line;
    if (std::count(record.begin(), record.end(), '"') % 2 == 0) {
      text += record + (i % 4 == 0 ? ",val\n" : i % 4 == 1 ? ",test\n" : ",train\n");
      record.clear();
      ++i;
    } else {
      record += '\n';
    }
  }
  put("data.csv", text);
  options.split = "column";
  options.split_column = "part";
  const auto d = opened();
  EXPECT_EQ(d.splits().train.size(), 19U);  // m15 is bad
  for (const auto s : d.splits().validation) EXPECT_EQ(std::stoi(d.id(s).substr(1)) % 4, 0);
  for (const auto s : d.splits().test) EXPECT_EQ(std::stoi(d.id(s).substr(1)) % 4, 1);
  EXPECT_EQ(d.splits().test.size(), 9U);  // m5 is bad
  options.split_column = "cif";
  EXPECT_THROW(opened(), Error);
  options.split = "file";
  put("parts.json", R"({"train": ["m2", "m1"], "val": [4], "test": ["m39"]})");
  options.split_file = {(folder / "parts.json").string()};
  const auto f = opened();
  EXPECT_EQ(f.splits().train, (std::vector<std::int64_t>{2, 1}));
  EXPECT_EQ(f.splits().validation, std::vector<std::int64_t>{4});
  EXPECT_EQ(f.splits().test, std::vector<std::int64_t>{37});
  options.split = "ratios";
  options.split_file.clear();
  options.train_size = "7";
  EXPECT_EQ(opened().splits().train.size(), 7U);
  options.train_size = "full";
  options.group_by = "formula";  // all are CsCl
  EXPECT_THROW(opened(), Error);
  options.group_by = "part";  // three groups
  options.train_ratio = 0.34;
  options.validation_ratio = 0.34;
  options.test_ratio = 0.32;
  EXPECT_EQ(opened().splits().train.size() + opened().splits().validation.size() + opened().splits().test.size(), 38U);
  options.group_by = "no column";
  EXPECT_THROW(opened(), Error);
}

TEST_F(Dataset, PredictionNeedsNoLabels) {
  options.source.targets = {"energy"};
  CrystalDataset d(options, graph, {});
  d.open(Comm::self(), DataUse::prediction);
  EXPECT_EQ(d.num_samples(), 39);  // the record without a readable label is a structure all the same
  EXPECT_EQ(d.records().size(), 40U);
  EXPECT_EQ(d.labels(0)[0], 0.0);
  EXPECT_TRUE(std::isnan(d.labels(14)[0]));
  EXPECT_EQ(d.id(14), "m15");
  options.source.targets = {"conductivity"};
  CrystalDataset unknown(options, graph, {});
  unknown.open(Comm::self(), DataUse::prediction);
  EXPECT_TRUE(std::isnan(unknown.labels(0)[0]));
  HostCrystalBatch b;
  unknown.collate(std::vector<std::int64_t>{0}, b);
  EXPECT_EQ(b.loss_weight, 0.0);
  unknown.set_state({{{"label_mean", {2.0}}, {"label_std", {3.0}}}, {}});
  EXPECT_EQ(unknown.scaler().mean, std::vector<double>{2.0});
  EXPECT_THROW(unknown.set_state({{{"label_mean", {2.0, 1.0}}, {"label_std", {3.0, 1.0}}}, {}}), Error);
}

TEST_F(Dataset, OpensWhatIsBuiltAndBuildsNothing) {
  CrystalDataset d(options, graph, {});
  EXPECT_FALSE(d.open(Comm::self(), DataUse::training_if_built));
  EXPECT_FALSE(fs::exists(options.cache_dir));
  opened();
  EXPECT_TRUE(d.open(Comm::self(), DataUse::training_if_built));
  EXPECT_EQ(d.num_samples(), 38);
  options.source.paths = {"none.csv"};
  EXPECT_THROW(opened(), Error);
}

TEST_F(Dataset, TooFewForThreeParts) {
  put("data.csv", csv_of(4));
  EXPECT_THROW(opened(), Error);
}

TEST_F(Dataset, TooManyBadRecords) {
  options.max_bad_fraction = 0.04;
  EXPECT_THROW(opened(), Error);
}

TEST_F(Dataset, UnknownTargetIsAnError) {
  options.source.targets = {"conductivity"};
  try {
    opened();
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Exit::data);
    EXPECT_NE(std::string(error.what()).find("energy"), std::string::npos) << error.what();
  }
}

TEST(DataOptions, ReportsWhatDoesNotFit) {
  const auto parse = [](const std::string& text) {
    Config root = Config::from_text(text, "input.yaml");
    DataOptions::parse(root.block("data", ""));
    root.done();
    root.finish();
  };
  EXPECT_NO_THROW(parse("data: {path: a.csv, targets: energy}"));
  EXPECT_THROW(parse("data: {targets: energy}"), Error);
  EXPECT_THROW(parse("data: {path: a.csv}"), Error);
  EXPECT_NO_THROW(parse("data: {path: a.csv, train: b.csv, validation: c.csv, targets: energy}"));
  EXPECT_THROW(parse("data: {path: a.csv, test: c.csv, targets: energy}"), Error);
  EXPECT_THROW(parse("data: {path: a.csv, targets: energy, train_ratio: 0.9}"), Error);
  EXPECT_THROW(parse("data: {path: a.csv, targets: energy, train_ratio: 1.0}"), Error);
  EXPECT_THROW(parse("data: {path: a.csv, targets: energy, cach_dir: x}"), Error);
}

}  // namespace
}  // namespace gnn_hpc::comformer
