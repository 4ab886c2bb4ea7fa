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
    // About three atoms a box where they fill their bounding box evenly (one is slower by 7 %), and never many more boxes than atoms.
    const double count = static_cast<double>(members.size()) / 3.0;
    edge_ = std::clamp(std::cbrt((high[0] - low_[0] + 4.0) * (high[1] - low_[1] + 4.0) * (high[2] - low_[2] + 4.0) / count), 1e-3, 1e100);
    for (std::size_t c = 0; c < 3; ++c) boxes_[c] = 1 + static_cast<int>(std::min((high[c] - low_[c]) / edge_, 12.0 * count + 1.0));
    reach_ = 1e6 * edge_;
    found_.resize(members.size() + 1);
    squared_.resize(members.size());
    sort(members);
  }

  /// The k nearest members of i, by (d2, number), into `out`. Consecutive residues are near: the k neighbours of the one before, with that one in
  /// the place of i, are k others, so that a sphere as far as the farthest of them holds all that can be nearest.
  void nearest(int i, int k, std::vector<int>& out) {
    const Vec x = at(graph_.position, static_cast<std::size_t>(i));
    count_ = 0;
    double squared = 0.0;
    for (const int j : last_) {
      const Vec d = at(graph_.position, static_cast<std::size_t>(j == i ? before_ : j)) - x;
      squared = std::max(squared, dot(d, d));
    }
    if (!last_.empty() && squared < reach_ * reach_) {
      search_sphere(i, x, std::sqrt(squared) * (1.0 + 1e-9));
    } else {
      search_rings(i, x, k);
    }
    const std::size_t first = out.size();
    out.resize(first + static_cast<std::size_t>(k));
    if (!rank(k, &out[first])) {
      const auto kth = found_.begin() + (k - 1);
      std::nth_element(found_.begin(), kth, last_found());
      std::sort(found_.begin(), kth);
      for (std::size_t n = 0; n < static_cast<std::size_t>(k); ++n) out[first + n] = found_[n].residue;
    }
    last_.assign(out.begin() + static_cast<std::ptrdiff_t>(first), out.end());
    before_ = i;
  }

 private:
  static constexpr std::size_t kFewMembers = 600;
  struct Found {
    double squared;
    int residue;
    friend bool operator<(const Found& a, const Found& b) { return a.squared != b.squared ? a.squared < b.squared : a.residue < b.residue; }
  };

  /// The k first of a few candidates without ties, by counting who is nearer: comparisons without branches, several at a time. False where it is
  /// not that simple.
  bool rank(int k, int* out) {
    constexpr std::size_t kFew = 128;
    const std::size_t count = count_;
    if (count > kFew) return false;
    double squared[kFew];
    for (std::size_t n = 0; n < count; ++n) squared[n] = found_[n].squared;
    for (std::size_t n = 0; n < count; ++n) {
      const double mine = squared[n];
      std::int64_t nearer = 0, alike = 0;
      for (std::size_t m = 0; m < count; ++m) {
        nearer += squared[m] < mine ? 1 : 0;
        alike += squared[m] == mine ? 1 : 0;
      }
      if (alike != 1) return false;
      if (nearer < k) out[nearer] = found_[n].residue;
    }
    return true;
  }

  /// Outwards from the box of x until nothing that was not visited can be among the k nearest.
  void search_rings(int i, const Vec& x, int k) {
    const std::array<int, 3> home = box_of(x);
    const int farthest = std::max({boxes_[0], boxes_[1], boxes_[2]});
    for (int ring = 0; ring <= farthest; ++ring) {
      visit_ring(home, ring, [&](std::size_t begin, std::size_t end) { keep(i, x, begin, end, std::numeric_limits<double>::infinity()); });
      if (count_ < static_cast<std::size_t>(k)) continue;
      std::nth_element(found_.begin(), found_.begin() + (k - 1), last_found());
      // What was not visited lies farther than `ring` boxes; the slack covers the rounding of boxes.
      const double reach = ring * edge_ * (1.0 - 1e-9);
      if (found_[static_cast<std::size_t>(k - 1)].squared < reach * reach) break;
    }
  }

  /// Lines of boxes that a sphere meets, each as far as it reaches there; few members are all looked at, which is faster than lines of a few.
  void search_sphere(int i, const Vec& x, double radius) {
    const double square = radius * radius;
    if (sorted_.size() <= kFewMembers) return keep(i, x, 0, sorted_.size(), square);
    const Vec out{radius, radius, radius};
    const std::array<int, 3> low = box_of(x - out), high = box_of(x + out);
    for (int b0 = low[0]; b0 <= high[0]; ++b0) {
      const double rest0 = square - gap_squared(b0, 0, x);
      for (int b1 = low[1]; b1 <= high[1]; ++b1) {
        const double rest = rest0 - gap_squared(b1, 1, x);
        if (rest < 0.0) continue;
        const Vec along{0.0, 0.0, std::sqrt(rest) * (1.0 + 1e-9)};
        keep(i, x, begin_of(index(b0, b1, box_of(x - along)[2])), begin_of(index(b0, b1, box_of(x + along)[2]) + 1), square);
      }
    }
  }
  /// The square of how far box b of direction c begins or ends from x, a little less for the rounding of boxes; 0 within.
  double gap_squared(int b, std::size_t c, const Vec& x) const {
    const double begin = low_[c] + b * edge_ - x[c], end = x[c] - (low_[c] + (b + 1) * edge_), gap = std::max(begin, end) - 1e-9 * edge_;
    return gap > 0.0 ? gap * gap : 0.0;
  }

  /// Sorted members begin..end within the square of a radius, without i itself.
  void keep(int i, const Vec& x, std::size_t begin, std::size_t end, double limit) {
    const double *x0 = sorted_x_[0].data() + begin, *x1 = sorted_x_[1].data() + begin, *x2 = sorted_x_[2].data() + begin;
    double* const squared = squared_.data();
    const int* const residue = sorted_.data() + begin;
    for (std::size_t a = 0; a < end - begin; ++a) {
      const double d0 = x0[a] - x[0], d1 = x1[a] - x[1], d2 = x2[a] - x[2];
      squared[a] = d0 * d0 + d1 * d1 + d2 * d2;
    }
    Found* const found = found_.data();
    std::size_t count = count_;
    for (std::size_t a = 0; a < end - begin; ++a) {  // without branches
      found[count] = {squared[a], residue[a]};
      count += static_cast<std::size_t>(squared[a] <= limit) & static_cast<std::size_t>(residue[a] != i);
    }
    count_ = count;
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
  std::vector<Found> found_;  ///< one more than there are members: the place of the next one is written before it is known to count
  std::size_t count_ = 0;     ///< of `found_` that count
  std::vector<Found>::iterator last_found() { return found_.begin() + static_cast<std::ptrdiff_t>(count_); }
  std::vector<int> last_;  ///< neighbours of the residue before
  int before_ = 0;         ///< that residue
  double reach_ = 0.0;     ///< beyond this a sphere is no better than rings
};

/// Cosine and sine of sign(a.n2) acos(n1.n2) of consecutive bonds; of 0 where one is missing.
std::array<double, 2> dihedral(const Vec& a, const Vec& b, const Vec& c) {
  const Vec n1 = unit(cross(a, b)), n2 = unit(cross(b, c));
  const double side = dot(a, n2);
  if (side == 0.0) return {1.0, 0.0};
  const double cosine = std::clamp(dot(n1, n2), -1.0 + 1e-7, 1.0 - 1e-7), sine = std::sqrt((1.0 - cosine) * (1.0 + cosine));
  return {cosine, side > 0.0 ? sine : -sine};
}

/// phi, psi, omega of all residues along the chain of N, CA, C, taken as connected.
void add_angles(std::span<const double> coords, ResidueGraph& g) {
  const auto n = static_cast<std::size_t>(g.num_nodes);
  std::vector<Vec> bond;
  bond.reserve(3 * n);
  const auto point = [&](std::size_t m) { return at(coords, kBackboneAtoms * (m / 3) + m % 3); };
  for (std::size_t m = 0; m + 1 < 3 * n; ++m) bond.push_back(unit(point(m + 1) - point(m)));
  g.node_s.resize(kResidueScalars * n);
  for (std::size_t i = 0; i < 3 * n; ++i) {
    const auto [cosine, sine] = i > 0 && i + 1 < bond.size() ? dihedral(bond[i - 1], bond[i], bond[i + 1]) : std::array{1.0, 0.0};
    double* row = &g.node_s[kResidueScalars * (i / 3)];
    row[i % 3] = cosine;
    row[3 + i % 3] = sine;
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
