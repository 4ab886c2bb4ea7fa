// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/dmpnn_diffpool/molecule.hpp"

#include <vector>

namespace gnn_hpc::dmpnn {

/// One term of a message: coefficient times the state of an edge (or of a class).
struct MessageItem {
  int row = 0;
  double weight = 1.0;
};

/// Sorts by row, adds up coefficients of equal rows and drops those that are zero. The result does not depend on the order given.
void merge_items(std::vector<MessageItem>& items);

/// Which edges of one molecule enter which message, with what coefficient:
///   m_e = sum over e' into src(e) of omega_e' h_e' - h_rev(e)         (`undirected`: of (h_e + h_rev(e)) / 2 instead of h_e)
///   M_v = sum over e into v of omega_e h_e
/// The reverse edge is among those that enter src(e): its coefficient is omega - 1, so that nothing cancels in the sums.
class MoleculeMessages {
 public:
  /// Keeps the spans of the view. Throws Error(Exit::data) for indices out of range or spans that do not fit together.
  void set(const MoleculeView& molecule, bool undirected);
  /// Items are edges of the molecule, merged.
  void of_edge(int e, std::vector<MessageItem>& items) const;
  void of_atom(int v, std::vector<MessageItem>& items) const;

 private:
  double weight(int e) const { return molecule_.edge_weight.empty() ? 1.0 : molecule_.edge_weight[static_cast<std::size_t>(e)]; }
  MoleculeView molecule_;
  bool undirected_ = false;
  std::vector<int> in_ptr_, in_edge_;
};

}  // namespace gnn_hpc::dmpnn
