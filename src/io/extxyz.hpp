// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "io/structure.hpp"
#include "io/text_source.hpp"

namespace gnn_hpc {

inline constexpr std::int64_t kMostAtomsOfFrame = 1000000;  ///< a larger count is no head of a frame

/// Python slice text: an integer (one frame), or `start:stop:step` with any part empty; negative positions count from the end.
struct FrameSlice {
  std::optional<std::int64_t> start, stop;
  std::int64_t step = 1;  ///< > 0
  bool single = false;    ///< an integer: start only

  /// Empty text is all frames. Throws Error(Exit::usage) for anything else and for a step that is not positive.
  static FrameSlice parse(std::string_view text);
  /// Whether the positions depend on the number of frames.
  bool needs_length() const { return (start && *start < 0) || (stop && *stop < 0); }
  /// First position, one past the last (or the largest integer) once `length` is known (needed only if needs_length()).
  std::pair<std::int64_t, std::int64_t> range(std::int64_t length) const;
};

/// Frames of an extended XYZ file, streamed as text. A frame whose head or length is wrong is delivered with `problem` set,
/// and reading goes on at the next line that can be a head.
class ExtxyzReader {
 public:
  struct Frame {
    std::string text;       ///< count, comment and atom lines
    std::int64_t line = 0;  ///< of the count, from 1
    std::string problem;
  };
  explicit ExtxyzReader(std::string path) : source_(std::move(path)) {}
  /// False at the end. Without `frame` the next one is passed over (and counted the same way).
  bool next(Frame* frame);
  double fraction_read() const { return source_.fraction_read(); }
  const std::string& path() const { return source_.path(); }

 private:
  bool take_line();
  TextSource source_;
  std::string line_;
  std::int64_t at_ = 0;  // number of line_
  std::vector<std::pair<std::string, std::int64_t>> pushed_back_;
};

/// `key=value` pairs of a comment line, in order: values bare, in quotes ("..." or '...', backslash escapes) or in brackets
/// ({...}, [...]); a key alone has the value `T`. Keys may be quoted. Throws Error(Exit::data) for a quote that is never closed.
std::vector<std::pair<std::string, std::string>> parse_info(std::string_view comment);

/// Reads one frame into lattice, frac, z, targets of `out`; `out.id` becomes the value of `id_key` if that is there.
/// Columns come from `Properties` (default species:S:1:pos:R:3); a target is looked up by name in the comment first, then
/// among the per-atom columns, averaged over atoms and components. A target not found becomes an empty text in
/// `raw_targets` (values as text, columns as their mean).
/// @param box put a structure that does not repeat in every direction (`pbc`, or no Lattice) into a cell with vacuum (io/vacuum_box.hpp) instead
///   of refusing it
/// Throws Error(Exit::data) with the reason: no lattice, not periodic, no atoms, unknown element, a number that cannot be read, a key or column that
/// is read and stands there twice, more columns than Properties declares, and what check_structure refuses. `found` receives the names a target could
/// have had.
void parse_extxyz(std::string_view text, const std::vector<std::string>& targets, std::string_view id_key, bool box, Crystal& out,
                  std::vector<std::string>& raw_targets, std::vector<std::string>& found);

}  // namespace gnn_hpc
