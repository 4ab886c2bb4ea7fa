// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "io/lattice_frame.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

namespace gnn_hpc {

/// The atoms of one cell sorted into a grid of m1 x m2 x m3 boxes along the lattice vectors, so that everything within some radius of an
/// atom, images included, lies in a few rows of consecutive atoms: a search that is linear in the number of atoms, for any shape of
/// the cell (one box along a short vector, whose images are then neighbours of themselves). Memory is reused from cell to cell.
class CellList {
 public:
  /// @param frac [3N], each in [0, 1)  @param thickness angstrom, of a box at least; best the radius of most visits
  void sort(const LatticeFrame& frame, std::span<const double> frac, double thickness);

  /// Calls f(begin, end, n) with every row of sorted atoms begin..end, all in the image n of the cell, that may lie within `radius` of
  /// the point. No (atom, image) comes twice.
  template <class F>
  void visit_rows(const double* point, double radius, F&& f) const {
    std::array<int, 3> box, range;
    for (int c = 0; c < 3; ++c) {
      box[c] = box_of(point[c], c);
      range[c] = static_cast<int>(std::ceil(radius * boxes_a_length_[c] + kSlack));
    }
    for (int o1 = box[0] - range[0]; o1 <= box[0] + range[0]; ++o1) {
      const int q1 = image_of(o1, 0), b1 = o1 - q1 * boxes_[0];
      for (int o2 = box[1] - range[1]; o2 <= box[1] + range[1]; ++o2) {
        const int q2 = image_of(o2, 1), b2 = o2 - q2 * boxes_[1];
        const int row = (b1 * boxes_[1] + b2) * boxes_[2];
        for (int b3 = box[2] - range[2]; b3 <= box[2] + range[2];) {  // as far as one image goes
          const int q3 = image_of(b3, 2), first = b3 - q3 * boxes_[2];
          const int last = std::min(boxes_[2] - 1, box[2] + range[2] - q3 * boxes_[2]);
          const int begin = ptr_[row + first], end = ptr_[row + last + 1];
          if (begin < end) f(begin, end, std::array<int, 3>{q1, q2, q3});
          b3 += last - first + 1;
        }
      }
    }
  }

  /// In the order of the boxes, inside a box ascending: the number of each atom and its coordinates.
  std::span<const std::int32_t> atoms() const { return atoms_; }
  std::span<const double> frac(int direction) const { return frac_[direction]; }

 private:
  int box_of(double f, int direction) const { return std::min(boxes_[direction] - 1, static_cast<int>(f * boxes_[direction])); }
  /// floor(box / boxes)
  int image_of(int box, int direction) const {
    const int m = boxes_[direction];
    if (box >= 0 && box < m) return 0;
    return box >= 0 ? box / m : -((m - 1 - box) / m);
  }

  static constexpr double kSlack = 1e-9;  ///< for the rounding of a coordinate times the number of boxes
  std::array<int, 3> boxes_{1, 1, 1};
  std::array<double, 3> boxes_a_length_{};  ///< [1/angstrom]
  std::vector<std::int32_t> ptr_;           ///< [boxes + 1] atoms of a box
  std::vector<std::int32_t> atoms_;         ///< [N]
  std::vector<std::int32_t> box_;           ///< [N] box of each atom, in input order
  std::array<std::vector<double>, 3> frac_;
};

}  // namespace gnn_hpc
