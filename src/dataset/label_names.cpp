// SPDX-License-Identifier: Apache-2.0
#include "dataset/label_names.hpp"

#include "base/error.hpp"
#include "io/text_source.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <tuple>

namespace gnn_hpc {

namespace {

constexpr double kLargestExact = 9007199254740992.0;  // 2^53: beyond it doubles skip whole numbers

bool before(const std::string& a, const std::string& b) {
  const auto x = parse_integer(a), y = parse_integer(b);
  return std::tuple(!x, x.value_or(0), x ? std::string_view() : std::string_view(a)) <
         std::tuple(!y, y.value_or(0), y ? std::string_view() : std::string_view(b));
}

}  // namespace

std::optional<std::string> label_name(std::string_view field) {
  const auto number = parse_number(field);
  if (!number) return std::string(trim(field));
  if (!(std::fabs(*number) <= kLargestExact) || *number != std::floor(*number)) return std::nullopt;
  return fmt::format("{}", static_cast<std::int64_t>(*number));
}

void sort_names(std::vector<std::string>& names) {
  std::sort(names.begin(), names.end(), before);
  names.erase(std::unique(names.begin(), names.end()), names.end());
}

std::optional<std::size_t> place_of(const std::vector<std::string>& names, const std::string& name) {
  const auto at = std::lower_bound(names.begin(), names.end(), name, before);
  if (at == names.end() || *at != name) return std::nullopt;
  return static_cast<std::size_t>(at - names.begin());
}

std::vector<std::string> class_table(const std::string& target, std::vector<std::string> found, int wanted) {
  if (wanted == 0) return found;
  const bool numbers = std::all_of(found.begin(), found.end(), [wanted](const std::string& name) {
    const auto number = parse_integer(name);
    return number && *number >= 0 && *number < wanted;
  });
  if (numbers) {
    found.clear();
    for (int c = 0; c < wanted; ++c) found.push_back(fmt::format("{}", c));
  } else if (found.size() != static_cast<std::size_t>(wanted)) {
    throw Error(Exit::data, fmt::format("target {}: data.classes says {}, but the labels are {}: {}", quote_for_message(target), wanted, found.size(),
                                        join_names(found, 20)));
  }
  return found;
}

}  // namespace gnn_hpc
