// SPDX-License-Identifier: Apache-2.0
#include "io/tokens.hpp"

#include "base/error.hpp"

#include <utility>

namespace gnn_hpc {

namespace {
bool is_blank(std::int32_t byte) { return byte == ' ' || byte == '\t' || byte == '\v' || byte == '\f'; }
bool begins_code_point(std::int32_t byte) { return (byte & 0xC0) != 0x80; }
}  // namespace

TextCutter::TextCutter(std::function<std::string_view()> more, std::string name, const TextCut& cut)
    : more_(std::move(more)), name_(std::move(name)), cut_(cut) {
  GNN_HPC_REQUIRE(cut.length >= 1 && cut.min_chars >= 0, "sequences of {} bytes, lines of more than {} characters", cut.length, cut.min_chars);
}

bool TextCutter::fill() {
  if (block_.empty()) block_ = more_();
  return !block_.empty();
}

void TextCutter::refuse_nul() const {
  throw Error(Exit::data, fmt::format("{}: byte {} (counted from 0) is NUL, the id of padding: this is no text; remove such bytes, or "
                                      "give the data tokenised (HDF5)",
                                      name_, offset_));
}

std::int32_t TextCutter::take() {
  const auto byte = static_cast<std::int32_t>(static_cast<unsigned char>(block_.front()));
  if (byte == 0) refuse_nul();
  block_.remove_prefix(1);
  ++offset_;
  return byte;
}

bool TextCutter::next(TokenSequence& out) {
  out.ids.clear();
  out.mask.clear();
  return cut_.mode == TextMode::lines ? next_line(out) : next_window(out);
}

bool TextCutter::next_line(TokenSequence& out) {
  while (fill()) {
    if (after_return_ && block_.front() == '\n') {  // the second half of \r\n
      after_return_ = false;
      take();
      continue;
    }
    ++line_;
    out.ids.clear();
    after_return_ = false;
    std::int64_t bytes = 0, points = 0;              // of the line so far, blanks at its beginning apart
    std::int64_t solid_bytes = 0, solid_points = 0;  // up to the last byte that is no blank
    while (fill()) {
      const std::int32_t byte = take();
      if (byte == '\n' || byte == '\r') {
        after_return_ = byte == '\r';
        break;
      }
      const bool blank = is_blank(byte);
      if (blank && bytes == 0) continue;
      ++bytes;
      points += begins_code_point(byte) ? 1 : 0;
      if (bytes <= cut_.length) out.ids.push_back(byte);
      if (!blank) {
        solid_bytes = bytes;
        solid_points = points;
      }
    }
    if (solid_points <= cut_.min_chars) {
      passed_ += solid_bytes;
      continue;
    }
    if (solid_bytes < static_cast<std::int64_t>(out.ids.size())) out.ids.resize(static_cast<std::size_t>(solid_bytes));
    out.place = line_;
    out.cut = solid_bytes - static_cast<std::int64_t>(out.ids.size());
    out.passed = std::exchange(passed_, 0);
    return true;
  }
  return false;
}

bool TextCutter::next_window(TokenSequence& out) {
  out.place = offset_;
  out.cut = out.passed = 0;
  while (static_cast<int>(out.ids.size()) < cut_.length && fill()) out.ids.push_back(take());
  if (static_cast<int>(out.ids.size()) == cut_.length) return true;
  passed_ = static_cast<std::int64_t>(out.ids.size());
  return false;
}

std::vector<TokenSequence> cut_text(std::string_view text, const std::string& name, const TextCut& cut) {
  bool given = false;
  TextCutter cutter([&] { return std::exchange(given, true) ? std::string_view() : text; }, name, cut);
  std::vector<TokenSequence> out;
  for (TokenSequence sequence; cutter.next(sequence);) out.push_back(sequence);
  return out;
}

}  // namespace gnn_hpc
