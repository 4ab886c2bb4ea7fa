// SPDX-License-Identifier: Apache-2.0
#include "io/csv.hpp"

#include <algorithm>
#include <iterator>

#include "base/error.hpp"

namespace gnn_hpc {

bool CsvReader::next(Row& row) {
  static constexpr std::size_t kMostBytes = std::size_t{256} << 20, kMostFields = std::size_t{1} << 20;  // a field without text takes memory too
  enum class State { start, plain, quoted, closing } state = State::start;  // closing: a quote that ends or doubles

  row.size = 0;
  row.unterminated = false;
  std::size_t bytes = 0;
  const auto field = [&row]() -> std::string& { return row.fields[row.size - 1]; };
  const auto open_field = [&row, this] {
    if (row.size == kMostFields) throw Error(Exit::data, fmt::format("{}:{}: a row of more than {} fields; is it a table?", path(), row.line, kMostFields));
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
        ++line_;
        text_.consume(p + 1);
        if (!field().empty() && field().back() == '\r' && state == State::plain) field().pop_back();
        return true;
      } else {
        const std::size_t end = std::min(chunk.find_first_of(",\n\"", p + 1), chunk.size());
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
  if (any && state == State::plain && !field().empty() && field().back() == '\r') field().pop_back();
  return any;
}

bool is_missing_value(std::string_view text) {
  static constexpr std::string_view kWords[] = {"", "nan", "na", "n/a", "none", "null", "-nan", "?", "."};
  return std::any_of(std::begin(kWords), std::end(kWords),
                     [&](std::string_view w) { return w.size() == text.size() && ends_with_any_case(text, w); });
}

}  // namespace gnn_hpc
