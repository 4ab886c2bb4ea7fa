// SPDX-License-Identifier: Apache-2.0
#include "graph/lattice_triple.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <string>

#include "base/error.hpp"
#include "io/lattice_frame.hpp"

namespace gnn_hpc {
namespace {

using Point = CrystalGraphWorkspace::LatticePoint;

bool lexicographic(const Point& p, const Point& q) {
  for (int c = 0; c < 3; ++c) {
    if (p.n[c] != q.n[c]) return p.n[c] < q.n[c];
  }
  return false;
}

bool parallel(const Point& p, const Point& q) {
  const auto minor = [&](int a, int b) { return std::int64_t{p.n[a]} * q.n[b] - std::int64_t{p.n[b]} * q.n[a]; };
  return minor(0, 1) == 0 && minor(0, 2) == 0 && minor(1, 2) == 0;
}

bool coplanar(const Point& p, const Point& q, const Point& r) {
  const auto minor = [&](int a, int b) { return std::int64_t{q.n[a]} * r.n[b] - std::int64_t{q.n[b]} * r.n[a]; };
  return p.n[0] * minor(1, 2) - p.n[1] * minor(0, 2) + p.n[2] * minor(0, 1) == 0;
}

/// Walks the points in the order of the definition, as far as shells are known to be complete: a point beyond `radius` may be
/// missing, so a shell that opens at f is complete once f + tie <= radius.
bool choose(std::vector<Point>& points, double radius, bool all_points, Point chosen[3]) {
  std::sort(points.begin(), points.end(), [](const Point& p, const Point& q) { return p.length < q.length; });
  int found = 0;
  for (std::size_t begin = 0; begin < points.size();) {
    const double first = points[begin].length;
    if (!all_points && first + kShellTie > radius) return false;
    std::size_t end = begin;
    while (end < points.size() && points[end].length - first <= kShellTie) ++end;
    std::sort(points.begin() + begin, points.begin() + end, lexicographic);
    for (; begin < end; ++begin) {
      const Point& p = points[begin];
      if (found == 0 || (found == 1 && !parallel(chosen[0], p)) || (found == 2 && !coplanar(chosen[0], chosen[1], p))) {
        chosen[found] = p;
        if (++found == 3) return true;
      }
    }
  }
  return false;
}

}  // namespace

std::array<int, 9> lattice_triple(std::span<const double, 9> lattice, CrystalGraphWorkspace& workspace) {
  const LatticeFrame frame(lattice);
  double longest = 0;
  for (int r = 0; r < 3; ++r) longest = std::max(longest, std::hypot(lattice[3 * r], lattice[3 * r + 1], lattice[3 * r + 2]));
  const double bound = longest + 0.01 + kShellTie;

  // The definition lists every point up to `bound`; its choice only needs the shells up to l3, so the sphere starts
  // near the size of a compact cell and grows. A needle of 3 x 3 x 60 needs 1,700 points at worst, a cube a few dozen.
  Point chosen[3];
  auto& points = workspace.points;
  constexpr double kMostPoints = 2e7;
  for (double radius = std::min(bound, 1.3 * std::cbrt(frame.volume));; radius = std::min(bound, 1.5 * radius)) {
    const double expected = 4.0 / 3.0 * std::numbers::pi * radius * radius * radius / frame.volume;
    if (!(expected < kMostPoints) || !(frame.largest_index(radius) < 32000)) {
      throw Error(Exit::data, fmt::format("the cell is too flat or too long to be searched (volume {:.3g} A^3, longest vector "
                                          "{:.3g} A); use a reduced cell",
                                          frame.volume, longest));
    }
    points.clear();
    frame.visit(0, 0, 0, radius, [&](int n1, int n2, int n3, double d2) {
      const double length = std::sqrt(d2);
      if (length > kClashDistance) points.push_back({length, {n1, n2, n3}});
    });
    if (choose(points, radius, radius == bound, chosen)) break;
    if (radius == bound) {
      throw Error(Exit::data, fmt::format("no three independent lattice vectors longer than {} A within {:.3g} A; the cell has "
                                          "(almost) no volume",
                                          kClashDistance, bound));
    }
  }

  double cart[3][3];
  for (int s = 0; s < 3; ++s) {
    const int* n = chosen[s].n;
    for (int c = 0; c < 3; ++c) cart[s][c] = (n[0] * lattice[c] + n[1] * lattice[3 + c]) + n[2] * lattice[6 + c];
  }
  const auto cosine = [&](int s, int t) {
    double dot = 0, ss = 0, tt = 0;
    for (int c = 0; c < 3; ++c) dot += cart[s][c] * cart[t][c], ss += cart[s][c] * cart[s][c], tt += cart[t][c] * cart[t][c];
    return dot / std::sqrt(ss) / std::sqrt(tt);
  };
  const auto negate = [&](int s) {
    for (int c = 0; c < 3; ++c) chosen[s].n[c] = -chosen[s].n[c], cart[s][c] = -cart[s][c];
  };
  for (int s : {1, 2}) {
    if (cosine(0, s) < -kCosineTie) negate(s);
  }
  const double det = cart[0][0] * (cart[1][1] * cart[2][2] - cart[1][2] * cart[2][1]) -
                     cart[0][1] * (cart[1][0] * cart[2][2] - cart[1][2] * cart[2][0]) +
                     cart[0][2] * (cart[1][0] * cart[2][1] - cart[1][1] * cart[2][0]);
  if (det < 0) {
    for (int s = 0; s < 3; ++s) negate(s);
  }
  std::array<int, 9> images;
  for (int s = 0; s < 3; ++s) std::copy_n(chosen[s].n, 3, &images[3 * s]);
  return images;
}

}  // namespace gnn_hpc
