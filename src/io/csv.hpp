// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "io/text_source.hpp"

namespace gnn_hpc {

/// Rows of a CSV file (RFC 4180: quoted fields may hold commas, line ends and doubled quotes; LF or CRLF; plain or gzip),
/// streamed. Blank lines are passed over. Text after a closing quote is appended, as Python's reader does.
class CsvReader {
 public:
  struct Row {
    std::vector<std::string> fields;  ///< storage is reused; only the first `size` belong to this row
    std::size_t size = 0;
    std::int64_t line = 0;       ///< where the row begins, from 1
    std::int64_t last_line = 0;  ///< where it ends: a quoted field may hold line ends
    bool unterminated = false;   ///< the file ended inside a quoted field
    bool stray = false;          ///< text stands behind the quote that ends a field: somewhere a quote too many or too few
  };

  explicit CsvReader(std::string path) : text_(std::move(path)) {}

  /// False at the end of the file. Throws Error(Exit::data) for a row beyond 256 MiB (a quote never closed) or 2^20 fields.
  bool next(Row& row);

  double fraction_read() const { return text_.fraction_read(); }
  const std::string& path() const { return text_.path(); }

 private:
  TextSource text_;
  std::int64_t line_ = 1;  // of the next byte
};

/// The validator of the rows of every table: why this one cannot be used, or nothing. A quote that is never closed, or that another row's quote
/// closes, swallows rows: the row that it begins in names their lines, so that each record is used or accounted for.
/// @param columns fields a row must have  @param than what has so many ("the header")
std::string row_problem(const CsvReader::Row& row, std::size_t columns, std::string_view than = "the header");

/// Position of the column called `name`; nothing if there is none. Throws Error(Exit::data) if several are: which one is meant cannot be known.
std::optional<std::size_t> find_column(const std::vector<std::string>& names, const std::string& name, const std::string& path);

/// The same for a column that must be there; Error(Exit::data) lists those that are. @param advice what to correct ("set data.targets")
std::size_t need_column(const std::vector<std::string>& names, const std::string& name, const std::string& path, std::string_view advice);

/// The header's names, blanks around them removed.
std::vector<std::string> column_names(const CsvReader::Row& header);

/// Why `text` is no number of a table: what was found, and the quote that swallowed rows if there are line ends in it.
std::string no_number(std::string_view text);

/// True for the words that tables use for a value that is not there: nothing, nan, na, n/a, none, null, ?, . in any case.
bool is_missing_value(std::string_view text);

}  // namespace gnn_hpc
