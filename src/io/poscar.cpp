// SPDX-License-Identifier: Apache-2.0
#include "io/poscar.hpp"

#include <cmath>

#include "base/error.hpp"
#include "io/elements.hpp"
#include "io/text_source.hpp"

namespace gnn_hpc {
namespace {

constexpr std::int64_t kMostAtoms = 1000000;

}  // namespace

std::array<double, 9> inverse_lattice(const std::array<double, 9>& m) {
  const double det = m[0] * (m[4] * m[8] - m[5] * m[7]) - m[1] * (m[3] * m[8] - m[5] * m[6]) + m[2] * (m[3] * m[7] - m[4] * m[6]);
  std::array<double, 9> inverse{m[4] * m[8] - m[5] * m[7], m[2] * m[7] - m[1] * m[8], m[1] * m[5] - m[2] * m[4],
                                m[5] * m[6] - m[3] * m[8], m[0] * m[8] - m[2] * m[6], m[2] * m[3] - m[0] * m[5],
                                m[3] * m[7] - m[4] * m[6], m[1] * m[6] - m[0] * m[7], m[0] * m[4] - m[1] * m[3]};
  for (double& x : inverse) x /= det;
  return inverse;
}

void multiply(const double* row, const std::array<double, 9>& m, double* out) {
  for (int c = 0; c < 3; ++c) out[c] = row[0] * m[c] + row[1] * m[3 + c] + row[2] * m[6 + c];
}

void parse_poscar(std::string_view text, Crystal& out) {
  std::string_view line;
  const auto need_line = [&](const char* what) {
    if (!next_line(text, line)) throw Error(Exit::data, fmt::format("the POSCAR ends before {}", what));
  };
  need_line("the comment line");
  need_line("the scale factor");
  double scale[3];
  scale[0] = scale[1] = scale[2] = finite_number(next_word(line), "the scale factor");
  if (const auto second = next_word(line); !second.empty() && parse_number(second)) {
    const auto third = next_word(line);
    if (parse_number(third)) {
      scale[1] = finite_number(second, "the scale factor"), scale[2] = finite_number(third, "the scale factor");
      for (double s : scale) {
        if (!(s > 0)) throw Error(Exit::data, "of three scale factors each must be positive");
      }
    }
  }
  if (scale[0] == 0) throw Error(Exit::data, "the scale factor is 0");
  for (int r = 0; r < 3; ++r) {
    need_line("three lattice vectors");
    for (int c = 0; c < 3; ++c) out.lattice[3 * r + c] = finite_number(next_word(line), "a lattice vector's component");
  }
  if (scale[0] < 0) {
    const double volume = cell_volume(out.lattice);
    if (!(volume > 0)) throw Error(Exit::data, "zero volume");
    scale[0] = scale[1] = scale[2] = std::cbrt(-scale[0] / volume);
  }
  for (int e = 0; e < 9; ++e) out.lattice[e] *= scale[e % 3];

  need_line("the element symbols");
  std::vector<std::uint8_t> species;
  for (auto word = next_word(line); !word.empty(); word = next_word(line)) {
    if (species.empty() && parse_number(word)) {
      throw Error(Exit::data, "no element symbols (a VASP 4 POSCAR): add a line with the symbols above the counts");
    }
    const auto symbol = word.substr(0, word.find_first_of("_/"));
    const int z = atomic_number(symbol);
    if (z == 0) throw Error(Exit::data, fmt::format("unknown element {}", quote_for_message(word)));
    species.push_back(static_cast<std::uint8_t>(z));
  }
  if (species.empty()) throw Error(Exit::data, "the line of element symbols is empty");
  need_line("the numbers of atoms");
  out.z.clear();
  for (const std::uint8_t z : species) {
    const auto word = next_word(line);
    const auto count = parse_integer(word);
    if (!count || *count < 0 || *count > kMostAtoms) {
      throw Error(Exit::data,
                  fmt::format("{} element symbols, but a number of atoms reads {}", species.size(), quote_for_message(word)));
    }
    out.z.insert(out.z.end(), static_cast<std::size_t>(*count), z);
  }
  if (const auto extra = next_word(line); parse_integer(extra)) {
    throw Error(Exit::data, fmt::format("more numbers of atoms than the {} element symbols", species.size()));
  }
  if (out.z.empty()) throw Error(Exit::data, "no atoms");
  need_line("the coordinates");
  if (line = trim(line); !line.empty() && (line[0] == 's' || line[0] == 'S')) {
    need_line("the coordinates");
    line = trim(line);
  }
  const bool cartesian = !line.empty() && (line[0] == 'c' || line[0] == 'C' || line[0] == 'k' || line[0] == 'K');
  if (cartesian && !(cell_volume(out.lattice) > 0)) throw Error(Exit::data, "zero volume");
  const auto inverse = cartesian ? inverse_lattice(out.lattice) : out.lattice;
  out.frac.clear();
  for (std::size_t a = 0; a < out.z.size(); ++a) {
    if (!next_line(text, line)) {
      throw Error(Exit::data, fmt::format("the POSCAR ends after {} of {} atoms", a, out.z.size()));
    }
    double x[3];
    for (int c = 0; c < 3; ++c) x[c] = finite_number(next_word(line), "a coordinate");
    if (cartesian) {
      for (int c = 0; c < 3; ++c) x[c] *= scale[c];
      double f[3];
      multiply(x, inverse, f);
      out.frac.insert(out.frac.end(), f, f + 3);
    } else {
      out.frac.insert(out.frac.end(), x, x + 3);
    }
  }
}

}  // namespace gnn_hpc
