// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace gnn_hpc {

/// Number of insertions, deletions, substitutions and swaps of neighbours that turn `a` into `b` (optimal string alignment).
std::size_t edit_distance(std::string_view a, std::string_view b);

/// The candidate closest to `word`, or an empty text if none is close enough to be a misspelling of it
/// (at most one edit in four characters, at least two edits; case and `-`/`_` are free). The first of equals wins.
std::string nearest_word(std::string_view word, std::span<const std::string> candidates);

std::string join(std::span<const std::string> words, std::string_view separator);

/// `parts` of `text` between `separator`; an empty text has one empty part.
std::vector<std::string> split(std::string_view text, char separator);

enum class LineEnds { escape, keep };
/// Text that may come from data, for a terminal or a log: control characters (escape sequences, carriage returns, direction marks) and
/// bytes that are not UTF-8 are written out, `\n`, `\x1b`, `\u202e`; a longer text than `longest` characters ends with `...` (0: whole).
std::string printable(std::string_view text, std::size_t longest = 0, LineEnds line_ends = LineEnds::escape);
/// A name from data within a line: `printable`, at most 60 characters.
std::string printable_name(std::string_view name);

/// Longest text out of a data file (an id, a name) that a message or a report shows.
inline constexpr std::size_t kMostShown = 200;
/// A text of at most `most` bytes as it is; of a longer one the beginning, cut between characters of UTF-8, and its length:
/// "CCCC... (300,000 bytes)". For messages and reports: one record of a table may hold a whole file behind a quote never closed.
std::string shortened(std::string_view text, std::size_t most = kMostShown);

/// "850 ms", "12.3 s", "4m05s", "3h07m", "2d04h": a duration a person can read at a glance.
std::string format_duration(double seconds);

/// "512 B", "3.2 KiB", "1.5 GiB".
std::string format_bytes(double bytes);

/// 1234567 -> "1,234,567".
std::string format_count(long long value);

}  // namespace gnn_hpc
