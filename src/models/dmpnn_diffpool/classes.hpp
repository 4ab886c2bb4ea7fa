// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/dmpnn_diffpool/molecule.hpp"
#include "nn/gather.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace gnn_hpc::dmpnn {

/// Colour refinement (Weisfeiler and Leman) of the edge states of all molecules of a data set, done once at load time (specification
/// section 10 item 2). The state h^t of an edge is a function of its class:
///   class of h^0: (atom type of the source, bond type)
///   class of h^t: (class of h^0, multiset of (class of h^(t-1), coefficient) in its message m)
///   class of z:   (atom type, multiset of (class of h^(depth-1), omega) that enter the atom)
/// Coefficients include edge weights, the subtraction of the reverse edge and `undirected`; those that are zero drop out, equal classes
/// merge. Classes refer to each other, so a batch computes rows of classes instead of rows of edges, and the gradients of all members add
/// up on their class.
class MoleculeClasses {
 public:
  /// How the classes of one layer are computed from the layer before.
  struct Layer {
    std::vector<int> residual;  ///< h^t: class of h^0; z: atom type
    HostGather in;              ///< classes of the layer before, with coefficients
    int size() const { return static_cast<int>(residual.size()); }
  };

  MoleculeClasses() = default;
  /// @param depth number of edge states; @param undirected as in ModelOptions
  MoleculeClasses(std::span<const MoleculeView> molecules, int depth, bool undirected);

  int depth() const { return static_cast<int>(steps_.size()) + 1; }
  std::int64_t num_molecules() const { return static_cast<std::int64_t>(atom_ptr_.size()) - 1; }
  const std::vector<int>& h0_atom() const { return h0_atom_; }                        ///< atom type of each class of h^0
  const std::vector<int>& h0_bond() const { return h0_bond_; }                        ///< bond type
  const Layer& step(int t) const { return steps_[static_cast<std::size_t>(t) - 1]; }  ///< t = 1 .. depth-1
  const Layer& nodes() const { return nodes_; }
  /// Class of z of every atom of a molecule.
  std::span<const std::int32_t> of(std::int64_t molecule) const;

 private:
  std::vector<int> h0_atom_, h0_bond_;
  std::vector<Layer> steps_;
  Layer nodes_;
  std::vector<std::int64_t> atom_ptr_{0};
  std::vector<std::int32_t> atom_class_;
};

}  // namespace gnn_hpc::dmpnn
