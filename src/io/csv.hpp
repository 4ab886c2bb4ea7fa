// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
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
    std::int64_t line = 0;      ///< where the row begins, from 1
    bool unterminated = false;  ///< the file ended inside a quoted field
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

/// True for the words that tables use for a value that is not there: nothing, nan, na, n/a, none, null, ?, . in any case.
bool is_missing_value(std::string_view text);

}  // namespace gnn_hpc
