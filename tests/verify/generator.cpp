// SPDX-License-Identifier: Apache-2.0
#include "verify/generator.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace gnn_hpc::verify {
namespace {

// The golden files hold many more samples (kind `other`, group generator); these few numbers stand here so that a change of the
// generator is told from a change of the files. Printed by the reference program's `check`.
TEST(Generator, MatchesTheReference) {
  const std::vector<double> c = centred_uniforms("fc.0.weight", 7, 3);
  ASSERT_EQ(c.size(), 3U);
  EXPECT_EQ((c[0] + 1.0) / 2.0, 0x1.081f3543c96b8p-3);
  EXPECT_EQ((c[1] + 1.0) / 2.0, 0x1.6211d3d03fcf4p-1);
}

TEST(Generator, ScalesByKindOfTensor) {
  const std::vector<std::size_t> shape{4, 12};
  const auto scale_of = [&](const char* name, double centre) {
    const std::vector<double> c = centred_uniforms(name, 5, 48), v = synthetic_values(name, shape, 5);
    for (std::size_t i = 1; i < c.size(); ++i) EXPECT_NEAR((v[i] - centre) / c[i], (v[0] - centre) / c[0], 1e-12);
    return (v[0] - centre) / c[0];
  };
  EXPECT_NEAR(scale_of("a.running_var", 1.0), 0.4, 1e-12);
  EXPECT_NEAR(scale_of("a.running_mean", 0.0), 0.2, 1e-12);
  EXPECT_NEAR(scale_of("a.bn_att.weight", 1.0), 0.3, 1e-12);
  EXPECT_NEAR(scale_of("a.bn.bias", 0.0), 0.2, 1e-12);
  EXPECT_NEAR(scale_of("bn.weight", 0.0), std::sqrt(3.0 / 12.0), 1e-12);  // `.bn`, not `bn`
  EXPECT_NEAR(scale_of("fc.weight", 0.0), std::sqrt(3.0 / 12.0), 1e-12);
}

}  // namespace
}  // namespace gnn_hpc::verify
