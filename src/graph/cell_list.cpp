// SPDX-License-Identifier: Apache-2.0
#include "graph/cell_list.hpp"

namespace gnn_hpc {

void CellList::sort(const LatticeFrame& frame, std::span<const double> frac, double thickness) {
  const auto n = static_cast<std::int32_t>(frac.size() / 3);
  // Never many more boxes than atoms.
  const std::array<double, 3> spacing = frame.plane_spacings();
  const double most = std::cbrt(static_cast<double>(n)) + 1.0;
  for (int c = 0; c < 3; ++c) {
    const double wanted = std::floor(spacing[c] / thickness * (1.0 - kSlack));
    boxes_[c] = static_cast<int>(std::clamp(wanted, 1.0, most * most));
  }
  while (std::int64_t{boxes_[0]} * boxes_[1] * boxes_[2] > 2 * std::int64_t{n} + 8) {
    int& largest = *std::max_element(boxes_.begin(), boxes_.end());
    largest = (largest + 1) / 2;
  }
  for (int c = 0; c < 3; ++c) boxes_a_length_[c] = boxes_[c] / spacing[c];

  ptr_.assign(static_cast<std::size_t>(boxes_[0]) * boxes_[1] * boxes_[2] + 1, 0);
  box_.resize(n);
  atoms_.resize(n);
  for (auto& f : frac_) f.resize(n);
  for (std::int32_t i = 0; i < n; ++i) {
    box_[i] = (box_of(frac[3 * i], 0) * boxes_[1] + box_of(frac[3 * i + 1], 1)) * boxes_[2] + box_of(frac[3 * i + 2], 2);
    ++ptr_[box_[i] + 1];
  }
  for (std::size_t b = 1; b < ptr_.size(); ++b) ptr_[b] += ptr_[b - 1];
  for (std::int32_t i = n - 1; i >= 0; --i) {  // backwards: ptr_ ends as the first atom of each box, shifted by one
    const std::int32_t slot = --ptr_[box_[i] + 1];
    atoms_[slot] = i;
    for (int c = 0; c < 3; ++c) frac_[c][slot] = frac[3 * i + c];
  }
  // ptr_[b + 1] is now the first atom of box b.
  for (std::size_t b = 0; b + 1 < ptr_.size(); ++b) ptr_[b] = ptr_[b + 1];
  ptr_.back() = n;
}

}  // namespace gnn_hpc
