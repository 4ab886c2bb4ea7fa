// SPDX-License-Identifier: Apache-2.0
// Every golden file through `verify`: the made-up ones of tests/data, and those beside the repository where they are.
#include "models/systems.hpp"
#include "support/paths.hpp"
#include "verify/verify.hpp"

#include "base/error.hpp"
#include "io/hdf5_handle.hpp"
#include "io/smiles.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <sstream>
#include <string>
#include <tuple>
#include <vector>

namespace gnn_hpc {
namespace {

using Case = std::tuple<std::string, std::string>;  // path, precision

void expect_verified(const std::filesystem::path& path, const std::string& precision) {
  std::ostringstream text;
  EXPECT_EQ(verify_command({path.string(), precision, /*failures_only=*/true}, golden_checks(), text), 0) << text.str();
}

/// Texts of molecules need RDKit.
bool readable(const std::string& file) { return file.find("dmpnn_diffpool_graphs") == std::string::npos || !rdkit_version().empty(); }

std::vector<std::string> files_of(const std::filesystem::path& folder) {
  std::vector<std::string> out;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() == ".h5") out.push_back(entry.path().filename().string());
  }
  std::sort(out.begin(), out.end());
  return out;
}

std::string case_name(const testing::TestParamInfo<Case>& info) {
  std::string name = std::get<0>(info.param) + "_" + std::get<1>(info.param);
  for (char& c : name) c = std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
  return name;
}

class Committed : public testing::TestWithParam<Case> {};
TEST_P(Committed, Holds) {
  if (!readable(std::get<0>(GetParam()))) GTEST_SKIP() << "built without RDKit";
  expect_verified(test::source_path("tests/data/" + std::get<0>(GetParam())), std::get<1>(GetParam()));
}
INSTANTIATE_TEST_SUITE_P(Golden, Committed,
                         testing::Combine(testing::ValuesIn(files_of(test::source_path("tests/data"))), testing::Values("double", "float")),
                         case_name);

/// The files beside the repository of the systems that are built. Named here, as ctest wants the names before it knows whether the files are
/// there; `Golden.EverySharedFileIsRun` sees to it that none is left out.
const std::vector<std::string> kShared{"comformer_graphs.h5",
                                       "comformer_misc.h5",
                                       "comformer_iCom_tiny.h5",
                                       "comformer_iCom_small.h5",
                                       "comformer_iCom_heads.h5",
                                       "comformer_iCom_edge.h5",
                                       "comformer_eCom_tiny.h5",
                                       "comformer_eCom_small.h5",
                                       "comformer_eCom_edge.h5",
                                       "comformer_eCom_eval.h5",
                                       "comformer_eCom_batch.h5",
                                       "comformer_iCom_eval.h5",
                                       "comformer_iCom_batch.h5",
                                       "dmpnn_diffpool_batch64.h5",
                                       "dmpnn_diffpool_batch64_bn.h5",
                                       "dmpnn_diffpool_batch64_levels2.h5",
                                       "dmpnn_diffpool_edge.h5",
                                       "dmpnn_diffpool_full300.h5",
                                       "dmpnn_diffpool_graphs.h5",
                                       "dmpnn_diffpool_hard.h5",
                                       "dmpnn_diffpool_multiclass.h5",
                                       "dmpnn_diffpool_noedges.h5",
                                       "dmpnn_diffpool_plain.h5",
                                       "dmpnn_diffpool_tiny.h5",
                                       "dmpnn_diffpool_tiny_dense.h5",
                                       "dmpnn_diffpool_tiny_legacy.h5",
                                       "dmpnn_diffpool_weighted.h5",
                                       "gvp_edge.h5",
                                       "gvp_full.h5",
                                       "gvp_graphs.h5",
                                       "gvp_graphs_field.h5",
                                       "gvp_graphs_field_gaps.h5",
                                       "gvp_real.h5",
                                       "gvp_seqin.h5",
                                       "gvp_tiny.h5",
                                       "hgnn_moe_coupler.h5",
                                       "hgnn_moe_curve_gnn.h5",
                                       "hgnn_moe_curve_hgnn.h5",
                                       "hgnn_moe_data.h5",
                                       "hgnn_moe_edge_cancelling_weights.h5",
                                       "hgnn_moe_edge_masked_rows.h5",
                                       "hgnn_moe_edge_no_target.h5",
                                       "hgnn_moe_edge_one_expert_gnn.h5",
                                       "hgnn_moe_edge_one_expert_hgnn.h5",
                                       "hgnn_moe_edge_two_experts_triplets.h5",
                                       "hgnn_moe_edge_unweighted.h5",
                                       "hgnn_moe_generate.h5",
                                       "hgnn_moe_ghost_two_active.h5",
                                       "hgnn_moe_option_eval_with_dropout.h5",
                                       "hgnn_moe_option_orthogonality_mean.h5",
                                       "hgnn_moe_option_orthogonality_pool.h5",
                                       "hgnn_moe_option_paper_norm.h5",
                                       "hgnn_moe_option_softplus.h5",
                                       "hgnn_moe_real_gnn.h5",
                                       "hgnn_moe_real_hgnn.h5",
                                       "hgnn_moe_tiny_gnn.h5",
                                       "hgnn_moe_tiny_hgnn_pairs.h5",
                                       "hgnn_moe_tiny_hgnn_pairs4.h5",
                                       "hgnn_moe_tiny_hgnn_triplets.h5",
                                       "partoken_bypass.h5",
                                       "partoken_corrected.h5",
                                       "partoken_edge.h5",
                                       "partoken_full.h5",
                                       "partoken_kmeans.h5",
                                       "partoken_quantized.h5",
                                       "partoken_real.h5",
                                       "partoken_tiny.h5"};

class Shared : public testing::TestWithParam<Case> {};
TEST_P(Shared, Holds) {
  const std::filesystem::path path = test::shared_path("reference/fixtures/" + std::get<0>(GetParam()));
  if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " is not here (set GNN_HPC_SHARED)";
  if (!readable(std::get<0>(GetParam()))) GTEST_SKIP() << "built without RDKit";
  expect_verified(path, std::get<1>(GetParam()));
}
INSTANTIATE_TEST_SUITE_P(Golden, Shared, testing::Combine(testing::ValuesIn(kShared), testing::Values("double", "float")), case_name);

TEST(Golden, EverySharedFileIsRun) {
  const std::filesystem::path folder = test::shared_path("reference/fixtures");
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << folder << " is not here (set GNN_HPC_SHARED)";
  for (const std::string& name : files_of(folder)) {
    EXPECT_TRUE(std::find(kShared.begin(), kShared.end(), name) != kShared.end()) << name << " is run by no test";
  }
}

TEST(Golden, SystemsThatAreNotBuiltAreRefusedInOneSentence) {
  std::vector<verify::GoldenCheck> others;
  for (const verify::GoldenCheck& check : golden_checks()) {
    if (check.system != "gvp") others.push_back(check);
  }
  std::ostringstream text;
  try {
    verify_command({test::source_path("tests/data/gvp_gate.h5"), "double", true}, others, text);
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Exit::data);
    EXPECT_NE(std::string(error.what()).find("known:"), std::string::npos) << error.what();
  }
}

/// Adds `change` times the largest entry to the middle entry of a data set.
void alter(const std::filesystem::path& path, const std::string& name, double change) {
  const Hdf5Lock lock;
  const H5File file(H5Fopen(path.c_str(), H5F_ACC_RDWR, H5P_DEFAULT), path.string());
  const H5Dataset set(H5Dopen2(file.get(), name.c_str(), H5P_DEFAULT), name);
  const H5Space space(H5Dget_space(set.get()), name);
  std::vector<double> values(static_cast<std::size_t>(H5Sget_simple_extent_npoints(space.get())));
  ASSERT_GE(H5Dread(set.get(), H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()), 0);
  double largest = 0.0;
  for (const double v : values) largest = std::max(largest, std::abs(v));
  values[values.size() / 2] += change * largest;
  ASSERT_GE(H5Dwrite(set.get(), H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()), 0);
}

// A verifier that accepts everything would pass all tests above.
TEST(Golden, AlteredNumbersFail) {
  const test::TemporaryFolder folder;
  const std::filesystem::path path = folder / "altered.h5";
  struct Alteration {
    const char *file, *name;
    double change;
  };
  for (const Alteration& a : {Alteration{"comformer_iCom_heads.h5", "outputs/prediction", 3e-9},
                              {"comformer_iCom_heads.h5", "outputs/att2/gate", 3e-9},
                              {"comformer_iCom_heads.h5", "outputs/edge/sum", 3e-9},
                              {"comformer_iCom_heads.h5", "loss", 3e-9},
                              {"comformer_iCom_heads.h5", "grads/rbf_angle.1.weight", 3e-9},
                              {"comformer_iCom_heads.h5", "buffers_after/edge_update_layer.bn_att.running_var", 3e-9},
                              {"comformer_iCom_heads.h5", "trajectory/loss", 3e-8},
                              {"comformer_iCom_heads.h5", "trajectory/final_norm/fc_out.weight", 3e-8},
                              {"comformer_iCom_heads.h5", "trajectory/final_norm/edge_update_layer.lemb.weight", 3e-8},
                              {"comformer_iCom_heads.h5", "trajectory/beta1", 1e-10},
                              {"comformer_iCom_heads.h5", "inputs/x", 1e-6},
                              {"comformer_iCom_heads.h5", "inputs/y", 1e-6},
                              {"comformer_iCom_all.h5", "params/att_layers.1.lin_key.weight", 1e-6},
                              {"comformer_eCom_heads.h5", "outputs/prediction", 3e-9},
                              {"comformer_eCom_heads.h5", "grads_fingerprint/equi_update.nlayer_1.fc.2.weight", 3e-7},
                              {"comformer_eCom_heads.h5", "grads/equi_update.nlayer_2.fc.0.weight", 3e-9},
                              {"comformer_eCom_heads.h5", "buffers_after/equi_update.bn.running_var", 3e-9},
                              {"comformer_eCom_heads.h5", "trajectory/final_norm/equi_update.node_linear.weight", 3e-8},
                              {"comformer_eCom_all.h5", "outputs/equi/f2", 3e-9},
                              {"comformer_iCom_wide.h5", "grads_fingerprint/att_layers.0.key_update.0.weight", 3e-7},
                              {"comformer_graphs.h5", "rutile/expected/image", 2.0},
                              {"comformer_graphs.h5", "rutile/expected/vec", 1e-11},
                              {"comformer_graphs.h5", "rutile/inputs/lattice", 1e-9},
                              {"comformer_other.h5", "splits/n64_seed123/val", 0.2},
                              {"comformer_other.h5", "onecycle/steps10/lr", 1e-11},
                              {"hgnn_moe_pairs.h5", "outputs/logits", 3e-9},
                              {"hgnn_moe_pairs.h5", "outputs/layer0.expert1.attention_probs", 3e-9},
                              {"hgnn_moe_pairs.h5", "loss/lm", 3e-9},
                              {"hgnn_moe_pairs.h5", "grads/model_layers.0.coupler.hyperedge_weights", 3e-9},
                              {"hgnn_moe_pairs.h5", "trajectory/loss", 3e-8},
                              {"hgnn_moe_ghosts.h5", "outputs/saturation", 3e-9},
                              {"hgnn_moe_gnn.h5", "outputs/layer0.coupler.conv1.gate", 3e-9},
                              {"hgnn_moe_specialised.h5", "loss/extra", 3e-9},
                              {"hgnn_moe_couplers.h5", "all_pairs_4/outputs/conv0", 3e-9},
                              {"hgnn_moe_couplers.h5", "gnn_3/grads/X", 3e-9},
                              {"dmpnn_diffpool_graphs.h5", "molecules/V", 1e-11},
                              {"dmpnn_diffpool_graphs.h5", "molecules/E", 1.0},
                              {"dmpnn_diffpool_graphs.h5", "molecules/edge_index", 0.1},
                              {"dmpnn_diffpool_graphs.h5", "polymers/rev", 0.1},
                              {"dmpnn_diffpool_graphs.h5", "polymers/edge_weight", 1e-11},
                              {"dmpnn_diffpool_graphs.h5", "polymers/dop", 1e-11},
                              {"dmpnn_diffpool_graphs.h5", "splits/kfold5_n103_seed42/fold2_val", 0.2},
                              {"dmpnn_diffpool_graphs.h5", "splits/holdout_n70_seed42/train", 0.2}}) {
    if (!readable(a.file)) continue;
    std::filesystem::copy_file(test::source_path(std::string("tests/data/") + a.file), path, std::filesystem::copy_options::overwrite_existing);
    alter(path, a.name, a.change);
    std::ostringstream text;
    EXPECT_EQ(verify_command({path.string(), "double", /*failures_only=*/true}, golden_checks(), text), 1) << a.file << " " << a.name << "\n"
                                                                                                           << text.str();
  }
}

}  // namespace
}  // namespace gnn_hpc
