// SPDX-License-Identifier: Apache-2.0
#include "models/dmpnn_diffpool/messages.hpp"

#include "base/error.hpp"

#include <algorithm>

namespace gnn_hpc::dmpnn {

void merge_items(std::vector<MessageItem>& items) {
  std::sort(items.begin(), items.end(),
            [](const MessageItem& a, const MessageItem& b) { return a.row != b.row ? a.row < b.row : a.weight < b.weight; });
  std::size_t kept = 0;
  for (std::size_t i = 0; i < items.size();) {
    MessageItem sum = items[i];
    for (++i; i < items.size() && items[i].row == sum.row; ++i) sum.weight += items[i].weight;
    if (sum.weight != 0.0) items[kept++] = sum;
  }
  items.resize(kept);
}

void MoleculeMessages::set(const MoleculeView& m, bool undirected) {
  const std::size_t atoms = m.atom_type.size(), edges = m.src.size();
  if (m.dst.size() != edges || m.bond_type.size() != edges || edges % 2 != 0 || (!m.edge_weight.empty() && m.edge_weight.size() != edges) ||
      (!m.atom_weight.empty() && m.atom_weight.size() != atoms)) {
    throw Error(Exit::data, fmt::format("a molecule of {} atoms and {} directed edges has {} ends, {} bond types, {} edge and {} atom weights; "
                                        "edges must come in pairs",
                                        atoms, edges, m.dst.size(), m.bond_type.size(), m.edge_weight.size(), m.atom_weight.size()));
  }
  for (std::size_t e = 0; e < edges; ++e) {
    if (m.src[e] < 0 || m.dst[e] < 0 || static_cast<std::size_t>(m.src[e]) >= atoms || m.src[e] != m.dst[e ^ 1]) {
      throw Error(Exit::data, fmt::format("edge {} of a molecule runs from atom {} to {}: atoms are 0 to {}, and edge {} must be its reverse", e,
                                          m.src[e], m.dst[e], static_cast<long>(atoms) - 1, e ^ 1));
    }
  }
  molecule_ = m;
  undirected_ = undirected;
  in_ptr_.assign(atoms + 2, 0);
  for (const int v : m.dst) ++in_ptr_[static_cast<std::size_t>(v) + 2];
  for (std::size_t v = 2; v < in_ptr_.size(); ++v) in_ptr_[v] += in_ptr_[v - 1];
  in_edge_.resize(edges);
  for (std::size_t e = 0; e < edges; ++e) {
    in_edge_[static_cast<std::size_t>(in_ptr_[static_cast<std::size_t>(m.dst[e]) + 1]++)] = static_cast<int>(e);
  }
}

void MoleculeMessages::of_edge(int e, std::vector<MessageItem>& items) const {
  items.clear();
  const auto v = static_cast<std::size_t>(molecule_.src[static_cast<std::size_t>(e)]);
  const auto add = [&](int edge, double w) {
    if (undirected_) {
      items.push_back({edge, 0.5 * w});
      items.push_back({edge ^ 1, 0.5 * w});
    } else {
      items.push_back({edge, w});
    }
  };
  for (int k = in_ptr_[v]; k < in_ptr_[v + 1]; ++k) {
    const int edge = in_edge_[static_cast<std::size_t>(k)];
    add(edge, edge == (e ^ 1) ? weight(edge) - 1.0 : weight(edge));
  }
  merge_items(items);
}

void MoleculeMessages::of_atom(int atom, std::vector<MessageItem>& items) const {
  items.clear();
  const auto v = static_cast<std::size_t>(atom);
  for (int k = in_ptr_[v]; k < in_ptr_[v + 1]; ++k) {
    const int edge = in_edge_[static_cast<std::size_t>(k)];
    items.push_back({edge, weight(edge)});
  }
  merge_items(items);
}

}  // namespace gnn_hpc::dmpnn
