// SPDX-License-Identifier: Apache-2.0
#include "io/symmetry_operation.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <unordered_set>

#include "base/error.hpp"
#include "io/text_source.hpp"

namespace gnn_hpc {
namespace {

double wrap(double t) {
  t -= std::floor(t);
  return t > 1 - kSameTranslation ? 0.0 : t;
}

/// Equal for equal operations: the rotation in base 7, the translation in steps far finer than two can differ by.
std::uint64_t key_of(const SymmetryOperation& operation) {
  std::uint64_t key = 0;
  for (const int r : operation.rotation) key = 7 * key + static_cast<std::uint64_t>((r % 7 + 10) % 7);
  for (const double t : operation.translation) key = 5040 * key + static_cast<std::uint64_t>(std::lround(t * 5040 + 0.25) % 5040);
  return key;
}

/// One of the three parts, "1/2+x-y": numbers of x, y, z and the translation.
struct Part {
  std::array<double, 3> of{};
  double translation = 0.0;
};

class PartReader {
 public:
  explicit PartReader(std::string_view text) {
    for (const char c : text) {
      if (c != ' ' && c != '\t') text_ += static_cast<char>(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
    }
  }

  Part read() {
    if (text_.empty()) throw Error(Exit::data, "an empty part");
    Part out;
    while (at_ < text_.size()) read_term(out);
    return out;
  }

 private:
  bool digit() const { return at_ < text_.size() && ((text_[at_] >= '0' && text_[at_] <= '9') || text_[at_] == '.'); }
  bool take(char c) { return at_ < text_.size() && text_[at_] == c && ++at_; }

  double number() {
    const std::size_t begin = at_;
    while (digit()) ++at_;
    decimal_ = decimal_ || text_.find('.', begin) < at_;
    const auto value = parse_number(std::string_view(text_).substr(begin, at_ - begin));
    if (!value) throw Error(Exit::data, fmt::format("no number at '{}'", text_.substr(begin)));
    return *value;
  }

  /// [sign] [number [/ number]] [*] [x|y|z [/ number]]; signs part the terms.
  void read_term(Part& out) {
    const bool first = at_ == 0;
    double value = 1;
    if (take('-')) {
      value = -1;
    } else if (!take('+') && !first) {
      throw Error(Exit::data, fmt::format("no sign before '{}'", text_.substr(at_)));
    }
    decimal_ = false;
    const bool has_number = digit();
    if (has_number) {
      value *= number();
      if (take('/')) value /= divisor();
      take('*');
    }
    if (at_ < text_.size() && text_[at_] >= 'x' && text_[at_] <= 'z') {
      double& coefficient = out.of[static_cast<std::size_t>(text_[at_++] - 'x')];
      if (take('/')) value /= divisor();
      coefficient += value;
      return;
    }
    if (!has_number) throw Error(Exit::data, at_ < text_.size() ? fmt::format("unknown '{}'", text_[at_]) : "it ends after a sign");
    const double nearest = std::round(value * 24) / 24;
    out.translation += decimal_ && std::abs(value - nearest) < 0.0051 ? nearest : value;
  }

  double divisor() {
    const double value = digit() ? number() : 0;
    if (value == 0) throw Error(Exit::data, "a fraction without a divisor");
    return value;
  }

  std::string text_;
  std::size_t at_ = 0;
  bool decimal_ = false;
};

int determinant(const std::array<int, 9>& m) {
  return m[0] * (m[4] * m[8] - m[5] * m[7]) - m[1] * (m[3] * m[8] - m[5] * m[6]) + m[2] * (m[3] * m[7] - m[4] * m[6]);
}

}  // namespace

bool SymmetryOperation::is_identity() const { return same_operation(*this, SymmetryOperation{}); }

std::array<double, 3> SymmetryOperation::apply(const std::array<double, 3>& x) const {
  std::array<double, 3> out;
  for (std::size_t r = 0; r < 3; ++r) {
    out[r] = rotation[3 * r] * x[0] + rotation[3 * r + 1] * x[1] + rotation[3 * r + 2] * x[2] + translation[r];
  }
  return out;
}

std::string SymmetryOperation::text() const {
  std::string out;
  for (std::size_t r = 0; r < 3; ++r) {
    if (r > 0) out += ',';
    const std::size_t begin = out.size();
    for (std::size_t c = 0; c < 3; ++c) {
      const int n = rotation[3 * r + c];
      if (n == 0) continue;
      if (n < 0 || out.size() > begin) out += n < 0 ? '-' : '+';
      if (std::abs(n) > 1) out += std::to_string(std::abs(n));
      out += static_cast<char>('x' + c);
    }
    if (translation[r] == 0) continue;
    int divisor = 2;
    while (divisor < 48 && std::abs(translation[r] * divisor - std::round(translation[r] * divisor)) > kSameTranslation) ++divisor;
    out += fmt::format("+{}/{}", std::lround(translation[r] * divisor), divisor);
  }
  return out;
}

bool same_operation(const SymmetryOperation& a, const SymmetryOperation& b) {
  if (a.rotation != b.rotation) return false;
  for (std::size_t c = 0; c < 3; ++c) {
    const double d = a.translation[c] - b.translation[c];
    if (std::abs(d - std::round(d)) > kSameTranslation) return false;
  }
  return true;
}

SymmetryOperation operator*(const SymmetryOperation& a, const SymmetryOperation& b) {
  SymmetryOperation out;
  for (std::size_t r = 0; r < 3; ++r) {
    for (std::size_t c = 0; c < 3; ++c) {
      out.rotation[3 * r + c] =
          a.rotation[3 * r] * b.rotation[c] + a.rotation[3 * r + 1] * b.rotation[3 + c] + a.rotation[3 * r + 2] * b.rotation[6 + c];
    }
  }
  out.translation = a.apply(b.translation);
  for (double& t : out.translation) t = wrap(t);
  return out;
}

SymmetryOperation parse_operation(std::string_view text) {
  std::vector<std::string_view> parts;
  for (std::string_view rest = text;;) {
    const std::size_t comma = rest.find(',');
    parts.push_back(trim(rest.substr(0, comma)));
    if (comma == std::string_view::npos) break;
    rest.remove_prefix(comma + 1);
  }
  try {
    if (parts.size() == 4 && (parts[3] == "+1" || parts[3] == "-1" || parts[3] == "1" || parts[3] == "m")) parts.pop_back();
    if (parts.size() != 3) throw Error(Exit::data, "three parts are expected");
    SymmetryOperation out;
    for (std::size_t r = 0; r < 3; ++r) {
      const Part part = PartReader(parts[r]).read();
      for (std::size_t c = 0; c < 3; ++c) {
        if (part.of[c] != std::round(part.of[c]) || std::abs(part.of[c]) > 3) {
          throw Error(Exit::data, "the rotation does not map the lattice onto itself");
        }
        out.rotation[3 * r + c] = static_cast<int>(part.of[c]);
      }
      out.translation[r] = wrap(part.translation);
    }
    const int det = determinant(out.rotation);
    if (det == 0) throw Error(Exit::data, "the rotation is singular");
    if (det != 1 && det != -1) throw Error(Exit::data, fmt::format("the rotation changes volumes by a factor of {}", std::abs(det)));
    return out;
  } catch (const Error& error) {
    throw Error(Exit::data, fmt::format("unreadable symmetry operation {} ({})", quote_for_message(text), error.what()));
  }
}

bool keeps_metric(const SymmetryOperation& operation, const std::array<double, 9>& lattice) {
  const auto& m = operation.rotation;
  double g[3][3];
  for (std::size_t r = 0; r < 3; ++r) {
    for (std::size_t c = 0; c < 3; ++c) {
      g[r][c] = lattice[3 * r] * lattice[3 * c] + lattice[3 * r + 1] * lattice[3 * c + 1] + lattice[3 * r + 2] * lattice[3 * c + 2];
    }
  }
  for (std::size_t r = 0; r < 3; ++r) {
    for (std::size_t c = r; c < 3; ++c) {
      double image = 0;
      for (std::size_t k = 0; k < 3; ++k) {
        for (std::size_t l = 0; l < 3; ++l) image += m[3 * k + r] * g[k][l] * m[3 * l + c];
      }
      if (!(std::abs(image - g[r][c]) <= 0.005 * std::sqrt(g[r][r] * g[c][c]))) return false;
    }
  }
  return true;
}

std::vector<SymmetryOperation> generate_group(const std::vector<SymmetryOperation>& generators, std::size_t most) {
  std::vector<SymmetryOperation> group{SymmetryOperation{}}, used;
  std::unordered_set<std::uint64_t> known{key_of(group[0])};
  for (const SymmetryOperation& generator : generators) {
    if (known.count(key_of(generator))) continue;
    used.push_back(generator);
    for (std::size_t i = 0; i < group.size(); ++i) {  // all products, the new ones too
      for (const SymmetryOperation& g : used) {
        const SymmetryOperation product = g * group[i];
        if (!known.insert(key_of(product)).second) continue;
        if (group.size() == most) return {};
        group.push_back(product);
      }
    }
  }
  return group;
}

}  // namespace gnn_hpc
