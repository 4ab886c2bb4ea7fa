// SPDX-License-Identifier: Apache-2.0
#include "io/polymer_text.hpp"

#include <cmath>
#include <map>

#include "base/error.hpp"
#include "base/text.hpp"
#include "io/text_source.hpp"

namespace gnn_hpc {
namespace {

double number_of(std::string_view text, const std::string& what) {
  const double value = finite_number(trim(text), what);
  if (value < 0.0) throw Error(Exit::data, fmt::format("{} is {}; it must not be negative", what, value));
  return value;
}

std::int64_t label_of(std::string_view text, std::string_view rule) {
  const auto label = parse_integer(trim(text));
  if (!label || *label < 0) {
    throw Error(Exit::data,
                fmt::format("connection rule {}: {} is no label of an attachment point", quote_for_message(rule), quote_for_message(text)));
  }
  return *label;
}

PolymerText::Rule parse_rule(std::string_view text) {
  const std::vector<std::string> part = split(text, ':');
  const std::vector<std::string> ends = part.size() == 3 ? split(part[0], '-') : std::vector<std::string>{};
  if (ends.size() != 2) {
    throw Error(Exit::data, fmt::format("malformed connection rule {}; expected i-j:weight:weight", quote_for_message(text)));
  }
  const std::string what = fmt::format("weight of connection rule {}", quote_for_message(text));
  return {label_of(ends[0], text), label_of(ends[1], text), number_of(part[1], what), number_of(part[2], what)};
}

void check_incoming(const std::vector<PolymerText::Rule>& rules) {
  std::map<std::int64_t, double> incoming;
  for (const auto& r : rules) {
    incoming[r.to] += r.forward;
    if (r.from != r.to) incoming[r.from] += r.backward;
  }
  for (const auto& [label, sum] : incoming) {
    if (std::abs(sum - 1.0) > 1e-5) {
      throw Error(Exit::data, fmt::format("the weights of the rules into attachment point {} add up to {:.8g}, not 1", label, sum));
    }
  }
}

}  // namespace

PolymerText parse_polymer_text(std::string_view text) {
  PolymerText out;
  std::vector<std::string> rules = split(text, '<');
  const std::vector<std::string> head = split(rules.front(), '|');
  rules.erase(rules.begin());
  out.fragments = split(trim(head.front()), '.');
  for (std::size_t i = 1; i < head.size(); ++i) {
    if (!trim(head[i]).empty()) out.weights.push_back(number_of(head[i], fmt::format("weight {} of the fragments", out.weights.size() + 1)));
  }
  if (out.fragments.size() != out.weights.size()) {
    throw Error(Exit::data,
                fmt::format("{} fragments but {} weights; expected fragments|weight|...|<rules~Xn", out.fragments.size(), out.weights.size()));
  }
  if (!rules.empty() && rules.back().find('~') != std::string::npos) {
    const std::vector<std::string> tail = split(rules.back(), '~');
    if (tail.size() != 2) throw Error(Exit::data, fmt::format("more than one ~ in {}", quote_for_message(rules.back())));
    const double length = number_of(tail[1], "the chain length Xn after ~");
    if (length == 0.0) throw Error(Exit::data, "the chain length Xn after ~ is 0; it must be positive");
    out.degree_of_polymerisation = 1.0 + std::log10(length);
    rules.back() = tail[0];
  }
  for (const std::string& rule : rules) {
    if (!trim(rule).empty()) out.rules.push_back(parse_rule(rule));
  }
  check_incoming(out.rules);
  return out;
}

}  // namespace gnn_hpc
