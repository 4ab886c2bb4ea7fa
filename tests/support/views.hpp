// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/arena.hpp"
#include "base/config.hpp"
#include "base/random.hpp"
#include "nn/step.hpp"

#include <cmath>
#include <limits>
#include <vector>

namespace gnn_hpc::test {

/// A row-major copy in host memory; x may be strided.
template <class T>
std::vector<double> values_of(const View2<T>& x) {
  View2<T> dense("gnn_hpc::test::dense", x.extent(0), x.extent(1));
  Kokkos::deep_copy(dense, x);
  const auto host = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), dense);
  return {host.data(), host.data() + host.size()};
}
template <class T>
std::vector<double> values_of(const View1<T>& x) {
  return values_of(View2<T>(x.data(), 1, x.extent(0)));
}

/// Overwrites x, which may be strided.
template <class T>
void assign(const View2<T>& x, const std::vector<double>& values) {
  View2<T> dense("gnn_hpc::test::dense", x.extent(0), x.extent(1));
  const auto host = Kokkos::create_mirror_view(dense);
  for (std::size_t i = 0; i < values.size(); ++i) host.data()[i] = static_cast<T>(values[i]);
  Kokkos::deep_copy(dense, host);
  Kokkos::deep_copy(x, dense);
}

template <class T>
View2<T> matrix_of(std::size_t rows, std::size_t columns, const std::vector<double>& values) {
  View2<T> x("gnn_hpc::test::matrix", rows, columns);
  assign(x, values);
  return x;
}
template <class T>
View1<T> array_of(const std::vector<double>& values) {
  View1<T> x("gnn_hpc::test::array", values.size());
  assign(View2<T>(x.data(), 1, values.size()), values);
  return x;
}

inline std::vector<double> random_values(std::size_t n, std::uint64_t seed) {
  const RandomKey key{seed, fnv1a64("gnn_hpc::test")};
  std::vector<double> out(n);
  for (std::size_t i = 0; i < n; ++i) out[i] = key.normal(i);
  return out;
}
/// Standard normal entries.
template <class T>
View2<T> random_matrix(std::size_t rows, std::size_t columns, std::uint64_t seed) {
  return matrix_of<T>(rows, columns, random_values(rows * columns, seed));
}

/// A matrix of NaN: what is not overwritten shows.
template <class T>
View2<T> nan_matrix(std::size_t rows, std::size_t columns) {
  View2<T> x("gnn_hpc::test::nan", rows, columns);
  Kokkos::deep_copy(x, std::numeric_limits<T>::quiet_NaN());
  return x;
}

inline double dot(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}
inline double norm(const std::vector<double>& a) { return std::sqrt(dot(a, a)); }
inline bool all_finite(const std::vector<double>& a) {
  for (const double x : a) {
    if (!std::isfinite(x)) return false;
  }
  return true;
}
/// Largest |a - b| over the largest |b|; infinite if the sizes differ or a number is not finite.
inline double relative_difference(const std::vector<double>& a, const std::vector<double>& b) {
  if (a.size() != b.size() || !all_finite(a) || !all_finite(b)) return std::numeric_limits<double>::infinity();
  double difference = 0.0, largest = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    difference = std::fmax(difference, std::fabs(a[i] - b[i]));
    largest = std::fmax(largest, std::fabs(b[i]));
  }
  return difference == 0.0 ? 0.0 : difference / largest;
}

struct StepMemory {
  explicit StepMemory(std::size_t bytes) : memory(bytes) {}
  Arena memory;
  Comm alone;
};

/// A step of one rank with an arena of its own. The arena must not outgrow its first chunk, so that `poison` reaches all of it.
template <class T>
struct TestStep : private StepMemory, Step<T> {
  explicit TestStep(Mode mode = Mode::train, std::size_t bytes = std::size_t{1} << 22)
      : StepMemory(bytes), Step<T>{Exec(), memory, mode, RandomKey{5, 0}, alone} {
    static_cast<void>(memory.array<char>(1));
    memory.reset();
  }
  /// Fills what is not in use with NaN.
  void poison() {
    ArenaFrame frame(memory);
    const std::size_t used = memory.mark().used;
    const auto rest = memory.array<unsigned char>(memory.capacity() - used - 256);
    Kokkos::deep_copy(rest, static_cast<unsigned char>(0xFF));
  }
  std::size_t chunks() const { return memory.num_chunks(); }
};

}  // namespace gnn_hpc::test
