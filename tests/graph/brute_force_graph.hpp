// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <map>
#include <span>
#include <tuple>
#include <vector>

#include "graph/periodic_knn.hpp"

namespace gnn_hpc::test {

/// The crystal graph straight from its definition: every image of a box around the cell, sets, a map; Cartesian arithmetic
/// that shares nothing with the program's. `gap` is the smallest distance of any decision from its threshold:
/// below ~1e-9 two correct programs may differ.
struct BruteForceGraph {
  using Edge = std::array<int, 5>;  // v, u, n1, n2, n3
  std::map<Edge, int> edges;
  std::array<int, 9> triple{};
  double gap = std::numeric_limits<double>::infinity();

  BruteForceGraph(std::span<const double, 9> lattice, std::vector<double> frac, int k, bool use_lattice) {
    for (double& f : frac) f = wrap_fraction(f);
    const int n = static_cast<int>(frac.size() / 3);
    std::copy_n(lattice.begin(), 9, cell_.begin());
    find_triple();
    struct Neighbour {
      double d;
      int j, n1, n2, n3;
    };
    for (int i = 0; i < n; ++i) {
      std::vector<Neighbour> all;
      double radius = 2.0;
      for (bool enough = false; !enough; radius *= 1.5) {
        all.clear();
        std::array<int, 3> m = box(radius, 1);
        int inside = 0;
        for (int j = 0; j < n; ++j) {
          for (int a = -m[0]; a <= m[0]; ++a) {
            for (int b = -m[1]; b <= m[1]; ++b) {
              for (int c = -m[2]; c <= m[2]; ++c) {
                const double d = length(a + frac[3 * j] - frac[3 * i], b + frac[3 * j + 1] - frac[3 * i + 1], c + frac[3 * j + 2] - frac[3 * i + 2]);
                if (j != i || a != 0 || b != 0 || c != 0) note(d, kClashDistance);
                if (d > kClashDistance && d <= radius + 1e-3) all.push_back({d, j, a, b, c}), inside += d <= radius;
              }
            }
          }
        }
        enough = inside >= k;
      }
      std::nth_element(all.begin(), all.begin() + (k - 1), all.end(), [](const auto& p, const auto& q) { return p.d < q.d; });
      const double reach = all[k - 1].d + kShellTie;
      std::map<Edge, int> members;  // j, n
      for (const auto& p : all) {
        note(p.d, reach);
        if (p.d <= reach) members[{p.j, p.n1, p.n2, p.n3, 0}] = 1;
      }
      if (use_lattice) {
        for (int s = 0; s < 3; ++s) members[{i, triple[3 * s], triple[3 * s + 1], triple[3 * s + 2], 0}] = 1;
      }
      for (const auto& [m, one] : members) {
        ++edges[{m[0], i, m[1], m[2], m[3]}];
        ++edges[{i, m[0], -m[1], -m[2], -m[3]}];
      }
    }
  }

 private:
  std::array<double, 9> cell_;

  void note(double value, double threshold) { gap = std::min(gap, std::abs(value - threshold)); }
  double length(double x, double y, double z) const {
    double sum = 0;
    for (int c = 0; c < 3; ++c) {
      const double t = x * cell_[c] + y * cell_[3 + c] + z * cell_[6 + c];
      sum += t * t;
    }
    return std::sqrt(sum);
  }
  /// Images that can matter within `radius`, by the distances between lattice planes.
  std::array<int, 3> box(double radius, double spread) const {
    const auto& m = cell_;
    const double volume = std::abs(m[0] * (m[4] * m[8] - m[5] * m[7]) - m[1] * (m[3] * m[8] - m[5] * m[6]) + m[2] * (m[3] * m[7] - m[4] * m[6]));
    std::array<int, 3> out;
    for (int r = 0; r < 3; ++r) {
      const double *p = &m[3 * ((r + 1) % 3)], *q = &m[3 * ((r + 2) % 3)];
      const double area = std::hypot(p[1] * q[2] - p[2] * q[1], p[2] * q[0] - p[0] * q[2], p[0] * q[1] - p[1] * q[0]);
      out[r] = static_cast<int>(std::ceil(radius * area / volume + spread + 0.01));
    }
    return out;
  }
  void find_triple() {
    double longest = 0;
    for (int r = 0; r < 3; ++r) longest = std::max(longest, std::hypot(cell_[3 * r], cell_[3 * r + 1], cell_[3 * r + 2]));
    const double bound = longest + 0.01 + kShellTie;
    struct Point {
      double d;
      int shell;
      std::array<int, 3> n;
    };
    std::vector<Point> points;
    const std::array<int, 3> m = box(bound, 0);
    for (int a = -m[0]; a <= m[0]; ++a) {
      for (int b = -m[1]; b <= m[1]; ++b) {
        for (int c = -m[2]; c <= m[2]; ++c) {
          const double d = length(a, b, c);
          if (a == 0 && b == 0 && c == 0) continue;
          note(d, kClashDistance);
          note(d, bound);
          if (d > kClashDistance && d <= bound) points.push_back({d, 0, {a, b, c}});
        }
      }
    }
    std::sort(points.begin(), points.end(), [](const Point& p, const Point& q) { return p.d < q.d; });
    double first = -1;
    int shell = 0;
    for (Point& p : points) {
      note(p.d, first + kShellTie);
      if (p.d - first > kShellTie) first = p.d, ++shell;
      p.shell = shell;
    }
    std::sort(points.begin(), points.end(), [](const Point& p, const Point& q) { return std::tie(p.shell, p.n) < std::tie(q.shell, q.n); });
    const auto cross = [](const std::array<int, 3>& p, const std::array<int, 3>& q) {
      return std::array<int, 3>{p[1] * q[2] - p[2] * q[1], p[2] * q[0] - p[0] * q[2], p[0] * q[1] - p[1] * q[0]};
    };
    std::vector<std::array<int, 3>> l;
    for (const Point& p : points) {
      if (l.size() == 1 && cross(l[0], p.n) == std::array<int, 3>{0, 0, 0}) continue;
      if (l.size() == 2) {
        const auto x = cross(l[0], l[1]);
        if (x[0] * p.n[0] + x[1] * p.n[1] + x[2] * p.n[2] == 0) continue;
      }
      l.push_back(p.n);
      if (l.size() == 3) break;
    }
    const auto cart = [&](const std::array<int, 3>& p) {
      std::array<double, 3> r;
      for (int c = 0; c < 3; ++c) r[c] = p[0] * cell_[c] + p[1] * cell_[3 + c] + p[2] * cell_[6 + c];
      return r;
    };
    for (int s : {1, 2}) {
      const auto p = cart(l[0]), q = cart(l[s]);
      const double cosine = (p[0] * q[0] + p[1] * q[1] + p[2] * q[2]) / std::hypot(p[0], p[1], p[2]) / std::hypot(q[0], q[1], q[2]);
      note(cosine, -kCosineTie);
      if (cosine < -kCosineTie) l[s] = {-l[s][0], -l[s][1], -l[s][2]};
    }
    const auto p = cart(l[0]), q = cart(l[1]), r = cart(l[2]);
    const double det = p[0] * (q[1] * r[2] - q[2] * r[1]) - p[1] * (q[0] * r[2] - q[2] * r[0]) + p[2] * (q[0] * r[1] - q[1] * r[0]);
    for (int s = 0; s < 3; ++s) {
      for (int c = 0; c < 3; ++c) triple[3 * s + c] = det < 0 ? -l[s][c] : l[s][c];
    }
  }
};

}  // namespace gnn_hpc::test
