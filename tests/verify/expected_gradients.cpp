// SPDX-License-Identifier: Apache-2.0
#include "verify/expected_gradients.hpp"

#include "base/error.hpp"
#include "io/hdf5.hpp"
#include "support/paths.hpp"
#include "verify/generator.hpp"
#include "verify/trajectory.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace gnn_hpc::verify {
namespace {

using Values = std::vector<double>;

/// A file with the given data sets, all one-dimensional.
class File {
 public:
  explicit File(const std::vector<std::pair<std::string, Values>>& sets, const std::string& noisy = {}, double noise = 0.0,
                double noise_single = -1.0) {
    const std::string path = folder_ / "gradients.h5";
    Hdf5Writer out(path);
    out.attribute("/", "system", std::string("comformer"));
    out.attribute("/", "kind", std::string("model"));
    for (const auto& [name, values] : sets) out.write<double>(name, values);
    if (!noisy.empty()) out.attribute(noisy, "noise", noise);
    if (noise_single >= 0.0) out.attribute(noisy, "noise_single", noise_single);
    out.commit();
    file_.emplace(path);
  }
  ExpectedGradients gradients(const std::vector<GradientName>& names, bool single_precision = false) {
    return {*file_, "", names, Tolerances::of(single_precision)};
  }

 private:
  test::TemporaryFolder folder_;
  std::optional<GoldenFile> file_;
};

bool holds(const ExpectedGradients& gradients, const std::string& name, const Values& ours) {
  Report report;
  gradients.compare(name, {{ours.size()}, ours}, "", report);
  return report.passed();
}

TEST(ExpectedGradients, SmallTensorsAreComparedWithThemselves) {
  for (const double size : {1.0, 1e-6, 1e-9, 2e-12}) {  // of the largest of all gradients
    File file({{"grads/large", {1.0, -1.0}}, {"grads/small", {size, 0.5 * size}}});
    for (const bool single : {false, true}) {
      const ExpectedGradients g = file.gradients({{"large", {2}}, {"small", {2}}}, single);
      const double rtol = single ? 1e-3 : 1e-9;
      EXPECT_TRUE(holds(g, "small", {size * (1.0 + 0.9 * rtol), 0.5 * size}));
      EXPECT_FALSE(holds(g, "small", {size * (1.0 + 1.1 * rtol), 0.5 * size})) << size;
      EXPECT_FALSE(holds(g, "small", {0.0, 0.0})) << size;
    }
  }
}

TEST(ExpectedGradients, WhatIsZeroByCancellationHasTheNoiseOfTheLargest) {
  File file({{"grads/large", {-20.0, 1.0}}, {"grads/zero", {1e-15, -3e-16}}});
  const ExpectedGradients g = file.gradients({{"large", {2}}, {"zero", {2}}});
  EXPECT_TRUE(holds(g, "zero", {-5e-12, 0.0}));
  EXPECT_FALSE(holds(g, "zero", {7e-12, 0.0}));
  const ExpectedGradients f = file.gradients({{"large", {2}}, {"zero", {2}}}, true);
  EXPECT_TRUE(holds(f, "zero", {-1.9e-5, 0.0}));
  EXPECT_FALSE(holds(f, "zero", {2.1e-5, 0.0}));
}

TEST(ExpectedGradients, TheFilesOwnNoiseReplacesTheClassOfZeros) {
  File file({{"grads/large", {1.0, -1.0}}, {"grads/small", {1e-9, 0.0}}}, "grads/small", 1e-16);
  const ExpectedGradients g = file.gradients({{"large", {2}}, {"small", {2}}});
  EXPECT_TRUE(holds(g, "small", {1e-9, 0.9e-16}));
  EXPECT_FALSE(holds(g, "small", {1e-9, 1.1e-16}));
  const ExpectedGradients f = file.gradients({{"large", {2}}, {"small", {2}}}, true);  // 1e-16 * 2^29 = 5.4e-8
  EXPECT_TRUE(holds(f, "small", {1e-9, 5e-8}));
  EXPECT_FALSE(holds(f, "small", {1e-9, 6e-8}));
  File both({{"grads/large", {1.0, -1.0}}, {"grads/small", {1e-9, 0.0}}}, "grads/small", 1e-16, 1e-9);
  const ExpectedGradients own = both.gradients({{"large", {2}}, {"small", {2}}}, true);
  EXPECT_TRUE(holds(own, "small", {1e-9, 0.9e-9}));
  EXPECT_FALSE(holds(own, "small", {1e-9, 1.1e-9}));
  File negative({{"grads/a", {1.0}}}, "grads/a", -1.0);
  EXPECT_THROW(negative.gradients({{"a", {1}}}), Error);
}

TEST(ExpectedGradients, OfParametersThatAreNotUsedIsExactlyZero) {
  File file({{"grads/large", {1.0, -1.0}}, {"grads/dead", {0.0, 0.0}}, {"grads/wrong", {0.0, 1e-300}}});
  const ExpectedGradients g = file.gradients({{"large", {2}}, {"dead", {2}, false}, {"absent", {2}, false}, {"wrong", {2}, false}});
  EXPECT_TRUE(holds(g, "dead", {0.0, 0.0}));
  EXPECT_FALSE(holds(g, "dead", {0.0, 1e-30}));
  EXPECT_TRUE(holds(g, "absent", {0.0, 0.0}));
  EXPECT_FALSE(holds(g, "absent", {1e-30, 0.0}));
  EXPECT_FALSE(holds(g, "wrong", {0.0, 0.0}));
  EXPECT_TRUE(g.missing(/*unused_too=*/false).empty());
  EXPECT_EQ(g.missing(/*unused_too=*/true), std::vector<std::string>{"grads/absent"});
}

TEST(ExpectedGradients, ZerosInTheFileMeanZeroUnlessTermsCancel) {
  File file({{"grads/large", {1.0, -1.0}}, {"grads/zeros", {0.0, 0.0}}, {"grads/bias", {0.0, 0.0}}});
  for (const bool single : {false, true}) {
    const ExpectedGradients g = file.gradients({{"large", {2}}, {"zeros", {2}}, {"bias", {2}, true, true}}, single);
    EXPECT_TRUE(holds(g, "zeros", {0.0, 0.0}));
    EXPECT_FALSE(holds(g, "zeros", {1e-30, 0.0}));
    EXPECT_TRUE(holds(g, "bias", {2e-13, 0.0}));
    EXPECT_FALSE(holds(g, "bias", {2e-6, 0.0}));
  }
}

TEST(ExpectedGradients, FingerprintsAndNormsCountAndFirstRowsAloneDoNot) {
  const Values a = centred_uniforms("a", 1, 40);
  File file({{"grads_fingerprint/a", fingerprint("a", a)}, {"grads_norm/b", {2.0}}, {"grads_head/c", {1.0}}});
  const ExpectedGradients g = file.gradients({{"a", {40}}, {"b", {4}}, {"c", {4}}, {"d", {4}}});
  EXPECT_EQ(g.missing(false), (std::vector<std::string>{"grads/c", "grads/d"}));
  EXPECT_TRUE(holds(g, "a", a));
  Values wrong = a;
  wrong[30] += 1e-6;
  EXPECT_FALSE(holds(g, "a", wrong));
  EXPECT_NEAR(g.norm(), std::hypot(2.0, fingerprint("a", a)[0]), 1e-12);
}

TEST(ExpectedGradients, NaNIsNeverZero) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  File file({{"grads/a", {1.0, nan}}, {"grads/b", {1e-20, 0.0}}});
  const ExpectedGradients g = file.gradients({{"a", {2}}, {"b", {2}}});
  EXPECT_FALSE(holds(g, "a", {1.0, nan}));
  EXPECT_FALSE(holds(g, "b", {1e-13, 0.0}));
}

TEST(ExpectedGradients, WhatFeedsASoftmaxHasTheRoundingOfTheLargestButKeepsItsSize) {
  File file({{"grads/large", {1.0, -1.0}}, {"grads/head", {1e-10, 0.0}}});
  const std::vector<GradientName> names{{"large", {2}}, {"head", {2}, true, false, true}};
  EXPECT_TRUE(holds(file.gradients(names), "head", {1e-10 + 7e-15, 0.0}));  // 64 * 2^-53
  EXPECT_FALSE(holds(file.gradients(names), "head", {1e-10 + 8e-15, 0.0}));
  EXPECT_TRUE(holds(file.gradients(names, true), "head", {1.4e-10, 0.0}));  // half of its largest entry
  EXPECT_FALSE(holds(file.gradients(names, true), "head", {1.6e-10, 0.0}));
  EXPECT_FALSE(holds(file.gradients(names, true), "head", {0.0, 0.0}));
}

constexpr double kRates = 5e-3;
Steps steps(double clip_norm = 0.0, double norm = 1.0) { return Steps::of({3e-3, 2e-3}, clip_norm, norm); }

TEST(Walk, IsBoundedByTheLearningRateAndNothingWithoutNoise) {
  EXPECT_EQ(steps().walk({}), 0.0);
  EXPECT_EQ(steps().walk({0.0, 0.0}), 0.0);
  EXPECT_NEAR(steps().walk(Values(16, 1e-13)), 2 * kRates * 4 * 1e-5, 1e-9);  // double: n / eps
  EXPECT_LE(steps().walk(Values(16, 1e-5)), 2 * kRates * 4);                  // single: the learning rate, in both directions
  EXPECT_GT(steps().walk(Values(16, 1e-5)), 2 * kRates * 3.9);
  EXPECT_NEAR(steps(1.0, 1e3).walk(Values(16, 1e-13)), 2 * kRates * 4 * 1e-8, 1e-12);
  EXPECT_NEAR(steps().walk({1e-9}, {1.0}), 2 * kRates * 1e-9, 1e-15);  // a gradient with digits: their relative error
}

/// What Adam makes of two sequences of gradients that differ by no more than the noise stays within the walk.
TEST(Walk, BoundsWhatAdamMakesOfNoise) {
  const std::vector<double> random = centred_uniforms("noise", 1, 4000);
  for (const double size : {0.0, 1e-12, 1e-9, 1e-8, 1e-6, 1.0}) {
    for (const double noise : {1e-13, 1e-9, 1e-7}) {
      Values rates;
      double worst = 0.0;
      for (std::size_t trial = 0; trial < 100; ++trial) {
        double p[2] = {}, m[2] = {}, v[2] = {};
        rates.clear();
        for (std::size_t t = 0; t < 20; ++t) {
          rates.push_back(1e-3);
          for (int k = 0; k < 2; ++k) {
            const double g = size + noise * random[(trial * 40 + 2 * t + static_cast<std::size_t>(k)) % random.size()] / 2;
            m[k] = 0.9 * m[k] + 0.1 * g, v[k] = 0.999 * v[k] + 0.001 * g * g;
            const double power = static_cast<double>(t + 1);
            p[k] -= 1e-3 * (m[k] / (1 - std::pow(0.9, power))) / (std::sqrt(v[k] / (1 - std::pow(0.999, power))) + 1e-8);
          }
        }
        worst = std::max(worst, std::abs(p[0] - p[1]));
      }
      EXPECT_LE(worst, Steps::of(rates, 0.0, 1.0).walk({noise}, {size})) << size << " +- " << noise;
    }
  }
}

TEST(Walk, ComesFromTheNumbersOfTheFile) {
  File file({{"grads/bias", {1.0, 1e-17, -2e-16, 0.0}}, {"grads/zero", {1e-16}}, {"grads/dead", {0.0, 0.0}}, {"grads/large", {1.0, 0.5}}});
  const ExpectedGradients g = file.gradients({{"bias", {4}}, {"zero", {1}}, {"dead", {2}}, {"large", {2}}});
  EXPECT_NEAR(g.walk("zero", steps()), steps().walk({16e-16}), 1e-15);                              // 16 times what the file shows
  EXPECT_NEAR(g.walk("bias", steps()), steps().walk({32e-16 + 0x1p-49, 32e-16 + 0x1p-49}), 1e-12);  // two of the four entries
  EXPECT_EQ(g.walk("dead", steps()), 0.0);
  EXPECT_LT(g.walk("large", steps()), 1e-14);
}

}  // namespace
}  // namespace gnn_hpc::verify
