// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <limits>

#include "base/error.hpp"
#include "io/extxyz.hpp"

namespace gnn_hpc {

FrameSlice FrameSlice::parse(std::string_view text) {
  FrameSlice out;
  const std::string_view all = text = trim(text);
  if (text.empty()) return out;
  const auto fail = [&]() -> Error {
    return Error(Exit::usage, fmt::format("index {} is no frame selection; use for example 5, -1, :1000, ::10, -100:, 100:200 "
                                          "(the step must be positive)",
                                          quote_for_message(all)));
  };
  int parts = 0;
  for (bool more = true; more; ++parts) {
    if (parts == 3) throw fail();
    const std::size_t end = text.find(':');
    const std::string_view part = trim(text.substr(0, end));
    more = end != std::string_view::npos;
    if (more) text.remove_prefix(end + 1);
    if (part.empty()) continue;
    const auto value = parse_integer(part);
    if (!value || (parts == 2 && *value < 1)) throw fail();
    if (parts == 0) out.start = *value;
    if (parts == 1) out.stop = *value;
    if (parts == 2) out.step = *value;
  }
  out.single = parts == 1;
  if (out.single && !out.start) throw fail();
  return out;
}

std::pair<std::int64_t, std::int64_t> FrameSlice::range(std::int64_t length) const {
  constexpr auto kEnd = std::numeric_limits<std::int64_t>::max();
  const auto place = [&](std::int64_t p) { return p >= 0 ? p : std::max<std::int64_t>(0, p + length); };
  if (single) {
    if (*start < 0 && *start + length < 0) return {0, 0};
    return {place(*start), place(*start) + 1};
  }
  return {start ? place(*start) : 0, stop ? place(*stop) : kEnd};
}

bool ExtxyzReader::take_line() {
  if (!pushed_back_.empty()) {
    line_ = std::move(pushed_back_.back().first);
    at_ = pushed_back_.back().second;
    pushed_back_.pop_back();
    return true;
  }
  if (!source_.line(line_)) return false;
  at_ = source_.line_number();
  return true;
}

bool ExtxyzReader::next(Frame* frame) {
  const auto fail = [&](std::string reason) {
    if (frame) frame->problem = std::move(reason);
  };
  do {
    if (!take_line()) return false;
  } while (trim(line_).empty());
  if (frame) frame->text.clear(), frame->problem.clear(), frame->line = at_;
  const auto count = parse_integer(line_);
  if (!count || *count < 0 || *count > kMostAtomsOfFrame) {
    fail(fmt::format("the number of atoms is expected, found {}", quote_for_message(line_)));
    while (take_line()) {  // resume at a line that can be a head
      if (const auto n = parse_integer(line_); n && *n >= 0 && *n <= kMostAtomsOfFrame) {
        pushed_back_.emplace_back(line_, at_);
        break;
      }
    }
    return true;
  }
  const auto keep = [&] {
    if (frame) frame->text.append(line_).push_back('\n');
  };
  keep();
  if (!take_line()) {
    fail("the file ends after the number of atoms");
    return true;
  }
  keep();
  std::string before;
  std::int64_t before_at = 0;
  for (std::int64_t a = 0; a < *count; ++a) {
    if (!take_line()) {
      fail(fmt::format("the file ends after {} of {} atoms", a, *count));
      return true;
    }
    // A lone integer is the head of another frame, a lattice its comment line: this frame is short.
    const bool head = line_.size() < 16 && parse_integer(line_), comment = !head && line_.find("Lattice=") != std::string::npos;
    if (head || comment) {
      fail(fmt::format("{} atoms are announced, but another frame begins after {}", *count, head ? a : std::max<std::int64_t>(0, a - 1)));
      pushed_back_.emplace_back(line_, at_);
      if (comment && a > 0) pushed_back_.emplace_back(before, before_at);
      return true;
    }
    keep();
    before = line_;
    before_at = at_;
  }
  return true;
}

}  // namespace gnn_hpc
