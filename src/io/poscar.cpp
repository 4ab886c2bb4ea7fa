// SPDX-License-Identifier: Apache-2.0
#include "io/poscar.hpp"

#include <cmath>

#include "base/error.hpp"
#include "io/elements.hpp"
#include "io/structure_check.hpp"
#include "io/text_source.hpp"

namespace gnn_hpc {
namespace {

constexpr std::int64_t kMostAtoms = 1000000;

bool comment(std::string_view word) { return word.empty() || word[0] == '!' || word[0] == '#'; }

/// The lines of a POSCAR, with what may stand behind the numbers of one.
class Lines {
 public:
  explicit Lines(std::string_view text) : text_(text) {}

  /// The next line; Error if the file ends before `what`.
  std::string_view need(const char* what) {
    std::string_view line;
    if (!next_line(text_, line)) throw Error(Exit::data, fmt::format("the POSCAR ends before {}", what));
    return line;
  }
  bool next(std::string_view& line) { return next_line(text_, line); }

 private:
  std::string_view text_;
};

/// Words may follow the numbers of a line (flags, labels, comments), numbers may not: nobody could say what they are.
void no_more_numbers(std::string_view rest, const char* what) {
  const auto word = next_word(rest);
  if (!comment(word) && parse_number(word))
    throw Error(Exit::data, fmt::format("{} is followed by one more number, {}", what, quote_for_message(word)));
}

/// One scale for all axes, one an axis, or (negative) the volume of the cell.
void read_scale(std::string_view line, double (&scale)[3]) {
  std::string_view rest = line;
  scale[0] = scale[1] = scale[2] = finite_number(next_word(rest), "the scale factor");
  int count = 1;
  for (auto word = next_word(rest); !comment(word) && parse_number(word); word = next_word(rest)) {
    if (count < 3) scale[count] = finite_number(word, "the scale factor");
    ++count;
  }
  if (count != 1 && count != 3) {
    throw Error(Exit::data, fmt::format("{} scale factors in {}; there is one, or three, one an axis", count, quote_for_message(trim(line))));
  }
  for (int k = 0; count == 3 && k < 3; ++k) {
    if (!(scale[k] > 0)) throw Error(Exit::data, "of three scale factors each must be positive");
  }
  if (scale[0] == 0) throw Error(Exit::data, "the scale factor is 0");
}

void read_cell(Lines& lines, Crystal& out, double (&scale)[3]) {
  read_scale(lines.need("the scale factor"), scale);
  for (int r = 0; r < 3; ++r) {
    std::string_view line = lines.need("three lattice vectors");
    for (int c = 0; c < 3; ++c) out.lattice[3 * r + c] = finite_number(next_word(line), "a lattice vector's component");
    no_more_numbers(line, "a lattice vector");
  }
  if (scale[0] < 0) {
    const double volume = cell_volume(out.lattice);
    if (!(volume > 0)) throw Error(Exit::data, "zero volume");
    scale[0] = scale[1] = scale[2] = std::cbrt(-scale[0] / volume);
  }
  for (int e = 0; e < 9; ++e) out.lattice[e] *= scale[e % 3];
}

void read_species(Lines& lines, Crystal& out) {
  std::string_view line = lines.need("the element symbols");
  std::vector<std::uint8_t> species;
  for (auto word = next_word(line); !comment(word); word = next_word(line)) {
    if (species.empty() && parse_number(word)) {
      throw Error(Exit::data, "no element symbols (a VASP 4 POSCAR): add a line with the symbols above the counts");
    }
    const int z = atomic_number(word.substr(0, word.find_first_of("_/")));
    if (z == 0) throw Error(Exit::data, fmt::format("unknown element {}", quote_for_message(word)));
    species.push_back(static_cast<std::uint8_t>(z));
  }
  if (species.empty()) throw Error(Exit::data, "the line of element symbols is empty");
  line = lines.need("the numbers of atoms");
  out.z.clear();
  for (const std::uint8_t z : species) {
    const auto word = next_word(line);
    const auto count = parse_integer(word);
    if (!count || *count < 0 || *count > kMostAtoms) {
      throw Error(Exit::data, fmt::format("{} element symbols, but a number of atoms reads {}", species.size(), quote_for_message(word)));
    }
    out.z.insert(out.z.end(), static_cast<std::size_t>(*count), z);
  }
  if (const auto extra = next_word(line); parse_integer(extra)) {
    throw Error(Exit::data, fmt::format("more numbers of atoms than the {} element symbols", species.size()));
  }
  if (out.z.empty()) throw Error(Exit::data, "no atoms");
}

/// The line `Direct` or `Cartesian`, behind `Selective dynamics` where that is there: C, c, K or k is Cartesian, any other word direct,
/// as in VASP. A line of numbers is no such line: it would be the first atom, and all others would move up by one.
bool is_cartesian(Lines& lines) {
  std::string_view line = trim(lines.need("the coordinates"));
  if (!line.empty() && (line[0] == 's' || line[0] == 'S')) line = trim(lines.need("the coordinates"));
  std::string_view rest = line;
  for (auto word = next_word(rest); !comment(word); word = next_word(rest)) {
    if (parse_number(word)) line = {};
  }
  const char first = line.empty() ? ' ' : line[0];
  if (!((first >= 'a' && first <= 'z') || (first >= 'A' && first <= 'Z'))) {
    throw Error(Exit::data, "the line that says Direct or Cartesian is missing above the coordinates");
  }
  return first == 'c' || first == 'C' || first == 'k' || first == 'K';
}

/// What follows the three numbers of atom `a`: flags of selective dynamics, a label; one that is an element must be the atom's.
void check_label(std::string_view rest, std::size_t a, int z) {
  for (auto word = next_word(rest); !comment(word); word = next_word(rest)) {
    if (parse_number(word)) {
      throw Error(Exit::data, fmt::format("the coordinates of atom {} are followed by one more number, {}", a + 1, quote_for_message(word)));
    }
    if (word == "T" || word == "F") continue;
    const int named = atomic_number(word);
    if (named != 0 && named != z && word == element_symbol(named)) {
      throw Error(Exit::data, fmt::format("atom {} is {} by the numbers of atoms, but its line says {}", a + 1, element_symbol(z), word));
    }
  }
}

bool three_numbers(std::string_view line) {
  for (int c = 0; c < 3; ++c) {
    if (next_word(line).find_first_not_of("0123456789+-.eEdD") != std::string_view::npos) return false;
  }
  return comment(next_word(line));
}

/// Behind the atoms VASP writes velocities of the lattice and of the atoms, and the integrator's state (CONTCAR of a dynamics run). They are
/// known and not needed; anything else is refused: atoms that the counts leave out, a second structure.
void check_rest(Lines& lines, std::size_t atoms) {
  std::string_view line;
  std::size_t velocities = 0;
  bool behind_blank = false, done = false;  // done: the velocities are over, what follows is the integrator's
  while (lines.next(line)) {
    line = trim(line);
    if (line.empty()) {
      behind_blank = true;
      done = done || velocities > 0;
      continue;
    }
    const auto word = [&] {
      std::string_view rest = line;
      return next_word(rest);
    }();
    if (line.substr(0, 7) == "Lattice" && velocities == 0) {
      for (int r = 0; r < 7; ++r) lines.need("the velocities of the lattice");
      continue;
    }
    const bool mode = velocities == 0 && !done && (line == "Cartesian" || line == "Direct" || line == "cartesian" || line == "direct");
    if (mode) {
      behind_blank = true;
      continue;
    }
    const bool numbers = word.find_first_not_of("0123456789+-.eEdD") == std::string_view::npos;
    if (!numbers || (!behind_blank && velocities == 0)) {
      throw Error(Exit::data, fmt::format("behind the {} atoms stands {}, which is neither velocities nor empty; are the numbers of atoms right?",
                                          atoms, quote_for_message(line)));
    }
    if (done) continue;
    if (!three_numbers(line) || ++velocities > atoms) {
      throw Error(Exit::data, fmt::format("behind the {} atoms stand other numbers than {} velocities: {}", atoms, atoms, quote_for_message(line)));
    }
  }
  if (velocities != 0 && velocities != atoms) {
    throw Error(Exit::data, fmt::format("behind the {} atoms stand {} velocities; are the numbers of atoms right?", atoms, velocities));
  }
}

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
  Lines lines(text);
  lines.need("the comment line");
  double scale[3];
  read_cell(lines, out, scale);
  read_species(lines, out);
  const bool cartesian = is_cartesian(lines);
  if (cartesian && !(cell_volume(out.lattice) > 0)) throw Error(Exit::data, "zero volume");
  const auto inverse = cartesian ? inverse_lattice(out.lattice) : out.lattice;
  out.frac.clear();
  for (std::size_t a = 0; a < out.z.size(); ++a) {
    std::string_view line;
    if (!lines.next(line)) throw Error(Exit::data, fmt::format("the POSCAR ends after {} of {} atoms", a, out.z.size()));
    double x[3];
    for (int c = 0; c < 3; ++c) x[c] = finite_number(next_word(line), "a coordinate");
    check_label(line, a, out.z[a]);
    if (cartesian) {
      for (int c = 0; c < 3; ++c) x[c] *= scale[c];
      double f[3];
      multiply(x, inverse, f);
      out.frac.insert(out.frac.end(), f, f + 3);
    } else {
      out.frac.insert(out.frac.end(), x, x + 3);
    }
  }
  check_rest(lines, out.z.size());
  check_structure(out);
}

}  // namespace gnn_hpc
