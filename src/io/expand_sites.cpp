// SPDX-License-Identifier: Apache-2.0
#include "io/expand_sites.hpp"

#include <cmath>
#include <cstdlib>

#include "base/error.hpp"
#include "io/structure_check.hpp"

namespace gnn_hpc {
namespace {

constexpr double kSamePlace = 0.1;  // angstrom: images of one site that are one atom, far below kClosestAtoms
constexpr std::size_t kMostImages = 20000;

using Vector = std::array<double, 3>;

/// The shortest of d + n for integer n, in a cell that is not skewed beyond what distances of 0.5 A notice.
Vector nearest_image(Vector d) {
  for (double& x : d) x -= std::round(x);
  return d;
}

double length(const Vector& d, const std::array<double, 9>& lattice) {
  double squared = 0;
  for (std::size_t c = 0; c < 3; ++c) {
    const double x = d[0] * lattice[c] + d[1] * lattice[3 + c] + d[2] * lattice[6 + c];
    squared += x * x;
  }
  return std::sqrt(squared);
}

Vector difference(const double* a, const double* b) { return nearest_image({a[0] - b[0], a[1] - b[1], a[2] - b[2]}); }

/// Whether a move by `d` under `operation` is no more than the digits of the site leave open.
bool within_digits(const SymmetryOperation& operation, const Site& site, const Vector& d) {
  for (std::size_t r = 0; r < 3; ++r) {
    double open = 1e-9;
    for (std::size_t c = 0; c < 3; ++c) open += std::abs(operation.rotation[3 * r + c] - (r == c ? 1 : 0)) * site.resolution[c];
    if (std::abs(d[r]) > open) return false;
  }
  return true;
}

struct Placed {
  Vector frac;             ///< on its special position
  std::size_t fixing = 0;  ///< operations that leave it in place, the identity included
};

/// @param digits whether moves that the digits leave open count, beside those that are small
Placed place(const Site& site, const std::vector<SymmetryOperation>& group, const std::array<double, 9>& lattice, bool digits = true) {
  Placed out{site.frac, 0};
  Vector sum{0, 0, 0};
  bool by_digits = false;
  for (const SymmetryOperation& operation : group) {
    const Vector image = operation.apply(site.frac), d = difference(image.data(), site.frac.data());
    const double move = length(d, lattice);
    if (move >= kSamePlace) {
      if (!(digits && move < kClosestAtoms && within_digits(operation, site, d))) continue;
      by_digits = true;
    }
    for (std::size_t c = 0; c < 3; ++c) sum[c] += d[c];
    ++out.fixing;
  }
  for (std::size_t c = 0; c < 3; ++c) {
    const double move = sum[c] / static_cast<double>(out.fixing);
    // Each operation alone can be within the digits and the point that all of them fix still beyond.
    if (by_digits && std::abs(move) > site.resolution[c] + 1e-9) return place(site, group, lattice, false);
    if (std::abs(move) > 1e-9) out.frac[c] += move;  // a coordinate that is right keeps its last bit
  }
  return out;
}

class Expansion {
 public:
  Expansion(const std::vector<SymmetryOperation>& group, const std::array<double, 9>& lattice) : group_(group), lattice_(lattice) {}

  void add(const Site& site, std::int32_t number) {
    const Placed placed = place(site, group_, lattice_);
    for (std::size_t a = 0; a < out_.z.size(); ++a) {
      const bool listed = a == 0 || out_.site[a] != out_.site[a - 1];
      if (!listed && out_.z[a] == site.z && near(a, placed.frac)) return;  // an image of an earlier site
    }
    const std::size_t first = out_.z.size();
    push(placed.frac, site.z, number);
    for (const SymmetryOperation& operation : group_) {
      Vector image = operation.apply(placed.frac);
      for (double& f : image) f -= std::floor(f);
      bool there = false;
      for (std::size_t a = first; a < out_.z.size() && !there; ++a) there = near(a, image);
      if (!there) push(image, site.z, number);
    }
    const std::size_t images = out_.z.size() - first;
    if (images * placed.fixing != group_.size()) {
      throw Error(Exit::data, fmt::format("site {} is near a special position, but which one its digits do not tell: {} of {} operations leave it in "
                                          "place, which makes {} images of it; give its coordinates with more digits",
                                          site.label, placed.fixing, group_.size(), images));
    }
  }

  ExpandedSites take() { return std::move(out_); }

 private:
  bool near(std::size_t a, const Vector& f) const { return length(difference(&out_.frac[3 * a], f.data()), lattice_) < kSamePlace; }

  void push(const Vector& f, std::uint8_t z, std::int32_t number) {
    out_.frac.insert(out_.frac.end(), f.begin(), f.end());
    out_.z.push_back(z);
    out_.site.push_back(number);
  }

  const std::vector<SymmetryOperation>& group_;
  const std::array<double, 9>& lattice_;
  ExpandedSites out_;
};

}  // namespace

ExpandedSites expand_sites(const std::vector<Site>& sites, const std::vector<SymmetryOperation>& group, const std::array<double, 9>& lattice) {
  if (sites.size() * group.size() > kMostImages) {
    throw Error(Exit::data, fmt::format("{} sites under {} operations are more than {} atoms", sites.size(), group.size(), kMostImages));
  }
  Expansion expansion(group, lattice);
  for (std::size_t s = 0; s < sites.size(); ++s) expansion.add(sites[s], static_cast<std::int32_t>(s));
  return expansion.take();
}

}  // namespace gnn_hpc
