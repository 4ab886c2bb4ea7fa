// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace gnn_hpc {

/// A text as bytes: the id of a token is its byte, 0 is padding and may not occur.
inline constexpr int kByteVocabulary = 256;

/// lines: every line of more than `min_chars` characters is a sequence. stream: consecutive windows of the bytes.
enum class TextMode { lines, stream };

/// How a text becomes sequences (specification of hgnn_moe, section 1).
struct TextCut {
  TextMode mode = TextMode::lines;
  int length = 128;    ///< bytes of a sequence at most (lines) or exactly (stream)
  int min_chars = 30;  ///< lines: kept if they have more code points than this, blanks at both ends apart
};

/// One sequence, without padding at its end.
struct TokenSequence {
  std::vector<std::int32_t> ids;
  std::vector<std::uint8_t> mask;  ///< 1 on real tokens; empty: all are
  std::int64_t cut = 0;            ///< lines: bytes of its line that exceed `length` and are in no sequence
  std::int64_t passed = 0;         ///< bytes of text before it, since the sequence before, that are in none: lines too short, blanks at ends apart
  std::int64_t place = 0;          ///< lines: number of the line from 1; stream: offset of the first byte; a table: its row from 0
};

/// Cuts a text into sequences as it is read; memory is one sequence, however long a line is.
///   lines    ends are \n, \r\n or \r; blanks, tabs, vertical tabs and form feeds at both ends are dropped; what exceeds `length`
///            bytes is cut off, even within a code point (a code point is a byte that is not 10xxxxxx)
///   stream   non-overlapping windows; an incomplete last one is dropped
/// Throws Error(Exit::data), naming the offset, for a byte 0 anywhere in the text.
class TextCutter {
 public:
  /// @param more  the next bytes of the text, of any number; empty at its end. Valid until the next call.
  /// @param name  of the text, for messages
  TextCutter(std::function<std::string_view()> more, std::string name, const TextCut& cut);

  /// The next sequence; false at the end.
  bool next(TokenSequence& out);
  /// At the end: bytes of text behind the last sequence that are in none: lines too short, or an incomplete window.
  std::int64_t left_over() const { return passed_; }

 private:
  bool fill();  ///< at least one byte in `block_`, or false
  bool next_line(TokenSequence& out);
  bool next_window(TokenSequence& out);
  std::int32_t take();
  [[noreturn]] void refuse_nul() const;

  std::function<std::string_view()> more_;
  std::string name_;
  TextCut cut_;
  std::string_view block_;
  std::int64_t offset_ = 0, line_ = 0;  ///< bytes taken, lines begun
  std::int64_t passed_ = 0;             ///< bytes of text in no sequence, since the last one
  bool after_return_ = false;           ///< the last byte taken was \r
};

/// All sequences of a text in memory.
std::vector<TokenSequence> cut_text(std::string_view text, const std::string& name, const TextCut& cut);

}  // namespace gnn_hpc
