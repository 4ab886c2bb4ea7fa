// SPDX-License-Identifier: Apache-2.0
#include "graph/periodic_knn.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "base/error.hpp"
#include "graph/lattice_triple.hpp"
#include "io/lattice_frame.hpp"

namespace gnn_hpc {
namespace {

using Image = CrystalGraphWorkspace::Image;
using Pair = CrystalGraphWorkspace::Pair;

constexpr double kClash2 = kClashDistance * kClashDistance;

void check_input(std::span<const double, 9> lattice, std::span<const double> frac, const CrystalGraphOptions& options) {
  if (options.max_neighbors < 1) {
    throw Error(Exit::usage, fmt::format("max_neighbors is {}; it must be at least 1", options.max_neighbors));
  }
  if (frac.empty() || frac.size() % 3 != 0) {
    throw Error(Exit::data, fmt::format("a crystal needs 3 coordinates an atom and at least one atom; got {} numbers", frac.size()));
  }
  const auto finite = [](double x) { return std::isfinite(x); };
  if (!std::all_of(lattice.begin(), lattice.end(), finite)) throw Error(Exit::data, "the cell has a number that is not finite");
  if (!std::all_of(frac.begin(), frac.end(), finite)) throw Error(Exit::data, "a coordinate is not finite");
}

/// From here on the pairs of a cell are found with boxes: all pairs cost less in a smaller one (measured: docs/performance.md).
constexpr int kManyAtoms = 150;

void keep_candidate(CrystalGraphWorkspace& w, const Image& image, double d2) {
  w.squared.push_back(d2);
  w.images.push_back(image);
}

/// All pairs i < j of a small cell, image by image of the sphere around their difference.
void collect_all_pairs(const LatticeFrame& frame, int n, CrystalGraphWorkspace& w) {
  const auto keep = [&w](int n1, int n2, int n3, double d2) {
    if (d2 <= kClash2) return;
    keep_candidate(w, {{static_cast<std::int16_t>(n1), static_cast<std::int16_t>(n2), static_cast<std::int16_t>(n3)}}, d2);
  };
  for (int i = 0; i < n; ++i) {
    const double* fi = &w.frac[3 * i];
    const double radius = w.radius[i];
    for (int j = i + 1; j < n; ++j) {
      const double* fj = &w.frac[3 * j];
      const auto begin = static_cast<std::int32_t>(w.squared.size());
      frame.visit(fj[0] - fi[0], fj[1] - fi[1], fj[2] - fi[2], std::max(radius, w.radius[j]), keep);
      const auto end = static_cast<std::int32_t>(w.squared.size());
      if (end > begin) w.pairs.push_back({i, j, begin, end});
    }
  }
}

/// Adds to `w.near` what atom i sees between the radius that it searched before and `w.radius[i]`. A pair is kept once: by the atom that reached it
/// in an earlier round, else by its first atom if that reaches it, else by its second.
void search_sphere(const LatticeFrame& frame, int i, CrystalGraphWorkspace& w) {
  const auto atoms = w.cells.atoms();
  const double *f1 = w.cells.frac(0).data(), *f2 = w.cells.frac(1).data(), *f3 = w.cells.frac(2).data();
  const double* fi = &w.frac[3 * i];
  const double limit = w.radius[i] * w.radius[i], known = std::max(kClash2, w.searched[i] * w.searched[i]);
  w.cells.visit_rows(fi, w.radius[i], [&](int begin, int end, const std::array<int, 3>& image) {
    const int length = end - begin;
    if (static_cast<int>(w.row.size()) < length) w.row.resize(length);
    double* squared = w.row.data();
    for (int a = 0; a < length; ++a) {
      squared[a] = frame.squared(image[0] + (f1[begin + a] - fi[0]), image[1] + (f2[begin + a] - fi[1]), image[2] + (f3[begin + a] - fi[2]));
    }
    for (int a = 0; a < length; ++a) {
      if (squared[a] > limit || squared[a] <= known) continue;
      const std::int32_t j = atoms[begin + a];
      const double seen_by_j = j < i ? w.radius[j] : w.searched[j];
      if (j == i || squared[a] <= seen_by_j * seen_by_j) continue;
      const int sign = j > i ? 1 : -1;
      Image seen;
      for (int c = 0; c < 3; ++c) seen.n[c] = static_cast<std::int16_t>(sign * image[c]);
      w.near.push_back({std::min(i, j), std::max(i, j), seen, squared[a]});
    }
  });
}

/// The same pairs of a large cell from the boxes around each atom, with the same arithmetic: equal bit by bit. Each atom searches its own
/// sphere, so that one that stands alone costs the others nothing; in further rounds only the atoms whose sphere has grown search again.
void collect_near_pairs(const LatticeFrame& frame, int n, CrystalGraphWorkspace& w) {
  if (w.searched.empty()) {
    w.searched.assign(n, 0.0);
    w.near.clear();
    w.cells.sort(frame, w.frac, w.radius[0]);
  }
  for (int i = 0; i < n; ++i) {
    if (w.radius[i] > w.searched[i]) search_sphere(frame, i, w);
  }
  w.searched.assign(w.radius.begin(), w.radius.end());

  w.first.assign(n + 1, 0);
  for (const auto& pair : w.near) ++w.first[pair.i + 1];
  for (int i = 0; i < n; ++i) w.first[i + 1] += w.first[i];
  w.sorted.resize(w.near.size());
  for (const auto& pair : w.near) w.sorted[w.first[pair.i]++] = pair;  // first[i] is now where atom i ends
  w.squared.resize(w.near.size());
  w.images.resize(w.near.size());
  for (int i = 0, begin = 0; i < n; ++i) {
    const int end = w.first[i];
    std::sort(w.sorted.begin() + begin, w.sorted.begin() + end);
    for (; begin < end; ++begin) {
      const auto& candidate = w.sorted[begin];
      if (w.pairs.empty() || w.pairs.back().i != i || w.pairs.back().j != candidate.j) w.pairs.push_back({i, candidate.j, begin, begin});
      ++w.pairs.back().end;
      w.squared[begin] = candidate.squared;
      w.images[begin] = candidate.image;
    }
  }
}

/// All candidates within the larger radius of their two atoms: workspace.pairs with i < j, then one list of self images, shared by
/// all atoms (pair with i = j = -1).
void collect(const LatticeFrame& frame, int n, CrystalGraphWorkspace& w) {
  w.pairs.clear();
  w.squared.clear();
  w.images.clear();
  if (n < kManyAtoms)
    collect_all_pairs(frame, n, w);
  else
    collect_near_pairs(frame, n, w);
  const auto begin = static_cast<std::int32_t>(w.squared.size());
  frame.visit<true>(0, 0, 0, *std::max_element(w.radius.begin(), w.radius.end()), [&w](int n1, int n2, int n3, double d2) {
    if (d2 <= kClash2) return;
    keep_candidate(w, {{static_cast<std::int16_t>(n1), static_cast<std::int16_t>(n2), static_cast<std::int16_t>(n3)}}, d2);
  });
  w.pairs.push_back({-1, -1, begin, static_cast<std::int32_t>(w.squared.size())});
}

/// The largest double whose square root is <= reach, so that `squared <= largest_square(reach)` says exactly `d <= reach`.
double largest_square(double reach) {
  double square = reach * reach;
  while (std::sqrt(square) > reach) square = std::nextafter(square, 0.0);
  for (double up = square; std::sqrt(up = std::nextafter(up, 1e300)) <= reach;) square = up;
  return square;
}

/// The threshold of every atom: d <= d_k + tie, as a bound on squares. Returns whether every sphere was large enough; if not,
/// those too small have grown. In a small cell the others have shrunk to what their atom needs, so that another round is cheap; in a large one
/// they are not searched again.
/// Beyond its own radius an atom sees some candidates, from larger spheres, but not all: its k-th distance counts only within.
bool find_thresholds(int k, int n, CrystalGraphWorkspace& w) {
  const Pair self = w.pairs.back();
  w.ptr.assign(n + 1, 0);
  for (std::size_t p = 0; p + 1 < w.pairs.size(); ++p) {
    const Pair& pair = w.pairs[p];
    w.ptr[pair.i + 1] += pair.end - pair.begin;
    w.ptr[pair.j + 1] += pair.end - pair.begin;
  }
  for (int i = 0; i < n; ++i) w.ptr[i + 1] += w.ptr[i] + 2 * (self.end - self.begin);
  if (w.distances.size() < static_cast<std::size_t>(w.ptr[n])) w.distances.resize(w.ptr[n]);
  auto& fill = w.first;  // next free slot of each atom
  fill.assign(w.ptr.begin(), w.ptr.end() - 1);
  for (std::size_t p = 0; p + 1 < w.pairs.size(); ++p) {
    const Pair& pair = w.pairs[p];
    const auto count = pair.end - pair.begin;
    std::copy_n(&w.squared[pair.begin], count, &w.distances[fill[pair.i]]);
    std::copy_n(&w.squared[pair.begin], count, &w.distances[fill[pair.j]]);
    fill[pair.i] += count;
    fill[pair.j] += count;
  }
  w.threshold.resize(n);
  bool enough = true;
  for (int i = 0; i < n; ++i) {
    for (auto s = self.begin; s < self.end; ++s) {
      w.distances[fill[i]++] = w.squared[s];
      w.distances[fill[i]++] = w.squared[s];
    }
    if (w.ptr[i + 1] - w.ptr[i] < k) {
      w.radius[i] *= 1.3;
      enough = false;
      continue;
    }
    const auto begin = w.distances.begin() + w.ptr[i], end = w.distances.begin() + w.ptr[i + 1];
    std::nth_element(begin, begin + (k - 1), end);
    const double reach = std::sqrt(*(begin + (k - 1))) + kShellTie;
    w.threshold[i] = largest_square(reach);
    const bool reached = reach * (1 + 1e-12) <= w.radius[i];
    enough = enough && reached;
    if (n < kManyAtoms || !reached) w.radius[i] = reach * (1 + 1e-11);
  }
  return enough;
}

/// The self edges of one atom: shared images within its threshold (multiplicity 2), and the lattice vectors beyond (1).
struct SelfEdges {
  Image extra[3];  // lexicographically positive, ascending
  double squared[3];
  int count = 0;

  SelfEdges(const LatticeFrame& frame, const std::array<int, 9>& triple, bool use_lattice) {
    if (!use_lattice) return;
    std::array<std::array<int, 3>, 3> rows;
    for (int s = 0; s < 3; ++s) {
      std::array<int, 3> n{triple[3 * s], triple[3 * s + 1], triple[3 * s + 2]};
      if (n < std::array<int, 3>{0, 0, 0}) n = {-n[0], -n[1], -n[2]};
      rows[s] = n;
    }
    std::sort(rows.begin(), rows.end());
    for (const auto& n : rows) {
      squared[count] = frame.squared(n[0], n[1], n[2]);
      extra[count++] = {{static_cast<std::int16_t>(n[0]), static_cast<std::int16_t>(n[1]), static_cast<std::int16_t>(n[2])}};
    }
  }

  /// Calls f(image, multiplicity) for the positive half, ascending.
  template <class F>
  void visit(const CrystalGraphWorkspace& w, double threshold, F&& f) const {
    const Pair self = w.pairs.back();
    int e = 0;
    const auto flush = [&](const Image* before) {
      for (; e < count && (!before || std::lexicographical_compare(extra[e].n, extra[e].n + 3, before->n, before->n + 3)); ++e) {
        if (squared[e] > threshold) f(extra[e], 1);
      }
    };
    for (auto s = self.begin; s < self.end; ++s) {
      if (w.squared[s] > threshold) continue;
      flush(&w.images[s]);
      f(w.images[s], 2);
    }
    flush(nullptr);
  }
};

/// Writes the edges in canonical order without sorting: for target v the sources u < v, then v itself, then u > v, and
/// inside a pair the images as they were found (ascending), or from the other end backwards and negated.
void emit(const SelfEdges& self_edges, int n, CrystalGraphWorkspace& w, CrystalGraph& graph) {
  const auto num_pairs = static_cast<std::int32_t>(w.pairs.size()) - 1;
  const auto& t = w.threshold;
  const auto mult_of = [&](const Pair& p, std::int32_t c) { return (w.squared[c] <= t[p.i]) + (w.squared[c] <= t[p.j]); };

  graph.num_nodes = n;
  graph.row_ptr.assign(n + 1, 0);
  w.by_j_ptr.assign(n + 1, 0);
  w.first.assign(n + 1, num_pairs);
  for (std::int32_t p = num_pairs - 1; p >= 0; --p) {
    const Pair& pair = w.pairs[p];
    w.first[pair.i] = p;
    ++w.by_j_ptr[pair.j + 1];
    std::int32_t kept = 0;
    for (auto c = pair.begin; c < pair.end; ++c) kept += mult_of(pair, c) > 0;
    graph.row_ptr[pair.i + 1] += kept;
    graph.row_ptr[pair.j + 1] += kept;
  }
  for (int i = n - 1; i >= 0; --i) w.first[i] = std::min(w.first[i], w.first[i + 1]);
  for (int i = 0; i < n; ++i) {
    std::int32_t own = 0;
    self_edges.visit(w, t[i], [&](const Image&, int) { own += 2; });
    graph.row_ptr[i + 1] += graph.row_ptr[i] + own;
    w.by_j_ptr[i + 1] += w.by_j_ptr[i];
  }
  w.by_j.resize(num_pairs);
  w.ptr.assign(w.by_j_ptr.begin(), w.by_j_ptr.end());
  for (std::int32_t p = 0; p < num_pairs; ++p) w.by_j[w.ptr[w.pairs[p].j]++] = p;

  const std::int64_t num_edges = graph.row_ptr[n];
  graph.u.resize(num_edges);
  graph.v.resize(num_edges);
  graph.mult.resize(num_edges);
  graph.image.resize(3 * num_edges);
  const auto put = [&graph](std::int64_t e, int u, int v, const Image& m, int sign, int mult) {
    graph.u[e] = u;
    graph.v[e] = v;
    graph.mult[e] = static_cast<std::uint8_t>(mult);
    for (int c = 0; c < 3; ++c) graph.image[3 * e + c] = static_cast<std::int16_t>(sign * m.n[c]);
  };
  std::int64_t e = 0;
  for (int v = 0; v < n; ++v) {
    for (auto q = w.by_j_ptr[v]; q < w.by_j_ptr[v + 1]; ++q) {  // pairs (i < v, v): found as seen from i, the source
      const Pair& pair = w.pairs[w.by_j[q]];
      for (auto c = pair.begin; c < pair.end; ++c) {
        if (const int mult = mult_of(pair, c)) put(e++, pair.i, v, w.images[c], 1, mult);
      }
    }
    std::int64_t half = 0;
    self_edges.visit(w, t[v], [&](const Image&, int) { ++half; });
    std::int64_t positive = e + half, negative = positive;
    self_edges.visit(w, t[v], [&](const Image& m, int mult) {
      put(positive++, v, v, m, 1, mult);
      put(--negative, v, v, m, -1, mult);
    });
    e = positive;
    for (auto p = w.first[v]; p < w.first[v + 1]; ++p) {  // pairs (v, j > v): the edge enters v from j
      const Pair& pair = w.pairs[p];
      for (auto c = pair.end - 1; c >= pair.begin; --c) {
        if (const int mult = mult_of(pair, c)) put(e++, pair.j, v, w.images[c], -1, mult);
      }
    }
  }
}

/// Radius of a sphere that holds k + 10 atoms at the crystal's density. In a large cell a little less, k + 5 at least, if the spacings of its planes
/// are then whole numbers of boxes: a box that is thicker than the sphere's radius brings in atoms for nothing.
double first_radius(const LatticeFrame& frame, int n, int k) {
  const auto radius_of = [&](int atoms) { return std::cbrt(3.0 * atoms * frame.volume / (4.0 * std::numbers::pi * n)); };
  const double wanted = radius_of(k + 10);
  if (n < kManyAtoms) return wanted;
  double fitting = wanted;
  for (const double spacing : frame.plane_spacings()) {
    fitting = std::min(fitting, spacing / std::ceil(spacing / wanted) * (1.0 - 1e-8));
  }
  return fitting >= radius_of(k + 5) ? fitting : wanted;
}

}  // namespace

double wrap_fraction(double f) {
  const double w = f - std::floor(f);
  return w >= 1.0 ? 0.0 : w;
}

std::array<double, 3> edge_vector(std::span<const double, 9> lattice, const double* frac_u, const double* frac_v, const std::int16_t* image) {
  const double x1 = image[0] + (frac_v[0] - frac_u[0]), x2 = image[1] + (frac_v[1] - frac_u[1]), x3 = image[2] + (frac_v[2] - frac_u[2]);
  std::array<double, 3> r;
  for (int c = 0; c < 3; ++c) r[c] = (x1 * lattice[c] + x2 * lattice[3 + c]) + x3 * lattice[6 + c];
  return r;
}

void build_crystal_graph(std::span<const double, 9> lattice, std::span<const double> frac, const CrystalGraphOptions& options,
                         CrystalGraphWorkspace& w, CrystalGraph& graph) {
  check_input(lattice, frac, options);
  const LatticeFrame frame(lattice);
  if (!(frame.volume > 0) || !std::isfinite(frame.largest_index(1.0))) throw Error(Exit::data, "the cell has no volume");
  const int n = static_cast<int>(frac.size() / 3), k = options.max_neighbors;
  w.frac.resize(frac.size());
  std::transform(frac.begin(), frac.end(), w.frac.begin(), wrap_fraction);
  graph.lattice_images = lattice_triple(lattice, w);

  // A sphere that holds k + 10 atoms at the crystal's density; grown only where the crystal is uneven.
  w.radius.assign(n, first_radius(frame, n, k));
  w.searched.clear();
  do {
    const double radius = *std::max_element(w.radius.begin(), w.radius.end());
    const double expected = 4.0 / 3.0 * std::numbers::pi * radius * radius * radius / frame.volume * n * n;
    if (!(frame.largest_index(radius) + 1 < 32000) || !(expected < 1e9)) {
      throw Error(Exit::data, fmt::format("the neighbour search needs a sphere of {:.3g} A in a cell of {:.3g} A^3 with {} atoms: "
                                          "too flat or too empty a cell",
                                          radius, frame.volume, n));
    }
    collect(frame, n, w);
  } while (!find_thresholds(k, n, w));
  emit(SelfEdges(frame, graph.lattice_images, options.use_lattice), n, w, graph);
}

}  // namespace gnn_hpc
