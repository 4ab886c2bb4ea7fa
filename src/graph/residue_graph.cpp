// SPDX-License-Identifier: Apache-2.0
#include "graph/residue_graph.hpp"

#include "base/error.hpp"
#include "io/protein.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace gnn_hpc {

namespace {

using Vec = std::array<double, 3>;
constexpr std::size_t kNitrogen = 0, kAlpha = 1, kCarbon = 2;

Vec at(std::span<const double> x, std::size_t row) { return {x[3 * row], x[3 * row + 1], x[3 * row + 2]}; }
Vec operator+(const Vec& a, const Vec& b) { return {a[0] + b[0], a[1] + b[1], a[2] + b[2]}; }
Vec operator-(const Vec& a, const Vec& b) { return {a[0] - b[0], a[1] - b[1], a[2] - b[2]}; }
double dot(const Vec& a, const Vec& b) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }
Vec cross(const Vec& a, const Vec& b) { return {a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]}; }

/// v/|v|, and 0 where that is no direction: a missing atom makes v NaN.
Vec unit(const Vec& v) {
  const double length = std::sqrt(dot(v, v));
  if (!(length > 0.0) || !std::isfinite(length)) return {0.0, 0.0, 0.0};
  return {v[0] / length, v[1] / length, v[2] / length};
}

/// Atoms in boxes of a grid; complete residues only.
class ResidueGrid {
 public:
  ResidueGrid(const ResidueGraph& graph, const std::vector<int>& members) : graph_(graph) {
    constexpr double inf = std::numeric_limits<double>::infinity();
    Vec high{-inf, -inf, -inf};
    low_ = {inf, inf, inf};
    for (const int i : members) {
      const Vec x = at(graph.position, static_cast<std::size_t>(i));
      for (std::size_t c = 0; c < 3; ++c) low_[c] = std::min(low_[c], x[c]), high[c] = std::max(high[c], x[c]);
    }
    // About one atom a box where they fill their bounding box evenly (3 and 8 are slower in long chains), and never many more boxes than atoms.
    const double count = static_cast<double>(members.size());
    edge_ = std::clamp(std::cbrt((high[0] - low_[0] + 4.0) * (high[1] - low_[1] + 4.0) * (high[2] - low_[2] + 4.0) / count), 1e-3, 1e100);
    for (std::size_t c = 0; c < 3; ++c) boxes_[c] = 1 + static_cast<int>(std::min((high[c] - low_[c]) / edge_, 4.0 * count + 1.0));
    sort(members);
  }

  /// The k nearest members of i, by (d2, number), into `out`. Consecutive residues are near: the neighbours of the one before, and that one, lie
  /// within its k-th distance and the step from it, so that a sphere of that radius holds k at least.
  void nearest(int i, int k, std::vector<int>& out) {
    const Vec x = at(graph_.position, static_cast<std::size_t>(i));
    const double step = std::sqrt(dot(x - last_, x - last_));
    found_.clear();
    if (step < last_distance_) {
      search_sphere(i, x, (last_distance_ + step) * (1.0 + 1e-9));
    } else {
      search_rings(i, x, k);
    }
    const auto kth = found_.begin() + (k - 1);
    std::nth_element(found_.begin(), kth, found_.end());
    std::sort(found_.begin(), kth);
    for (int n = 0; n < k; ++n) out.push_back(found_[static_cast<std::size_t>(n)].residue);
    last_ = x;
    last_distance_ = std::sqrt(kth->squared);
  }

 private:
  struct Found {
    double squared;
    int residue;
    friend bool operator<(const Found& a, const Found& b) { return a.squared != b.squared ? a.squared < b.squared : a.residue < b.residue; }
  };

  /// Outwards from the box of x until nothing that was not visited can be among the k nearest.
  void search_rings(int i, const Vec& x, int k) {
    const std::array<int, 3> home = box_of(x);
    const int farthest = std::max({boxes_[0], boxes_[1], boxes_[2]});
    for (int ring = 0; ring <= farthest; ++ring) {
      visit_ring(home, ring, [&](std::size_t begin, std::size_t end) { keep(i, x, begin, end, std::numeric_limits<double>::infinity()); });
      if (static_cast<int>(found_.size()) < k) continue;
      std::nth_element(found_.begin(), found_.begin() + (k - 1), found_.end());
      // What was not visited lies farther than `ring` boxes; the slack covers the rounding of boxes.
      const double reach = ring * edge_ * (1.0 - 1e-9);
      if (found_[static_cast<std::size_t>(k - 1)].squared < reach * reach) break;
    }
  }

  void search_sphere(int i, const Vec& x, double radius) {
    const Vec out{radius, radius, radius};
    const std::array<int, 3> low = box_of(x - out), high = box_of(x + out);
    for (int b0 = low[0]; b0 <= high[0]; ++b0) {
      for (int b1 = low[1]; b1 <= high[1]; ++b1) keep(i, x, begin_of(index(b0, b1, low[2])), begin_of(index(b0, b1, high[2]) + 1), radius * radius);
    }
  }

  /// Sorted members begin..end within the square of a radius, without i itself.
  void keep(int i, const Vec& x, std::size_t begin, std::size_t end, double limit) {
    squared_.resize(std::max(squared_.size(), end - begin));
    const double *x0 = sorted_x_[0].data() + begin, *x1 = sorted_x_[1].data() + begin, *x2 = sorted_x_[2].data() + begin;
    for (std::size_t a = 0; a < end - begin; ++a) {
      const double d0 = x0[a] - x[0], d1 = x1[a] - x[1], d2 = x2[a] - x[2];
      squared_[a] = d0 * d0 + d1 * d1 + d2 * d2;
    }
    const std::size_t before = found_.size();
    found_.resize(before + end - begin);
    Found* next = found_.data() + before;
    for (std::size_t a = 0; a < end - begin; ++a) {  // without branches
      *next = {squared_[a], sorted_[begin + a]};
      next += static_cast<int>(squared_[a] <= limit) & static_cast<int>(sorted_[begin + a] != i);
    }
    found_.resize(static_cast<std::size_t>(next - found_.data()));
  }
  std::size_t begin_of(std::size_t box) const { return static_cast<std::size_t>(ptr_[box]); }

  std::array<int, 3> box_of(const Vec& x) const {
    std::array<int, 3> box{};
    for (std::size_t c = 0; c < 3; ++c) box[c] = static_cast<int>(std::clamp((x[c] - low_[c]) / edge_, 0.0, boxes_[c] - 1.0));
    return box;
  }
  std::size_t index(int b0, int b1, int b2) const {
    return (static_cast<std::size_t>(b0) * static_cast<std::size_t>(boxes_[1]) + static_cast<std::size_t>(b1)) * static_cast<std::size_t>(boxes_[2]) +
           static_cast<std::size_t>(b2);
  }

  void sort(const std::vector<int>& members) {
    ptr_.assign(index(boxes_[0] - 1, boxes_[1] - 1, boxes_[2] - 1) + 2, 0);
    std::vector<std::size_t> box;
    for (const int i : members) {
      const auto b = box_of(at(graph_.position, static_cast<std::size_t>(i)));
      box.push_back(index(b[0], b[1], b[2]));
      ++ptr_[box.back() + 1];
    }
    for (std::size_t b = 1; b < ptr_.size(); ++b) ptr_[b] += ptr_[b - 1];
    std::vector<int> next(ptr_.begin(), ptr_.end() - 1);
    sorted_.resize(members.size());
    for (std::size_t m = 0; m < members.size(); ++m) sorted_[static_cast<std::size_t>(next[box[m]]++)] = members[m];
    for (std::size_t c = 0; c < 3; ++c) {
      for (const int i : sorted_) sorted_x_[c].push_back(graph_.position[3 * static_cast<std::size_t>(i) + c]);
    }
  }

  /// Calls f(begin, end) with the sorted members in boxes whose largest difference to `home` in any direction is `ring`.
  template <class F>
  void visit_ring(const std::array<int, 3>& home, int ring, const F& f) const {
    const auto low = [&](std::size_t c) { return std::max(0, home[c] - ring); };
    const auto high = [&](std::size_t c) { return std::min(boxes_[c] - 1, home[c] + ring); };
    for (int b0 = low(0); b0 <= high(0); ++b0) {
      for (int b1 = low(1); b1 <= high(1); ++b1) {
        const bool side = std::abs(b0 - home[0]) == ring || std::abs(b1 - home[1]) == ring;
        if (side) {
          f(begin_of(index(b0, b1, low(2))), begin_of(index(b0, b1, high(2)) + 1));
          continue;
        }
        for (const int b2 : {home[2] - ring, home[2] + ring}) {
          if (b2 >= 0 && b2 < boxes_[2]) f(begin_of(index(b0, b1, b2)), begin_of(index(b0, b1, b2) + 1));
        }
      }
    }
  }
  const ResidueGraph& graph_;
  std::vector<int> sorted_, ptr_;
  Vec low_{};
  double edge_ = 1.0;
  std::array<int, 3> boxes_{1, 1, 1};
  std::array<std::vector<double>, 3> sorted_x_;
  std::vector<double> squared_;
  std::vector<Found> found_;
  Vec last_{};
  double last_distance_ = 0.0;  ///< from `last_` to its k-th neighbour; 0: none yet
};

/// sign(a.n2) acos(n1.n2) of consecutive bonds; 0 where one is missing.
double dihedral(const Vec& a, const Vec& b, const Vec& c) {
  const Vec n1 = unit(cross(a, b)), n2 = unit(cross(b, c));
  const double side = dot(a, n2);
  const double angle = std::acos(std::clamp(dot(n1, n2), -1.0 + 1e-7, 1.0 - 1e-7));
  return side > 0.0 ? angle : side < 0.0 ? -angle : 0.0;
}

/// phi, psi, omega of all residues along the chain of N, CA, C, taken as connected.
void add_angles(std::span<const double> coords, ResidueGraph& g) {
  const auto n = static_cast<std::size_t>(g.num_nodes);
  std::vector<Vec> bond;
  const auto point = [&](std::size_t m) { return at(coords, kBackboneAtoms * (m / 3) + m % 3); };
  for (std::size_t m = 0; m + 1 < 3 * n; ++m) bond.push_back(unit(point(m + 1) - point(m)));
  std::vector<double> angle(3 * n, 0.0);
  for (std::size_t m = 0; m + 2 < bond.size(); ++m) angle[m + 1] = dihedral(bond[m], bond[m + 1], bond[m + 2]);
  g.node_s.resize(kResidueScalars * n);
  for (std::size_t i = 0; i < 3 * n; ++i) {
    double* row = &g.node_s[kResidueScalars * (i / 3)];
    row[i % 3] = std::cos(angle[i]);
    row[3 + i % 3] = std::sin(angle[i]);
  }
}

void add_directions(std::span<const double> coords, ResidueGraph& g) {
  const auto n = static_cast<std::size_t>(g.num_nodes);
  const auto atom = [&](std::size_t i, std::size_t a) { return at(coords, kBackboneAtoms * i + a); };
  const double third = std::sqrt(1.0 / 3.0), rest = std::sqrt(2.0 / 3.0);
  g.node_v.assign(9 * n, 0.0);
  for (std::size_t i = 0; i < n; ++i) {
    const Vec ca = atom(i, kAlpha), c = unit(atom(i, kCarbon) - ca), nitrogen = unit(atom(i, kNitrogen) - ca);
    const Vec along = unit(c + nitrogen), across = unit(cross(c, nitrogen));
    std::array<Vec, kResidueVectors> direction{};
    if (i + 1 < n) direction[0] = unit(atom(i + 1, kAlpha) - ca);
    if (i > 0) direction[1] = unit(atom(i - 1, kAlpha) - ca);
    for (std::size_t d = 0; d < 3; ++d) {
      direction[2][d] = -third * along[d] - rest * across[d];
      for (std::size_t v = 0; v < kResidueVectors; ++v) g.node_v[9 * i + 3 * d + v] = direction[v][d];
    }
  }
}

}  // namespace

ResidueGraph build_residue_graph(std::span<const double> coords, int top_k) {
  if (top_k < 1) throw Error(Exit::usage, fmt::format("top_k is {}; it must be at least 1", top_k));
  GNN_HPC_REQUIRE(coords.size() % (3 * kBackboneAtoms) == 0, "{} coordinates are no residues of four atoms", coords.size());
  ResidueGraph g;
  const std::size_t n = coords.size() / (3 * kBackboneAtoms);
  g.num_nodes = static_cast<int>(n);
  std::vector<double> whole(coords.begin(), coords.end());  // a masked residue counts as missing entirely
  std::vector<int> members;
  g.complete.resize(n);
  g.position.assign(3 * n, 0.0);
  for (std::size_t i = 0; i < n; ++i) {
    const auto first = whole.begin() + static_cast<std::ptrdiff_t>(3 * kBackboneAtoms * i), last = first + 3 * kBackboneAtoms;
    g.complete[i] = has_all_atoms({first, last});
    if (g.complete[i]) {
      members.push_back(static_cast<int>(i));
      std::copy_n(first + 3 * kAlpha, 3, &g.position[3 * i]);
    } else {
      std::fill(first, last, std::numeric_limits<double>::quiet_NaN());
    }
  }
  add_angles(whole, g);
  add_directions(whole, g);

  const int k = std::min(top_k, static_cast<int>(members.size()) - 1);
  g.in_ptr.assign(n + 1, 0);
  if (k < 1) return g;
  g.src.reserve(members.size() * static_cast<std::size_t>(k));
  ResidueGrid grid(g, members);
  for (std::size_t i = 0; i < n; ++i) {
    if (g.complete[i]) grid.nearest(static_cast<int>(i), k, g.src);
    g.in_ptr[i + 1] = g.num_edges();
  }
  return g;
}

ResidueEdgeFeatures residue_edge_features(const ResidueGraph& g) {
  constexpr std::size_t width = kDistanceGaussians + kPositionWaves, waves = kPositionWaves / 2;
  constexpr double farthest = 20.0, spread = farthest / kDistanceGaussians;
  ResidueEdgeFeatures out;
  out.edge_s.resize(width * g.src.size());
  out.edge_v.resize(3 * g.src.size());
  for (int i = 0; i < g.num_nodes; ++i) {
    for (int e = g.in_ptr[static_cast<std::size_t>(i)]; e < g.in_ptr[static_cast<std::size_t>(i) + 1]; ++e) {
      const auto edge = static_cast<std::size_t>(e);
      const int j = g.src[edge];
      const Vec d = at(g.position, static_cast<std::size_t>(j)) - at(g.position, static_cast<std::size_t>(i)), u = unit(d);
      const double length = std::sqrt(dot(d, d));
      double* row = &out.edge_s[width * edge];
      for (std::size_t m = 0; m < kDistanceGaussians; ++m) {
        const double x = (length - farthest * static_cast<double>(m) / (kDistanceGaussians - 1)) / spread;
        row[m] = std::exp(-x * x);
      }
      for (std::size_t m = 0; m < waves; ++m) {
        const double phase = (j - i) * std::exp(-2.0 * static_cast<double>(m) * std::log(10000.0) / kPositionWaves);
        row[kDistanceGaussians + m] = std::cos(phase);
        row[kDistanceGaussians + waves + m] = std::sin(phase);
      }
      std::copy(u.begin(), u.end(), &out.edge_v[3 * edge]);
    }
  }
  return out;
}

}  // namespace gnn_hpc
