// SPDX-License-Identifier: Apache-2.0
#include "io/vacuum_box.hpp"

#include <algorithm>
#include <cmath>

#include "base/error.hpp"

namespace gnn_hpc {
namespace {

using Vector = std::array<double, 3>;

double dot(const double* a, const double* b) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }

/// Removes from `v` what lies along the unit vectors `along`; false if next to nothing is left.
bool orthonormalise(Vector& v, const std::vector<Vector>& along) {
  const double before = std::sqrt(dot(v.data(), v.data()));
  for (int pass = 0; pass < 2; ++pass) {
    for (const Vector& e : along) {
      const double share = dot(v.data(), e.data());
      for (std::size_t c = 0; c < 3; ++c) v[c] -= share * e[c];
    }
  }
  const double after = std::sqrt(dot(v.data(), v.data()));
  if (!(after > 1e-4 * before)) return false;
  for (double& x : v) x /= after;
  return true;
}

}  // namespace

void put_into_box(const std::vector<double>& positions, const std::array<bool, 3>& periodic, std::array<double, 9>& lattice) {
  std::vector<Vector> basis;  // unit vectors: first of the directions that repeat, then of the others
  for (std::size_t r = 0; r < 3; ++r) {
    if (!periodic[r]) continue;
    Vector v{lattice[3 * r], lattice[3 * r + 1], lattice[3 * r + 2]};
    if (!orthonormalise(v, basis)) throw Error(Exit::data, "the lattice vectors that repeat lie in one direction");
    basis.push_back(v);
  }
  const std::size_t repeating = basis.size();
  for (std::size_t c = 0; c < 3 && basis.size() < 3; ++c) {
    Vector axis{0, 0, 0};
    axis[c] = 1;
    if (orthonormalise(axis, basis)) basis.push_back(axis);
  }

  const std::size_t n = positions.size() / 3;
  Vector centre{0, 0, 0};
  for (std::size_t i = 0; i < positions.size(); ++i) centre[i % 3] += positions[i] / static_cast<double>(n);
  double farthest = 0;  // squared, from the centre, across the directions that do not repeat
  for (std::size_t a = 0; a < n; ++a) {
    const Vector from{positions[3 * a] - centre[0], positions[3 * a + 1] - centre[1], positions[3 * a + 2] - centre[2]};
    double squared = 0;
    for (std::size_t b = repeating; b < 3; ++b) squared += std::pow(dot(from.data(), basis[b].data()), 2);
    farthest = std::max(farthest, squared);
  }
  const double edge = 4 * std::sqrt(farthest) + kVacuum;
  std::size_t next = repeating;
  for (std::size_t r = 0; r < 3; ++r) {
    if (periodic[r]) continue;
    for (std::size_t c = 0; c < 3; ++c) lattice[3 * r + c] = edge * basis[next][c];
    ++next;
  }
}

}  // namespace gnn_hpc
