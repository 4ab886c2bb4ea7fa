// SPDX-License-Identifier: Apache-2.0
#include "train/metrics.hpp"

#include "dataset/r_squared.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace gnn_hpc {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

TEST(RegressionScore, AgreesWithTheFormulae) {
  const std::vector<double> y{1, 2, kNan, 4}, p{1.5, 2, 7, 3};
  const RegressionScore s = regression_score(y, p);
  EXPECT_EQ(s.count, 3);
  EXPECT_DOUBLE_EQ(s.mae, 0.5);
  EXPECT_DOUBLE_EQ(s.rmse, std::sqrt(1.25 / 3));
  EXPECT_DOUBLE_EQ(s.r2, 1.0 - 1.25 / (14.0 / 3));
}

TEST(RegressionScore, KeepsItsDigitsFarFromZero) {
  // One-pass sums of squares would lose every digit of the variance here.
  const std::vector<double> y{1e9, 1e9 + 1, 1e9 + 2, 1e9 + 3}, p{1e9 + 0.5, 1e9 + 1, 1e9 + 2, 1e9 + 3};
  EXPECT_DOUBLE_EQ(regression_score(y, p).r2, 1.0 - 0.25 / 5.0);
}

TEST(RegressionScore, EdgeCases) {
  EXPECT_TRUE(std::isnan(regression_score({}, {}).mae));
  const std::vector<double> y{2, 2}, bad{1, kNan};
  EXPECT_TRUE(std::isnan(regression_score(y, bad).mae));
}

TEST(RegressionScore, R2IsUndefinedWhereTheTargetsDoNotVary) {
  const auto r2 = [](std::vector<double> y, double error) {
    std::vector<double> p = y;
    for (std::size_t i = 0; i < p.size(); ++i) p[i] += i % 2 == 0 ? error : -error;
    return regression_score(y, p).r2;
  };
  EXPECT_TRUE(std::isnan(r2({3.0}, 0.0)));  // one sample, even a perfect prediction
  EXPECT_TRUE(std::isnan(r2({3.0}, 1.0)));
  EXPECT_TRUE(std::isnan(r2({kNan, 3.0, kNan}, 1.0)));
  for (const double constant : {0.0, 0.1, 2.0, -1e-30, 291230.7, 1e300}) {  // 0.1 is no binary number: its mean has an error
    EXPECT_TRUE(std::isnan(r2(std::vector<double>(7, constant), 0.5))) << constant;
    EXPECT_TRUE(std::isnan(r2(std::vector<double>(7, constant), 0.0))) << constant;
  }
  EXPECT_TRUE(std::isnan(r2({0.1, 0.1, std::nextafter(0.1, 1.0)}, 0.5)));  // differ by rounding
  EXPECT_NEAR(r2({1.0, 3.0}, 0.5), 1.0 - 0.5 / 2.0, 1e-15);
  EXPECT_NEAR(r2({-291230.1, -291230.2, -291230.3}, 0.0), 1.0, 1e-15);  // small beside a large offset is not nothing
  EXPECT_NEAR(r2({1e-140, 3e-140}, 0.0), 1.0, 1e-15);
  EXPECT_TRUE(std::isnan(r2({1e-200, 3e-200}, 0.0)));  // squares below the smallest double
}

TEST(RegressionScore, SumsOverRanksFollowTheSameRule) {
  const auto r2 = [](const std::vector<double>& y, double squared_errors) {
    double sum = 0.0, squares = 0.0;
    for (const double x : y) sum += x, squares += x * x;
    return r_squared_of_sums(squared_errors, sum, squares, static_cast<double>(y.size()));
  };
  EXPECT_TRUE(std::isnan(r2({}, 0.0)));
  EXPECT_TRUE(std::isnan(r2({1.0}, 0.0)));
  EXPECT_TRUE(std::isnan(r2(std::vector<double>(1000, 0.1), 1.0)));
  EXPECT_TRUE(std::isnan(r2(std::vector<double>(10, 0.0), 1.0)));
  EXPECT_NEAR(r2({1.0, 3.0}, 0.5), 0.75, 1e-15);
}

TEST(Scores, UndefinedIsEmptyInCsvAndADashInTables) {
  EXPECT_EQ(score_field(kNan), "");
  EXPECT_EQ(score_text(kNan), "-");
  EXPECT_EQ(score_field(0.1), "0.1");
  EXPECT_EQ(score_text(1.0 / 3.0), "0.333333");
  EXPECT_EQ(score_field(0.0), "0");
}

TEST(ClassScore, AgreesWithAHandCount) {
  const std::vector<double> y{1, 0, 1, 0, 1, kNan}, p{0.9, 0.6, 0.4, 0.1, 0.6, 0.3};
  const ClassScore s = binary_score(y, p);
  EXPECT_EQ(s.count, 5);
  EXPECT_DOUBLE_EQ(s.accuracy, 3.0 / 5);
  EXPECT_DOUBLE_EQ(s.f1, 4.0 / 6);
  // pairs (positive, negative): 0.9 beats both, 0.4 beats 0.1, 0.6 ties 0.6 and beats 0.1
  EXPECT_DOUBLE_EQ(s.roc_auc, (2 + 1 + 0.5 + 1) / 6.0);
}

TEST(ClassScore, OneClassHasNoCurve) {
  const std::vector<double> y{0, 0}, p{0.2, 0.3};
  EXPECT_EQ(binary_score(y, p).accuracy, 1.0);
  EXPECT_EQ(binary_score(y, p).f1, 0.0);
  EXPECT_TRUE(std::isnan(binary_score(y, p).roc_auc));
}

TEST(ClassScore, ClassesCountTheSame) {
  // Of class 0 two of two, of class 1 one of two, of class 2 none of one; class 3 never occurs and is never guessed.
  const std::vector<double> y{0, 0, 1, 1, 2, kNan};
  const std::vector<double> p{0.7, 0.1, 0.1, 0.1, 0.4, 0.3, 0.2, 0.1, 0.1, 0.8, 0.1, 0.0, 0.5, 0.4, 0.1, 0.0, 0.6, 0.3, 0.1, 0.0, 9, 9, 9, 9};
  const ClassScore s = multiclass_score(y, p, 4);
  EXPECT_EQ(s.count, 5);
  EXPECT_DOUBLE_EQ(s.accuracy, (1.0 + 0.5 + 0.0) / 3);
  EXPECT_DOUBLE_EQ(s.f1, (4.0 / 6 + 2.0 / 3 + 0.0) / 3);  // class 0: tp 2, fp 2; class 1: tp 1, fn 1; class 2: fn 1
  // class 0: 0.7, 0.4 against 0.1, 0.5, 0.6; class 1: 0.8, 0.4 against 0.1, 0.3, 0.3; class 2: 0.1 against 0.1, 0.2, 0.1, 0.1
  EXPECT_DOUBLE_EQ(s.roc_auc, ((3.0 + 1.0) / 6 + 6.0 / 6 + 1.5 / 4) / 3);
  EXPECT_TRUE(std::isnan(multiclass_score({}, {}, 3).f1));
  const std::vector<double> one{1}, only{0.2, 0.8};
  EXPECT_EQ(multiclass_score(one, only, 2).accuracy, 1.0);
  EXPECT_TRUE(std::isnan(multiclass_score(one, only, 2).roc_auc));
}

}  // namespace
}  // namespace gnn_hpc
