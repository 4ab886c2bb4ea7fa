// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "graph/cell_list.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace gnn_hpc {

/// Options of the crystal graph. `cutoff` is accepted and stored with caches, but does not change the graph: the k nearest
/// neighbours are found at any distance (specification, comformer section 2 step 1).
struct CrystalGraphOptions {
  int max_neighbors = 25;   ///< k >= 1
  double cutoff = 6.0;      ///< angstrom; no effect
  bool use_lattice = true;  ///< add the self edges along the three lattice vectors
};

/// Constants of the definition.
inline constexpr double kShellTie = 1e-4;       ///< angstrom: distances closer than this belong to one shell
inline constexpr double kClashDistance = 0.15;  ///< angstrom: closer pairs are not neighbours
inline constexpr double kCosineTie = 1e-4;      ///< |cos| below this counts as a right angle

/// Unique directed edges u -> v of one crystal with their multiplicity, in canonical order (v, u, n1, n2, n3): CSR by target.
/// The vector of an edge points from u to v: r = (image + f_v - f_u) L with wrapped coordinates f.
/// The multigraph is symmetric: (u -> v, n) and (v -> u, -n) have the same multiplicity, [(v,n) in N_u] + [(u,-n) in N_v].
/// Images are int16: a needle cell of 1 x 1 x 500 angstrom needs more than int8 holds.
struct CrystalGraph {
  int num_nodes = 0;
  std::vector<std::int32_t> row_ptr;    ///< [N+1] edges entering v are row_ptr[v] .. row_ptr[v+1]
  std::vector<std::int32_t> u, v;       ///< [E] source and target
  std::vector<std::int16_t> image;      ///< [E,3]
  std::vector<std::uint8_t> mult;       ///< [E] 1 or 2
  std::array<int, 9> lattice_images{};  ///< [3,3] rows: l1, l2, l3 as integer images, after the sign rules
  std::int64_t num_edges() const { return static_cast<std::int64_t>(u.size()); }
};

/// Memory of one thread, reused from crystal to crystal: nothing is allocated once it has seen the largest.
class CrystalGraphWorkspace {
 public:
  /// An unordered pair i <= j with images n of j; i == j keeps the lexicographically positive half of the images only.
  struct Pair {
    std::int32_t i, j, begin, end;  ///< candidates begin..end, ascending (n1, n2, n3)
  };
  struct Image {
    std::int16_t n[3];
  };
  std::vector<double> frac;    ///< [3N] wrapped
  std::vector<double> radius;  ///< [N] of the sphere searched around an atom
  std::vector<Pair> pairs;
  std::vector<double> squared;               ///< squared distance of each candidate
  std::vector<Image> images;                 ///< image of each candidate
  std::vector<std::int32_t> ptr;             ///< [N+1] distances of an atom in `distances`
  std::vector<double> distances;             ///< squared distances, grouped by atom
  std::vector<double> threshold;             ///< [N] squared distance of the last kept neighbour, tie included
  std::vector<std::int32_t> first;           ///< [N] first pair with i == atom
  std::vector<std::int32_t> by_j_ptr, by_j;  ///< pairs with j == atom and i < j, ascending i
  struct LatticePoint {
    double length;
    int n[3];
  };
  std::vector<LatticePoint> points;
  /// A candidate of a large cell; those of one atom i are put in order by (j, image).
  struct Near {
    std::int32_t i, j;
    Image image;
    double squared;
    friend bool operator<(const Near& a, const Near& b) {
      if (a.j != b.j) return a.j < b.j;
      return std::lexicographical_compare(a.image.n, a.image.n + 3, b.image.n, b.image.n + 3);
    }
  };
  CellList cells;
  std::vector<double> searched;  ///< [N] radius within which all candidates of an atom of a large cell are known
  std::vector<double> row;       ///< squared distances of one row of boxes
  std::vector<Near> near, sorted;
};

/// f - floor(f), with 1.0 (a rounding result of tiny negative numbers) becoming 0.0.
double wrap_fraction(double f);

/// Cartesian vector (n + f_v - f_u) L; the one place that fixes its arithmetic.
std::array<double, 3> edge_vector(std::span<const double, 9> lattice, const double* frac_u, const double* frac_v, const std::int16_t* image);

/// Builds the deterministic graph of one crystal (definition: specification comformer, section 2), in double.
/// @param lattice rows are the lattice vectors  @param frac [3N], any cell; wrapped here
/// Thread-safe: works only in `workspace` and `graph`; the result does not depend on threads, workspace history or build flags.
/// Throws Error(Exit::data) for no atoms, a non-finite number, a cell without volume or one so flat that its images
/// do not fit 16 bits; Error(Exit::usage) for max_neighbors < 1.
void build_crystal_graph(std::span<const double, 9> lattice, std::span<const double> frac, const CrystalGraphOptions& options,
                         CrystalGraphWorkspace& workspace, CrystalGraph& graph);

}  // namespace gnn_hpc
