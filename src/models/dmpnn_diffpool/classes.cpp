// SPDX-License-Identifier: Apache-2.0
#include "models/dmpnn_diffpool/classes.hpp"

#include "base/error.hpp"
#include "models/dmpnn_diffpool/messages.hpp"

#include <algorithm>
#include <bit>

namespace gnn_hpc::dmpnn {

namespace {

std::uint64_t mix(std::uint64_t h, std::uint64_t value) {
  h = (h ^ value) * 0x9E3779B97F4A7C15ULL;
  return h ^ (h >> 29);
}

/// Finds a class by (residual, items) among those of a layer, or appends it. Open addressing; the layer itself holds the keys.
class Interner {
 public:
  explicit Interner(MoleculeClasses::Layer& layer) : layer_(layer), slots_(1024, -1) {}

  int find_or_add(int residual, const std::vector<MessageItem>& items) {
    std::uint64_t h = mix(0x243F6A8885A308D3ULL, static_cast<std::uint64_t>(residual));
    for (const MessageItem& item : items) {
      h = mix(mix(h, static_cast<std::uint64_t>(item.row)), std::bit_cast<std::uint64_t>(item.weight));
    }
    if (2 * hashes_.size() >= slots_.size()) grow();
    std::size_t at = h & (slots_.size() - 1);
    for (; slots_[at] >= 0; at = (at + 1) & (slots_.size() - 1)) {
      const auto id = static_cast<std::size_t>(slots_[at]);
      if (hashes_[id] == h && equal(id, residual, items)) return slots_[at];
    }
    const int id = layer_.size();
    slots_[at] = id;
    hashes_.push_back(h);
    layer_.residual.push_back(residual);
    for (const MessageItem& item : items) {
      layer_.in.item.push_back(item.row);
      layer_.in.weight.push_back(item.weight);
    }
    layer_.in.ptr.push_back(static_cast<int>(layer_.in.item.size()));
    return id;
  }

 private:
  bool equal(std::size_t id, int residual, const std::vector<MessageItem>& items) const {
    const auto begin = static_cast<std::size_t>(layer_.in.ptr[id]), count = static_cast<std::size_t>(layer_.in.ptr[id + 1]) - begin;
    if (layer_.residual[id] != residual || count != items.size()) return false;
    for (std::size_t i = 0; i < count; ++i) {
      if (layer_.in.item[begin + i] != items[i].row || layer_.in.weight[begin + i] != items[i].weight) return false;
    }
    return true;
  }
  void grow() {
    slots_.assign(2 * slots_.size(), -1);
    for (std::size_t id = 0; id < hashes_.size(); ++id) {
      std::size_t at = hashes_[id] & (slots_.size() - 1);
      while (slots_[at] >= 0) at = (at + 1) & (slots_.size() - 1);
      slots_[at] = static_cast<int>(id);
    }
  }

  MoleculeClasses::Layer& layer_;
  std::vector<int> slots_;
  std::vector<std::uint64_t> hashes_;
};

}  // namespace

MoleculeClasses::MoleculeClasses(std::span<const MoleculeView> molecules, int depth, bool undirected) {
  Layer first;  // classes of h^0 as a layer: residual is the atom type, the one item the bond type
  steps_.resize(static_cast<std::size_t>(depth) - 1);
  Interner h0(first), nodes(nodes_);
  std::vector<Interner> steps;
  for (Layer& layer : steps_) steps.emplace_back(layer);
  MoleculeMessages messages;
  std::vector<int> zero, before, now;
  std::vector<MessageItem> items;
  const auto refer = [&items](const std::vector<int>& classes) {  // items of edges become items of classes
    for (MessageItem& item : items) item.row = classes[static_cast<std::size_t>(item.row)];
    merge_items(items);
  };
  for (const MoleculeView& m : molecules) {
    messages.set(m, undirected);
    const std::size_t edges = m.src.size();
    zero.resize(edges);
    for (std::size_t e = 0; e < edges; ++e) {
      items.assign(1, {m.bond_type[e], 1.0});
      zero[e] = h0.find_or_add(m.atom_type[static_cast<std::size_t>(m.src[e])], items);
    }
    before = zero;
    for (Interner& step : steps) {
      now.resize(edges);
      for (std::size_t e = 0; e < edges; ++e) {
        messages.of_edge(static_cast<int>(e), items);
        refer(before);
        now[e] = step.find_or_add(zero[e], items);
      }
      std::swap(before, now);
    }
    for (std::size_t v = 0; v < m.atom_type.size(); ++v) {
      messages.of_atom(static_cast<int>(v), items);
      refer(before);
      atom_class_.push_back(nodes.find_or_add(m.atom_type[v], items));
    }
    atom_ptr_.push_back(static_cast<std::int64_t>(atom_class_.size()));
  }
  h0_atom_ = std::move(first.residual);
  h0_bond_ = std::move(first.in.item);
}

std::span<const std::int32_t> MoleculeClasses::of(std::int64_t molecule) const {
  GNN_HPC_REQUIRE(molecule >= 0 && molecule < num_molecules(), "molecule {} of {}", molecule, num_molecules());
  const auto begin = static_cast<std::size_t>(atom_ptr_[static_cast<std::size_t>(molecule)]);
  return {atom_class_.data() + begin, static_cast<std::size_t>(atom_ptr_[static_cast<std::size_t>(molecule) + 1]) - begin};
}

}  // namespace gnn_hpc::dmpnn
