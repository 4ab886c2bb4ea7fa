// SPDX-License-Identifier: Apache-2.0
#include "nn/matmul.hpp"

#include "base/blas_kernels.hpp"
#include "base/error.hpp"
#include "base/restart_process.hpp"
#include "base/subnormals.hpp"
#include "nn/channels.hpp"
#include "nn/chunks.hpp"
#include "support/views.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <limits>
#include <type_traits>
#include <utility>

namespace gnn_hpc {
namespace {

using test::nan_matrix;
using test::random_matrix;
using test::values_of;

enum class Form { nt, nn, tn };

/// c = op(a) op(b) + beta c in double.
std::vector<double> product(Form form, const std::vector<double>& a, const std::vector<double>& b, std::vector<double> c, std::size_t rows,
                            std::size_t columns, std::size_t inner, double beta) {
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t n = 0; n < columns; ++n) {
      double sum = 0.0;
      for (std::size_t k = 0; k < inner; ++k) {
        sum += (form == Form::tn ? a[k * rows + r] : a[r * inner + k]) * (form == Form::nt ? b[n * inner + k] : b[k * columns + n]);
      }
      double& out = c[r * columns + n];
      out = beta == 0.0 ? sum : beta * out + sum;
    }
  }
  return c;
}

template <class T>
void multiply(Form form, View2<T> a, View2<T> b, View2<T> c, T beta) {
  const Exec exec;
  if (form == Form::nt) Matmul<T>::nt(exec, a, b, c, beta);
  if (form == Form::nn) Matmul<T>::nn(exec, a, b, c, beta);
  if (form == Form::tn) Matmul<T>::tn(exec, a, b, c, beta);
  exec.fence();
}

template <class T>
class MatmulOf : public ::testing::Test {
 protected:
  static constexpr double kTolerance = std::is_same_v<T, float> ? 2e-6 : 1e-14;
  struct Operands {
    View2<T> a, b;
    Operands(Form form, std::size_t rows, std::size_t columns, std::size_t inner)
        : a(form == Form::tn ? random_matrix<T>(inner, rows, 1) : random_matrix<T>(rows, inner, 1)),
          b(form == Form::nt ? random_matrix<T>(columns, inner, 2) : random_matrix<T>(inner, columns, 2)) {}
  };
};
using Scalars = ::testing::Types<float, double>;
TYPED_TEST_SUITE(MatmulOf, Scalars);

TYPED_TEST(MatmulOf, AllFormsAndShapes) {
  using T = TypeParam;
  const std::size_t shapes[][3] = {{1, 1, 1}, {3, 5, 7}, {32, 32, 32}, {1, 69, 33}, {69, 1, 2}, {65, 69, 31}, {4, 8, 300}};
  for (const Form form : {Form::nt, Form::nn, Form::tn}) {
    for (const auto& s : shapes) {
      for (const double beta : {0.0, 1.0, -0.5}) {
        SCOPED_TRACE(fmt::format("form {} shape {} {} {} beta {}", static_cast<int>(form), s[0], s[1], s[2], beta));
        const typename TestFixture::Operands o(form, s[0], s[1], s[2]);
        const auto c = beta == 0.0 ? nan_matrix<T>(s[0], s[1]) : random_matrix<T>(s[0], s[1], 3);  // beta = 0 overwrites even NaN
        const auto expected = product(form, values_of(o.a), values_of(o.b), values_of(c), s[0], s[1], s[2], beta);
        multiply(form, o.a, o.b, c, static_cast<T>(beta));
        EXPECT_LT(test::relative_difference(values_of(c), expected), TestFixture::kTolerance);
      }
    }
  }
}

TYPED_TEST(MatmulOf, ColumnRangesOfWiderMatrices) {
  using T = TypeParam;
  const std::size_t shapes[][3] = {{9, 5, 6}, {9, 1, 6}, {1, 5, 6}, {9, 5, 1}, {9, 1, 1}, {1, 1, 6}};
  for (const Form form : {Form::nt, Form::nn, Form::tn}) {
    for (const auto& [rows, columns, inner] : shapes) {
      SCOPED_TRACE(fmt::format("form {} shape {} {} {}", static_cast<int>(form), rows, columns, inner));
      const typename TestFixture::Operands o(form, rows, columns, inner);
      // The operands and the result as columns 3.. of wider matrices; what surrounds the result stays as it is.
      const auto widened = [](View2<T> x) {
        const auto wide = random_matrix<T>(x.extent(0), x.extent(1) + 7, 4);
        const auto window = column_range(wide, 3, 3 + x.extent_int(1));
        test::assign(window, values_of(x));
        return window;
      };
      const auto wide_c = random_matrix<T>(rows, columns + 4, 5);
      const auto c = column_range(wide_c, 2, 2 + static_cast<int>(columns));
      const std::vector<double> surrounding = values_of(wide_c);
      const auto expected = product(form, values_of(o.a), values_of(o.b), values_of(c), rows, columns, inner, 1.0);
      multiply(form, widened(o.a), widened(o.b), c, T(1));
      EXPECT_LT(test::relative_difference(values_of(c), expected), TestFixture::kTolerance);
      const auto after = values_of(wide_c);
      for (std::size_t i = 0; i < after.size(); ++i) {
        const std::size_t k = i % (columns + 4);
        if (k < 2 || k >= 2 + columns) {
          EXPECT_EQ(after[i], surrounding[i]);
        }
      }
    }
  }
}

TYPED_TEST(MatmulOf, ZeroExtents) {
  using T = TypeParam;
  for (const Form form : {Form::nt, Form::nn, Form::tn}) {
    SCOPED_TRACE(static_cast<int>(form));
    const typename TestFixture::Operands no_rows(form, 0, 4, 3), no_columns(form, 4, 0, 3), no_inner(form, 2, 3, 0);
    multiply(form, no_rows.a, no_rows.b, View2<T>("c", 0, 4), T(0));
    multiply(form, no_columns.a, no_columns.b, View2<T>("c", 4, 0), T(0));
    const auto overwritten = nan_matrix<T>(2, 3), kept = random_matrix<T>(2, 3, 6);
    const auto before = values_of(kept);
    multiply(form, no_inner.a, no_inner.b, overwritten, T(0));
    multiply(form, no_inner.a, no_inner.b, kept, T(1));
    EXPECT_EQ(values_of(overwritten), std::vector<double>(6, 0.0));
    EXPECT_EQ(values_of(kept), before);
    multiply(form, no_inner.a, no_inner.b, kept, T(0.5));
    auto halved = before;
    for (double& v : halved) v *= 0.5;
    EXPECT_EQ(values_of(kept), halved);
  }
}

TYPED_TEST(MatmulOf, RefusesShapesThatDoNotFit) {
  using T = TypeParam;
  for (const Form form : {Form::nt, Form::nn, Form::tn}) {
    const typename TestFixture::Operands o(form, 4, 5, 6), other(form, 4, 5, 7);
    EXPECT_THROW(multiply(form, o.a, other.b, View2<T>("c", 4, 5), T(0)), Error);
    EXPECT_THROW(multiply(form, o.a, o.b, View2<T>("c", 5, 4), T(0)), Error);
  }
}

/// Elements that are not zero of products whose one operand is subnormal throughout and whose results would not be: by all threads of the
/// library, and by each lane.
template <class T>
std::pair<int, int> not_flushed_of() {
  constexpr int kRows = 512, kWidth = 64;
  constexpr T subnormal = std::numeric_limits<T>::min() / 8;  // by the compiler, which does not flush
  const View2<T> a("a", kRows, kWidth), b("b", kWidth, kWidth), c("c", kRows, kWidth);
  Kokkos::deep_copy(a, subnormal);
  Kokkos::deep_copy(b, T(1) / std::numeric_limits<T>::epsilon());
  const auto count = [&] {
    int n = 0;
    for (const double x : values_of(c)) n += x != 0.0 ? 1 : 0;
    return n;
  };
  const Exec exec;
  Matmul<T>::nt(exec, a, b, c);
  const int of_library = count();
  Kokkos::deep_copy(c, T(1));
  const int rows = kRows / num_lanes();
  for_each_lane(exec, [&](const int lane, const ChunkExec& space) {
    Matmul<T>::nt(space, row_range(a, lane * rows, (lane + 1) * rows), b, row_range(c, lane * rows, (lane + 1) * rows));
  });
  return {of_library, count()};
}

TYPED_TEST(MatmulOf, EveryThreadOfTheLibraryAndEveryLaneFlushesSubnormalNumbersOrNone) {
  if (!kExecIsHost || !can_flush_subnormals()) GTEST_SKIP() << "on a host that can";
  flush_subnormals_on_all_threads(false);
  const auto kept = not_flushed_of<TypeParam>();
  flush_subnormals_on_all_threads(true);
  EXPECT_EQ(kept, std::make_pair(512 * 64, 512 * 64));
  EXPECT_EQ(not_flushed_of<TypeParam>(), std::make_pair(0, 0));
}

TEST(Matmul, TestProgramsMultiplyWithTheKernelsOfTheProgram) {
  const BlasLibrary library = blas_library();
  if (!library.takes_a_choice) GTEST_SKIP() << library.describe() << " has no choice of kernels";
  if (std::getenv("OPENBLAS_CORETYPE") != nullptr && std::getenv(kOwnBlasChoice) == nullptr) GTEST_SKIP() << "chosen by the user";
  const char* tried = std::getenv("OPENBLAS_CORETYPE");
  EXPECT_EQ(better_blas_kernels(library.kernels, this_processor(), tried != nullptr ? tried : ""), "") << library.describe();
}

TEST(Matmul, CountsItsWork) {
  reset_matmul_flops();
  const auto a = random_matrix<float>(3, 4, 1), b = random_matrix<float>(5, 4, 2), c = nan_matrix<float>(3, 5);
  multiply(Form::nt, a, b, c, 0.0f);
  multiply(Form::nt, a, b, c, 1.0f);
  EXPECT_EQ(matmul_flops(), 2.0 * 2.0 * 3 * 4 * 5);
  reset_matmul_flops();
  EXPECT_EQ(matmul_flops(), 0.0);
}

}  // namespace
}  // namespace gnn_hpc
