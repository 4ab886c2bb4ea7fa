// SPDX-License-Identifier: Apache-2.0
#include "io/csv.hpp"

#include <algorithm>
#include <iterator>

#include "base/error.hpp"

namespace gnn_hpc {

bool CsvReader::next(Row& row) {
  static constexpr std::size_t kMostBytes = std::size_t{256} << 20, kMostFields = std::size_t{1} << 20;  // a field without text takes memory too
  enum class State { start, plain, quoted, closing } state = State::start;                               // closing: a quote that ends or doubles

  row.size = 0;
  row.unterminated = row.stray = false;
  std::size_t bytes = 0;
  const auto field = [&row]() -> std::string& { return row.fields[row.size - 1]; };
  const auto open_field = [&row, this] {
    if (row.size == kMostFields)
      throw Error(Exit::data, fmt::format("{}:{}: a row of more than {} fields; is it a table?", path(), row.line, kMostFields));
    if (row.fields.size() == row.size) row.fields.emplace_back();
    row.fields[row.size++].clear();
  };
  bool any = false;
  for (std::string_view chunk = text_.peek(); !chunk.empty(); chunk = text_.peek()) {
    if (bytes > kMostBytes) {
      throw Error(Exit::data, fmt::format("{}:{}: a row longer than 256 MiB; is a quote never closed?", path(), row.line));
    }
    std::size_t p = 0;
    while (p < chunk.size()) {
      const char c = chunk[p];
      if (!any) {  // between rows
        if (c == '\n') ++line_;
        if (c == '\n' || c == '\r') {
          ++p;
          continue;
        }
        any = true;
        row.line = line_;
        open_field();
      }
      if (state == State::quoted) {
        const std::size_t end = std::min(chunk.find('"', p), chunk.size());
        line_ += std::count(chunk.begin() + p, chunk.begin() + end, '\n');
        field().append(chunk, p, end - p);
        bytes += end - p;
        p = end;
        if (p < chunk.size()) state = State::closing, ++p;
        continue;
      }
      if (c == '"' && state == State::closing) {
        field() += '"';
        state = State::quoted;
        ++p;
      } else if (c == '"' && state == State::start) {
        state = State::quoted;
        ++p;
      } else if (c == ',') {
        open_field();
        state = State::start;
        ++p;
      } else if (c == '\n') {
        row.last_line = line_++;
        text_.consume(p + 1);
        if (!field().empty() && field().back() == '\r' && state == State::plain) field().pop_back();
        return true;
      } else {
        const std::size_t end = std::min(chunk.find_first_of(",\n\"", p + 1), chunk.size());
        row.stray = row.stray || (state == State::closing && !trim(chunk.substr(p, end - p)).empty());
        if (!(c == '\r' && state == State::closing)) {
          field().append(chunk, p, end - p);
          state = State::plain;
        }
        bytes += end - p;
        p = end;
      }
    }
    text_.consume(chunk.size());
  }
  row.unterminated = any && state == State::quoted;
  row.last_line = line_;
  if (any && state == State::plain && !field().empty() && field().back() == '\r') field().pop_back();
  return any;
}

std::string row_problem(const CsvReader::Row& row, std::size_t columns, std::string_view than) {
  const std::string lines =
      row.last_line > row.line ? fmt::format(" (the row takes lines {} to {}; is a quote never closed?)", row.line, row.last_line) : "";
  if (row.unterminated) return fmt::format("the file ends inside a quoted field{}", lines);
  if (row.stray) return fmt::format("text behind the closing quote of a field{}", lines);
  if (row.size != columns) return fmt::format("{} fields, but {} has {}{}", row.size, than, columns, lines);
  return {};
}

std::vector<std::string> column_names(const CsvReader::Row& header) {
  std::vector<std::string> names;
  for (std::size_t c = 0; c < header.size; ++c) names.emplace_back(trim(header.fields[c]));
  return names;
}

std::optional<std::size_t> find_column(const std::vector<std::string>& names, const std::string& name, const std::string& path) {
  const auto count = std::count(names.begin(), names.end(), name);
  if (count > 1) throw Error(Exit::data, fmt::format("{}:1: {} columns are called {}; rename all but one", path, count, quote_for_message(name)));
  if (count == 0) return std::nullopt;
  return static_cast<std::size_t>(std::find(names.begin(), names.end(), name) - names.begin());
}

std::size_t need_column(const std::vector<std::string>& names, const std::string& name, const std::string& path, std::string_view advice) {
  if (const auto column = find_column(names, name, path)) return *column;
  throw Error(Exit::data, fmt::format("{}:1: no column {} (columns: {}); {}", path, quote_for_message(name), join_names(names), advice));
}

std::string no_number(std::string_view text) {
  const char* lines = text.find('\n') != std::string_view::npos ? " (it holds line ends; is a quote never closed?)" : "";
  return fmt::format("not a number: {}{}", quote_for_message(text), lines);
}

bool is_missing_value(std::string_view text) {
  static constexpr std::string_view kWords[] = {"", "nan", "na", "n/a", "none", "null", "-nan", "?", "."};
  return std::any_of(std::begin(kWords), std::end(kWords),
                     [&](std::string_view w) { return w.size() == text.size() && ends_with_any_case(text, w); });
}

}  // namespace gnn_hpc
