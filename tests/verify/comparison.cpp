// SPDX-License-Identifier: Apache-2.0
#include "verify/comparison.hpp"

#include "verify/generator.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <sstream>

namespace gnn_hpc::verify {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

RealTensor row(std::vector<double> values) { return {{values.size()}, values}; }

bool passes(const RealTensor& expected, const RealTensor& actual, double allowed, bool single_precision = false) {
  Report report(single_precision);
  report.compare("x", expected, actual, allowed);
  return report.passed();
}

bool within(const RealTensor& expected, const RealTensor& actual, double absolute, double scale) {
  Report report;
  report.compare_within("x", expected, actual, absolute, scale);
  return report.passed();
}

TEST(Comparison, IsRelativeToTheLargestEntry) {
  EXPECT_TRUE(passes(row({1000.0, 1.0}), row({1000.0, 1.0 + 9e-7}), 1e-9));
  EXPECT_FALSE(passes(row({1000.0, 1.0}), row({1000.0, 1.0 + 1.1e-6}), 1e-9));
  EXPECT_FALSE(passes(row({1.0, 1e-3}), row({1.0, 1e-3 + 1e-8}), 1e-9));
}

TEST(Comparison, ZerosAreExpectedToBeZeroUnlessNoiseIsAllowed) {
  EXPECT_TRUE(passes(row({0.0, 0.0}), row({0.0, -0.0}), 1e-9));
  EXPECT_FALSE(passes(row({0.0, 0.0}), row({0.0, 1e-20}), 1e-9));
  EXPECT_TRUE(within(row({1e-17}), row({-3e-12}), /*absolute=*/1e-11, /*scale=*/10.0));
  EXPECT_FALSE(within(row({1e-17}), row({-3e-11}), /*absolute=*/1e-11, /*scale=*/10.0));
}

TEST(Comparison, WhatThePrecisionCannotHoldIsNoDifference) {
  EXPECT_TRUE(passes(row({1e-71}), row({0.0}), 1e-4, /*single_precision=*/true));
  EXPECT_FALSE(passes(row({1e-71}), row({0.0}), 1e-4, /*single_precision=*/false));
  EXPECT_FALSE(passes(row({1e-30}), row({0.0}), 1e-4, /*single_precision=*/true));
}

TEST(Comparison, NotFiniteNeverPasses) {
  EXPECT_FALSE(passes(row({1.0, 2.0}), row({1.0, kNaN}), 1.0));
  EXPECT_FALSE(passes(row({kNaN, 2.0}), row({kNaN, 2.0}), 1.0));
  EXPECT_FALSE(passes(row({1.0, kNaN, 2.0}), row({1.0, 1.0, 2.0}), kInf));
  EXPECT_FALSE(passes(row({kInf}), row({kInf}), 1.0));
  EXPECT_FALSE(passes(row({1.0}), row({kInf}), 1.0));
  EXPECT_FALSE(within(row({1.0}), row({1.0}), 1e-9, kNaN));
  EXPECT_FALSE(within(row({1.0}), row({1.0}), kNaN, 1.0));
  EXPECT_FALSE(within(row({1.0, kNaN}), row({1.0, kNaN}), kInf, 1.0));
}

TEST(Comparison, ShapesMustAgree) {
  EXPECT_FALSE(passes({{2, 3}, std::vector<double>(6, 1.0)}, {{3, 2}, std::vector<double>(6, 1.0)}, 1.0));
  EXPECT_TRUE(passes({{0, 3}, {}}, {{0, 3}, {}}, 1e-9));
  // A tensor that holds fewer or more values than its shape says is a failing line too, never a read beyond its end.
  EXPECT_FALSE(passes({{2, 3}, std::vector<double>(6, 1.0)}, {{2, 3}, std::vector<double>(4, 1.0)}, 1.0));
  EXPECT_FALSE(passes({{2}, std::vector<double>(6, 1.0)}, {{2}, std::vector<double>(2, 1.0)}, 1.0));
  Report report;
  report.compare_exact("x", {{3}, {1, 2, 3}}, {{3}, {1, 2}});
  EXPECT_FALSE(report.passed());
}

TEST(Comparison, IntegersAreExact) {
  Report report;
  report.compare_exact("same", {{2}, {1, -5}}, {{2}, {1, -5}});
  EXPECT_TRUE(report.passed());
  report.compare_exact("other", {{2}, {1, -5}}, {{2}, {1, -4}});
  EXPECT_FALSE(report.passed());
}

TEST(Comparison, NothingComparedIsNoSuccess) { EXPECT_FALSE(Report().passed()); }

TEST(Comparison, FingerprintFindsASingleWrongElement) {
  std::vector<double> values = centred_uniforms("values", 3, 500);
  const RealTensor expected = row(fingerprint("layer.weight", values));
  ASSERT_EQ(expected.values.size(), 19U);
  const auto check = [&](const std::vector<double>& ours, double noise = 0.0) {
    Report report;
    report.compare_fingerprint("grads_fingerprint/layer.weight", "layer.weight", expected, row(ours), 1e-9, noise);
    return report.passed();
  };
  EXPECT_TRUE(check(values));
  std::vector<double> wrong = values;
  wrong[400] *= 1.001;
  EXPECT_FALSE(check(wrong));
  wrong = values, std::swap(wrong[30], wrong[31]);  // norm and sum are equal, the probe is not
  EXPECT_FALSE(check(wrong));
  wrong = values, wrong[7] += 1e-8;
  EXPECT_FALSE(check(wrong));
  wrong = values, wrong[100] = kNaN;
  EXPECT_FALSE(check(wrong));
  EXPECT_FALSE(check({1.0, 2.0}));
  wrong = values, wrong[7] += 1e-8;
  EXPECT_TRUE(check(wrong, /*noise=*/1e-7));
}

TEST(Comparison, ShortTensorsHaveShortFingerprints) {
  const std::vector<double> values{2.0, -1.0};
  const std::vector<double> f = fingerprint("n", values);
  ASSERT_EQ(f.size(), 5U);
  EXPECT_DOUBLE_EQ(f[0], std::sqrt(5.0));
  EXPECT_DOUBLE_EQ(f[1], 1.0);
  EXPECT_DOUBLE_EQ(f[4], -1.0);
}

// The scale of a fingerprint's entries is what the fingerprint proves, not what this program computes: a program with one huge wrong entry
// must not widen its own tolerance.
TEST(Comparison, AFingerprintAloneSetsItsTolerance) {
  std::vector<double> values = centred_uniforms("values", 3, 500);
  const RealTensor expected = row(fingerprint("layer.weight", values));
  values[3] += 1e-6, values[499] = 1e6;
  Report report;
  report.compare_fingerprint("grads_fingerprint/layer.weight", "layer.weight", expected, row(values), 1e-9);
  EXPECT_FALSE(report.passed());
}

TEST(Comparison, ReportNamesEveryFailure) {
  Report report;
  report.compare("good", row({1.0}), row({1.0}), 1e-9);
  report.compare("bad", row({1.0}), row({2.0}), 1e-9);
  report.fail("absent", "not checked");
  std::ostringstream all, failures;
  report.print(all);
  report.print(failures, /*failures_only=*/true);
  EXPECT_NE(all.str().find("good"), std::string::npos);
  EXPECT_EQ(failures.str().find("good  "), std::string::npos);
  for (const std::string& text : {all.str(), failures.str()}) {
    EXPECT_NE(text.find("bad"), std::string::npos);
    EXPECT_NE(text.find("not checked"), std::string::npos);
    EXPECT_NE(text.find("FAIL: 3 compared, 2 failed"), std::string::npos) << text;
  }
}

}  // namespace
}  // namespace gnn_hpc::verify
