// SPDX-License-Identifier: Apache-2.0
#include "io/text_source.hpp"

#include <fast_float/fast_float.h>
#include <sys/stat.h>
#include <zlib.h>
#include <cmath>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <utility>

#include "base/error.hpp"

namespace gnn_hpc {
namespace {

constexpr unsigned kBlock = 1u << 18;
/// A gzip file of a few MB may hold many GB, a binary file no line end.
constexpr std::size_t kMostLine = std::size_t{256} << 20, kMostText = std::size_t{1} << 30;

bool blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\f' || c == '\v'; }

}  // namespace

TextSource::TextSource(std::string path, bool keep_mark) : path_(std::move(path)) {
  struct stat info;
  if (::stat(path_.c_str(), &info) != 0) throw Error(Exit::data, fmt::format("{}: {}", path_, std::strerror(errno)));
  if (S_ISDIR(info.st_mode)) throw Error(Exit::data, fmt::format("{}: is a folder, a file is needed", path_));
  if (!S_ISREG(info.st_mode)) {  // opening a pipe waits for its other end, and what was read once is gone; inputs are read twice
    throw Error(Exit::data, fmt::format("{}: is no regular file (a pipe or a device); save its content in a file", path_));
  }
  size_ = info.st_size;
  file_ = gzopen(path_.c_str(), "rb");
  if (!file_) throw Error(Exit::data, fmt::format("{}: cannot be opened ({})", path_, std::strerror(errno)));
  gzbuffer(file_, kBlock);
  buffer_.resize(kBlock);
  const std::string_view start = peek();
  if (!keep_mark && start.substr(0, 3) == "\xEF\xBB\xBF") consume(3);
}

TextSource::~TextSource() {
  if (file_) gzclose_r(file_);
}

TextSource::TextSource(TextSource&& other) noexcept
    : path_(std::move(other.path_)),
      file_(std::exchange(other.file_, nullptr)),
      buffer_(std::move(other.buffer_)),
      begin_(other.begin_),
      end_(other.end_),
      line_number_(other.line_number_),
      size_(other.size_) {}

std::string_view TextSource::peek() {
  if (begin_ == end_) {
    const int got = gzread(file_, buffer_.data(), kBlock);
    int code = Z_OK;
    const char* text = gzerror(file_, &code);
    // A gzip file that stops in the middle delivers its bytes and reports Z_BUF_ERROR only afterwards.
    if (got < 0 || (got == 0 && code != Z_OK && code != Z_STREAM_END)) {
      throw Error(Exit::data, fmt::format("{}: damaged or truncated ({})", path_, text && *text ? text : "read error"));
    }
    begin_ = 0;
    end_ = static_cast<std::size_t>(got);
  }
  return {buffer_.data() + begin_, end_ - begin_};
}

bool TextSource::line(std::string& out) {
  out.clear();
  bool any = false;
  for (std::string_view chunk = peek(); !chunk.empty(); chunk = peek()) {
    any = true;
    const std::size_t end = chunk.find('\n');
    if (out.size() > kMostLine)
      throw Error(Exit::data, fmt::format("{}:{}: a line longer than 256 MiB; is it a text file?", path_, line_number_ + 1));
    if (end == std::string_view::npos) {
      out.append(chunk);
      consume(chunk.size());
      continue;
    }
    out.append(chunk.substr(0, end));
    consume(end + 1);
    break;
  }
  if (!any) return false;
  if (!out.empty() && out.back() == '\r') out.pop_back();
  ++line_number_;
  return true;
}

bool TextSource::skip_line() {
  bool any = false;
  for (std::string_view chunk = peek(); !chunk.empty(); chunk = peek()) {
    any = true;
    const std::size_t end = chunk.find('\n');
    consume(end == std::string_view::npos ? chunk.size() : end + 1);
    if (end != std::string_view::npos) break;
  }
  line_number_ += any;
  return any;
}

double TextSource::fraction_read() const {
  if (size_ <= 0) return 1;
  return std::min(1.0, static_cast<double>(gzoffset(file_)) / static_cast<double>(size_));
}

std::string read_text(const std::string& path) {
  TextSource source(path);
  std::string out;
  for (std::string_view chunk = source.peek(); !chunk.empty(); chunk = source.peek()) {
    if (out.size() > kMostText)
      throw Error(Exit::data, fmt::format("{}: more than 1 GiB of text; one structure or text of a few MB is expected here", path));
    out.append(chunk);
    source.consume(chunk.size());
  }
  return out;
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  return text;
}

std::optional<double> parse_number(std::string_view text) {
  text = trim(text);
  if (text.size() > 1 && text[0] == '+' && text[1] != '-' && text[1] != '+') text.remove_prefix(1);
  double value = 0;
  const auto [end, code] = fast_float::from_chars(text.data(), text.data() + text.size(), value);
  if (end != text.data() + text.size() || text.empty() || code == std::errc::invalid_argument) return std::nullopt;
  return value;  // 1e400 is infinite: a number, refused by whoever needs a finite one
}

std::optional<std::int64_t> parse_integer(std::string_view text) {
  text = trim(text);
  if (text.size() > 1 && text[0] == '+' && text[1] != '-') text.remove_prefix(1);
  std::int64_t value = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || code != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::string_view next_word(std::string_view& text) {
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  std::size_t n = 0;
  while (n < text.size() && !blank(text[n])) ++n;
  const std::string_view word = text.substr(0, n);
  text.remove_prefix(n);
  return word;
}

bool next_line(std::string_view& text, std::string_view& line) {
  if (text.empty()) return false;
  const std::size_t end = text.find('\n');
  line = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  return true;
}

bool ends_with_any_case(std::string_view text, std::string_view tail) {
  if (text.size() < tail.size()) return false;
  text.remove_prefix(text.size() - tail.size());
  return std::equal(text.begin(), text.end(), tail.begin(),
                    [](char a, char b) { return std::tolower(static_cast<unsigned char>(a)) == std::tolower(static_cast<unsigned char>(b)); });
}

namespace {
/// The first `most` bytes without those that would move the cursor of a terminal.
std::string printable(std::string_view text, std::size_t most) {
  std::string out;
  for (const char c : text.substr(0, most)) out += (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) ? ' ' : c;
  return out + (text.size() > most ? "..." : "");
}
}  // namespace

std::string quote_for_message(std::string_view text, std::size_t most) { return "'" + printable(text, most) + "'"; }

std::string join_names(const std::vector<std::string>& names, std::size_t most) {
  std::string out;
  for (std::size_t i = 0; i < names.size() && i < most; ++i) {
    if (i) out += ", ";
    out += names[i].empty() ? "(unnamed)" : printable(names[i], 80);
  }
  if (names.size() > most) out += fmt::format(", ... ({} in all)", names.size());
  return out.empty() ? "none" : out;
}

double finite_number(std::string_view word, std::string_view what) {
  const auto value = parse_number(word);
  if (!value) throw Error(Exit::data, fmt::format("{} is not a number: {}", what, quote_for_message(word)));
  if (!std::isfinite(*value)) throw Error(Exit::data, fmt::format("{} is not finite: {}", what, quote_for_message(word)));
  return *value;
}

}  // namespace gnn_hpc
