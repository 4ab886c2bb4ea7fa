// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

struct gzFile_s;

namespace gnn_hpc {

/// A text file, plain or gzip, read forward in blocks; memory is one block. A byte order mark at the start is dropped unless every byte
/// counts (`keep_mark`).
/// Throws Error(Exit::data) if the file is a pipe or a device, cannot be opened, read, or is a damaged or truncated gzip file.
class TextSource {
 public:
  explicit TextSource(std::string path, bool keep_mark = false);
  ~TextSource();
  TextSource(TextSource&& other) noexcept;
  TextSource& operator=(TextSource&&) = delete;

  /// Bytes at hand (at least one, unless the file has ended); `consume` them before asking for more.
  std::string_view peek();
  void consume(std::size_t count) { begin_ += count; }

  /// Next line without its end (LF or CRLF); false at the end of the file. Throws Error(Exit::data) for a line beyond 256 MiB.
  bool line(std::string& out);
  /// Passes over a line; false at the end of the file.
  bool skip_line();
  std::int64_t line_number() const { return line_number_; }  ///< of the last line read, from 1

  const std::string& path() const { return path_; }
  double fraction_read() const;  ///< of the file's bytes on disk

 private:
  std::string path_;
  gzFile_s* file_;
  std::vector<char> buffer_;
  std::size_t begin_ = 0, end_ = 0;
  std::int64_t line_number_ = 0, size_ = 0;
};

/// Whole file as text, gzip or plain. Throws Error(Exit::data), also for more than 1 GiB.
std::string read_text(const std::string& path);

/// A number that fills the whole text (blanks around it and a leading + allowed; nan and inf are numbers), or nothing.
std::optional<double> parse_number(std::string_view text);
/// The same for a number that must be there and finite; Error(Exit::data) names `what` it is and what was found.
double finite_number(std::string_view word, std::string_view what);
/// A decimal integer that fills the whole text, or nothing.
std::optional<std::int64_t> parse_integer(std::string_view text);

std::string_view trim(std::string_view text);
/// Next word of `text` (separated by blanks, tabs, CR) and moves past it; empty at the end.
std::string_view next_word(std::string_view& text);
/// Next line of `text` without its end and moves past it; false at the end.
bool next_line(std::string_view& text, std::string_view& line);
bool ends_with_any_case(std::string_view text, std::string_view tail);
/// Text fit for a message: control characters replaced, at most `most` characters.
std::string quote_for_message(std::string_view text, std::size_t most = 40);
/// "a, b, c", at most `most` names.
std::string join_names(const std::vector<std::string>& names, std::size_t most = 40);

}  // namespace gnn_hpc
