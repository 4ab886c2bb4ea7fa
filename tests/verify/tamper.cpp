// SPDX-License-Identifier: Apache-2.0
// A verifier that accepts everything would pass all golden files. Here files of every system and kind are altered, one data set at
// a time, and each alteration must be found: a changed number, a tensor of zeros, a missing data set, another shape, NaN.
#include "base/error.hpp"
#include "io/hdf5_handle.hpp"
#include "io/smiles.hpp"
#include "models/systems.hpp"
#include "support/paths.hpp"
#include "verify/golden_file.hpp"
#include "verify/verify.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <functional>
#include <limits>
#include <map>
#include <sstream>

namespace gnn_hpc {
namespace {

/// A copy of a golden file of tests/data that may be altered.
class Copy {
 public:
  explicit Copy(const std::string& name) : source_(test::source_path("tests/data/" + name)), path_((folder_ / "altered.h5").string()) { restore(); }

  void restore() const { std::filesystem::copy_file(source_, path_, std::filesystem::copy_options::overwrite_existing); }
  const std::string& path() const { return path_; }

  struct Numbers {
    std::vector<hsize_t> shape;
    std::vector<double> values;
    bool integers = false, text = false;
    double largest() const {
      double worst = 0.0;
      for (const double v : values) worst = std::max(worst, std::abs(v));
      return worst;
    }
  };
  Numbers read(const std::string& name) const {
    const Hdf5Lock lock;
    const H5File file(H5Fopen(path_.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), path_);
    const H5Dataset set(H5Dopen2(file.get(), name.c_str(), H5P_DEFAULT), name);
    const H5Space space(H5Dget_space(set.get()), name);
    const H5Type type(H5Dget_type(set.get()), name);
    Numbers out;
    out.shape.resize(static_cast<std::size_t>(H5Sget_simple_extent_ndims(space.get())));
    H5Sget_simple_extent_dims(space.get(), out.shape.data(), nullptr);
    out.integers = H5Tget_class(type.get()) == H5T_INTEGER;
    out.text = H5Tget_class(type.get()) == H5T_STRING;
    if (out.text) return out;
    out.values.resize(static_cast<std::size_t>(H5Sget_simple_extent_npoints(space.get())));
    EXPECT_GE(H5Dread(set.get(), H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, out.values.data()), 0);
    return out;
  }
  void write(const std::string& name, const std::vector<double>& values) const {
    const Hdf5Lock lock;
    const H5File file(H5Fopen(path_.c_str(), H5F_ACC_RDWR, H5P_DEFAULT), path_);
    const H5Dataset set(H5Dopen2(file.get(), name.c_str(), H5P_DEFAULT), name);
    EXPECT_GE(H5Dwrite(set.get(), H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()), 0);
  }
  /// A data set or a whole group.
  void remove(const std::string& name) const {
    const Hdf5Lock lock;
    const H5File file(H5Fopen(path_.c_str(), H5F_ACC_RDWR, H5P_DEFAULT), path_);
    EXPECT_GE(H5Ldelete(file.get(), name.c_str(), H5P_DEFAULT), 0) << name;
  }
  void create(const std::string& name, const std::vector<hsize_t>& shape, const std::vector<double>& values, bool integers) const {
    const Hdf5Lock lock;
    const H5File file(H5Fopen(path_.c_str(), H5F_ACC_RDWR, H5P_DEFAULT), path_);
    const H5Space space(H5Screate_simple(static_cast<int>(shape.size()), shape.data(), nullptr), name);
    const H5Dataset set(
        H5Dcreate2(file.get(), name.c_str(), integers ? H5T_NATIVE_INT32 : H5T_NATIVE_DOUBLE, space.get(), H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT),
        name);
    EXPECT_GE(H5Dwrite(set.get(), H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()), 0);
  }

 private:
  test::TemporaryFolder folder_;
  std::filesystem::path source_;
  std::string path_;
};

struct Outcome {
  int code = 0;
  std::string text;
};

Outcome verify(const Copy& copy, const std::string& precision = "double") {
  std::ostringstream text;
  try {
    const int code = verify_command({copy.path(), precision, /*failures_only=*/true}, golden_checks(), text);
    return {code, text.str()};
  } catch (const Error& error) {
    return {static_cast<int>(error.code()), error.what()};
  }
}

/// One file of every system, kind and form of gradients.
constexpr const char* kFiles[] = {"comformer_iCom_heads.h5",
                                  "comformer_iCom_wide.h5",
                                  "comformer_iCom_single.h5",
                                  "comformer_eCom_heads.h5",
                                  "comformer_graphs.h5",
                                  "comformer_other.h5",
                                  "dmpnn_diffpool_plain.h5",
                                  "dmpnn_diffpool_pooled.h5",
                                  "dmpnn_diffpool_dense.h5",
                                  "dmpnn_diffpool_graphs.h5",
                                  "gvp_walks.h5",
                                  "gvp_attention.h5",
                                  "gvp_graphs.h5",
                                  "hgnn_moe_pairs.h5",
                                  "hgnn_moe_gnn.h5",
                                  "hgnn_moe_ghosts.h5",
                                  "hgnn_moe_couplers.h5",
                                  "hgnn_moe_generate.h5",
                                  "partoken_corrected.h5",
                                  "partoken_published.h5",
                                  "partoken_kmeans.h5"};

bool contains(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

/// What goes in: an altered input is found by what comes out, or refused, but need not be found where nothing depends on it.
bool is_input(const std::string& name) {
  return contains(name, "inputs/") || contains(name, "params/") || contains(name, "/raw") || name.starts_with("random/") ||
         name.starts_with("buffers/");
}
/// Random numbers, and the group's name says how many there must be.
bool has_any_shape(const std::string& name) { return name.starts_with("generator/"); }
bool is_gradient(const std::string& name) { return contains(name, "grads"); }

/// Gradients that are zero but for rounding, and the norms of their parameters after steps that Adam makes of that: they have no
/// digits.
class Noise {
 public:
  Noise(const Copy& copy, const std::vector<std::string>& names) {
    double largest = 0.0;
    std::map<std::string, Copy::Numbers> gradients;
    for (const std::string& name : names) {
      if (is_gradient(name)) largest = std::max(largest, (gradients[name] = copy.read(name)).largest());
    }
    for (const auto& [name, gradient] : gradients) {
      const auto tiny = [&](double v) { return std::abs(v) <= 1e-12 * largest; };
      const bool all = std::all_of(gradient.values.begin(), gradient.values.end(), tiny);
      const bool some = std::any_of(gradient.values.begin(), gradient.values.end(), [&](double v) { return v != 0.0 && tiny(v); });
      if (all) names_.push_back(name);
      if (some && (all || gradient.shape.size() == 1)) {
        for (const char* group : {"trajectory/final_norm/", "trajectory/param_norms/"}) names_.push_back(group + name.substr(name.find('/') + 1));
      }
    }
  }
  bool covers(const std::string& name) const { return std::find(names_.begin(), names_.end(), name) != names_.end(); }

 private:
  std::vector<std::string> names_;
};

/// Up to `most` names of each group, spread evenly, and no more than 24 of all.
std::vector<std::string> sample(const std::vector<std::string>& names, std::size_t most) {
  std::map<std::string, std::vector<std::string>> groups;
  for (const std::string& name : names) {
    const std::size_t slash = name.find('/');
    const std::string first = name.substr(0, slash);
    const bool nested = first == "trajectory" || contains(name, "/expected/") || contains(name, "/outputs/") || contains(name, "/grads/");
    groups[nested ? name.substr(0, name.find('/', slash + 1)) : first].push_back(name);
  }
  std::vector<std::string> out;
  for (const auto& [group, members] : groups) {
    const std::size_t count = std::min(most, members.size());
    for (std::size_t i = 0; i < count; ++i) out.push_back(members[i * members.size() / count]);
  }
  constexpr std::size_t kMost = 24;
  if (out.size() <= kMost) return out;
  std::vector<std::string> thinned;
  for (std::size_t i = 0; i < kMost; ++i) thinned.push_back(out[i * out.size() / kMost]);
  return thinned;
}

class Tamper : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (contains(GetParam(), "dmpnn_diffpool_graphs") && rdkit_version().empty()) GTEST_SKIP() << "built without RDKit";
    all_ = verify::GoldenFile(copy_.path()).names_under("");
  }
  /// Calls `alter` for a sample of the compared data sets, each in a fresh copy.
  void each(std::size_t most, const std::function<void(const std::string&, const Copy::Numbers&)>& alter) {
    for (const std::string& name : sample(all_, most)) {
      if (is_input(name)) continue;
      const Copy::Numbers numbers = copy_.read(name);
      if (numbers.text || numbers.values.empty()) continue;
      copy_.restore();
      alter(name, numbers);
    }
  }
  Copy copy_{GetParam()};
  std::vector<std::string> all_;
};

TEST_P(Tamper, AChangeOfAMillionthOfTheLargestElementIsFoundInDouble) {
  const Noise noise(copy_, all_);
  each(4, [&](const std::string& name, const Copy::Numbers& numbers) {
    if (noise.covers(name)) return;
    std::vector<double> changed = numbers.values;
    const double largest = numbers.largest();
    changed[changed.size() / 2] += numbers.integers ? 1.0 : 1e-6 * (largest > 0.0 ? largest : 1.0);
    copy_.write(name, changed);
    const Outcome outcome = verify(copy_);
    EXPECT_EQ(outcome.code, 1) << name << "\n" << outcome.text;
    EXPECT_NE(outcome.text.find(name), std::string::npos) << outcome.text;
  });
}

TEST_P(Tamper, ATensorSetToZeroIsFoundInBothPrecisions) {
  const Noise noise(copy_, all_);
  each(4, [&](const std::string& name, const Copy::Numbers& numbers) {
    if (noise.covers(name) || numbers.largest() == 0.0) return;
    copy_.write(name, std::vector<double>(numbers.values.size(), 0.0));
    for (const char* precision : {"double", "float"}) {
      const Outcome outcome = verify(copy_, precision);
      EXPECT_EQ(outcome.code, 1) << name << ", " << precision << "\n" << outcome.text;
    }
  });
}

TEST_P(Tamper, NaNIsFound) {
  each(3, [&](const std::string& name, const Copy::Numbers& numbers) {
    if (numbers.integers) return;
    std::vector<double> changed = numbers.values;
    changed.back() = std::numeric_limits<double>::quiet_NaN();
    copy_.write(name, changed);
    EXPECT_EQ(verify(copy_).code, 1) << name;
  });
}

// Also with more elements than the program has: the larger `raw_eval` that once was read beyond the end of ours.
TEST_P(Tamper, AnotherShapeIsADifferenceAndNeverACrash) {
  each(2, [&](const std::string& name, const Copy::Numbers& numbers) {
    if (has_any_shape(name)) return;
    std::vector<std::vector<hsize_t>> shapes{{numbers.values.size() + 3}, {1, 2, numbers.values.size()}};
    if (numbers.values.size() > 1) shapes.push_back({numbers.values.size() - 1});
    if (numbers.shape.size() == 2) shapes.push_back({numbers.shape[0] + 2, numbers.shape[1]});
    if (numbers.shape.size() == 2 && numbers.shape[0] != numbers.shape[1]) shapes.push_back({numbers.shape[1], numbers.shape[0]});
    for (const auto& shape : shapes) {
      std::size_t size = 1;
      for (const hsize_t extent : shape) size *= extent;
      std::vector<double> values(size, numbers.values[0]);
      std::copy_n(numbers.values.begin(), std::min(size, numbers.values.size()), values.begin());
      copy_.restore();
      copy_.remove(name);
      copy_.create(name, shape, values, numbers.integers);
      const Outcome outcome = verify(copy_);
      EXPECT_EQ(outcome.code, 1) << name << " with " << size << " elements\n" << outcome.text;
    }
  });
}

TEST(Tampering, AGroupThatLostItsDataSetsIsNamed) {
  const Copy copy("hgnn_moe_generate.h5");
  copy.remove("filter/1/kept_logits");
  const Outcome outcome = verify(copy);
  EXPECT_EQ(outcome.code, 1) << outcome.text;
  EXPECT_NE(outcome.text.find("filter/1/"), std::string::npos) << outcome.text;
}

TEST(Tampering, AStructureThatIsGoneIsMissedByItsFile) {
  const Copy copy("gvp_graphs.h5");
  copy.remove("structures/walk1.cif:A");
  const Outcome outcome = verify(copy);
  EXPECT_EQ(outcome.code, 3) << outcome.text;
  EXPECT_NE(outcome.text.find("structures/walk1.cif:CHAIN"), std::string::npos) << outcome.text;
}

TEST_P(Tamper, UnknownNamesAreNamed) {
  copy_.create("surprise", {2}, {1.0, 2.0}, false);
  const Outcome outcome = verify(copy_);
  EXPECT_EQ(outcome.code, 1) << outcome.text;
  EXPECT_NE(outcome.text.find("surprise"), std::string::npos) << outcome.text;
}

/// What must be there, by kind; a file without it is incomplete (exit code 3), and the message names it.
const std::map<std::string, std::vector<std::string>> kRequired{
    {"comformer_iCom_heads.h5",
     {"loss", "outputs", "outputs/prediction", "grads", "grads/fc_out.bias", "buffers_after", "buffers_after/att_layers.0.bn.running_var", "inputs",
      "inputs/y", "inputs/structures", "trajectory/loss", "trajectory/lr", "trajectory/beta1", "trajectory/final_norm",
      "trajectory/final_norm/fc_out.weight"}},
    {"comformer_iCom_wide.h5", {"grads_fingerprint/fc_out.weight"}},
    {"comformer_iCom_single.h5", {"loss", "grads/att_layers.3.bn_att.bias"}},
    {"comformer_eCom_heads.h5",
     {"loss", "outputs/prediction", "grads_fingerprint/equi_update.nlayer_2.fc.2.weight", "grads/equi_update.nlayer_1.fc.0.weight",
      "buffers_after/equi_update.bn.running_var", "trajectory/final_norm"}},
    {"comformer_graphs.h5", {"rutile/expected", "rutile/inputs", "rutile/expected/mult", "rutile/expected/lattice_vectors"}},
    {"comformer_other.h5", {"splits", "onecycle", "generator", "splits/n64_seed123/val", "onecycle/steps10/beta1"}},
    {"dmpnn_diffpool_plain.h5",
     {"loss", "loss/main", "outputs/raw", "outputs/prediction", "params", "grads", "grads/predictor.ffn.0.0.bias", "trajectory/loss", "trajectory/lr",
      "trajectory/final_norm"}},
    {"dmpnn_diffpool_pooled.h5", {"loss/entropy", "loss/link", "inputs/V", "grads"}},
    {"dmpnn_diffpool_dense.h5", {"outputs/raw_eval", "outputs/running_mean", "outputs/running_var", "grads"}},
    {"dmpnn_diffpool_graphs.h5",
     {"molecules", "polymers", "rejected", "splits", "molecules/rev", "polymers/dop", "splits/kfold5_n103_seed42/fold2_val"}},
    {"gvp_walks.h5",
     {"loss", "outputs", "outputs/logits", "params", "grads", "grads/classifier.6.bias", "grads/layers.1.conv.message_func.2.wv.weight",
      "inputs/batch", "trajectory/loss", "trajectory/param_norms", "trajectory/param_norms/W_v.1.wh.weight"}},
    {"gvp_attention.h5", {"loss", "outputs/logits", "grads/attention.2.bias", "inputs/seq", "grads"}},
    {"gvp_graphs.h5", {"structures", "structures/walk0.pdb:A/edge_index", "structures/walk2.pdb:A/seq"}},
    {"hgnn_moe_pairs.h5",
     {"loss", "loss/lm", "outputs", "outputs/logits", "params", "grads", "grads/output_norm.bias", "trajectory", "trajectory/loss",
      "trajectory/grad_norm", "trajectory/lr", "trajectory/final_norm"}},
    {"hgnn_moe_gnn.h5", {"grads", "loss/total", "inputs"}},
    {"hgnn_moe_ghosts.h5", {"outputs/saturation", "inputs/ghost_levels", "grads"}},
    {"hgnn_moe_couplers.h5", {"gnn_3/outputs/y", "gnn_3/grads", "gnn_3/grads/X", "all_pairs_4/outputs/hyperedge_ids", "all_pairs_4/grads"}},
    {"hgnn_moe_generate.h5", {"outputs/greedy", "outputs/logits", "filter", "params"}},
    {"partoken_corrected.h5",
     {"loss", "loss/psc", "outputs", "outputs/logits", "outputs/assign", "outputs/code", "outputs/presence", "outputs/buffers_after",
      "outputs/buffers_after/codebook.embeddings", "params", "grads", "grads/global_cluster_attn.q.weight", "inputs/batch", "trajectory/loss",
      "trajectory/param_norms/fw_gate.ln.bias"}},
    {"partoken_published.h5", {"loss/card", "outputs/logits_quiet", "outputs/buffers_after/codebook.ema_counts", "grads"}},
    {"partoken_kmeans.h5",
     {"inputs/samples", "inputs/perm", "inputs/refill", "outputs", "outputs/centres", "outputs/refills_used", "outputs/few_centres"}}};

TEST_P(Tamper, WhatIsMissingIsNamed) {
  for (const std::string& name : kRequired.at(GetParam())) {
    copy_.restore();
    copy_.remove(name);
    const Outcome outcome = verify(copy_);
    EXPECT_EQ(outcome.code, 3) << name << "\n" << outcome.text;
    EXPECT_NE(outcome.text.find(name.substr(name.rfind('/') + 1)), std::string::npos) << name << "\n" << outcome.text;
  }
}

TEST_P(Tamper, AFileOfInputsAndParametersAloneIsIncomplete) {
  std::vector<std::string> removed;
  {
    const verify::GoldenFile file(copy_.path());
    for (const std::string& group : file.groups_in("")) {
      if (group == "inputs" || group == "params") continue;
      if (!file.has_group(group + "/inputs")) {
        removed.push_back(group);
      } else {
        for (const char* part : {"/expected", "/outputs", "/grads"}) {
          if (file.has_group(group + part)) removed.push_back(group + part);
        }
      }
    }
    if (file.has("loss")) removed.emplace_back("loss");
  }
  for (const std::string& name : removed) copy_.remove(name);
  for (const char* precision : {"double", "float"}) {
    const Outcome outcome = verify(copy_, precision);
    EXPECT_EQ(outcome.code, 3) << outcome.text;
  }
}

INSTANTIATE_TEST_SUITE_P(Files, Tamper, testing::ValuesIn(kFiles), [](const testing::TestParamInfo<const char*>& file) {
  std::string name = std::filesystem::path(file.param).stem().string();
  std::replace_if(
      name.begin(), name.end(), [](unsigned char c) { return std::isalnum(c) == 0; }, '_');
  return name;
});

// Six true gradients of this file lie between 1e-9 and 1e-8 of the largest; set to zero, they once passed in single precision.
TEST(Tampering, TensorsFarBelowTheLargestGradientAreCompared) {
  const Copy copy("comformer_iCom_single.h5");
  for (const char* name : {"bn_att.bias", "lin_value.bias", "bn_att.weight", "lin_query.bias", "lin_msg_update.0.bias", "lin_key.bias"}) {
    const std::string full = std::string("grads/att_layers.3.") + name;
    copy.restore();
    copy.write(full, std::vector<double>(copy.read(full).values.size(), 0.0));
    for (const char* precision : {"double", "float"}) EXPECT_EQ(verify(copy, precision).code, 1) << full << ", " << precision;
    copy.restore();
    std::vector<double> tenfold = copy.read(full).values;
    for (double& v : tenfold) v *= 10.0;
    copy.write(full, tenfold);
    EXPECT_EQ(verify(copy).code, 1) << full << " tenfold";  // not in single: there the file's noise says that they have no digits
  }
}

TEST(Tampering, ParametersThatNothingDependsOnMustBeFinite) {
  const Copy copy("hgnn_moe_one_expert.h5");
  std::vector<std::string> unused;
  {
    const verify::GoldenFile file(copy.path());
    for (const std::string& name : file.names_under("params")) {
      if (!file.has("grads/" + name.substr(7))) unused.push_back(name);
    }
  }
  EXPECT_FALSE(unused.empty());
  for (const std::string& name : unused) {
    copy.restore();
    std::vector<double> values = copy.read(name).values;
    if (values.empty()) continue;
    values[0] = std::numeric_limits<double>::quiet_NaN();
    copy.write(name, values);
    const Outcome outcome = verify(copy);
    EXPECT_EQ(outcome.code, 3) << name;
    EXPECT_NE(outcome.text.find(name), std::string::npos) << outcome.text;
  }
}

}  // namespace
}  // namespace gnn_hpc
