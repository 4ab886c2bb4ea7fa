// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/error.hpp"

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace gnn_hpc {

/// The bytes of a file are not those that were sealed, or its seal is gone. Only this is damage: a file that cannot be opened or read
/// just now (permission, I/O error, stale handle) or that is of another format throws a plain Error, and nobody may move it away.
class DamagedFile : public Error {
 public:
  explicit DamagedFile(const std::string& message) : Error(Exit::data, message) {}
};

/// A stretch of a file with a name people know, usually a dataset.
struct SealedRange {
  std::string name;
  std::int64_t offset = 0, bytes = 0;
  bool lazy = false;  ///< left out here: its owner verifies it block by block
};

/// A seal is a table of checksums behind the last byte of an HDF5 file (HDF5 ignores what follows its end): XXH3-64 of every
/// named range and of everything between them, the length of the file, and a checksum of the table itself. It is verified with
/// plain reads before HDF5 parses anything, so a truncated or bit-flipped file never reaches the library.
///   file = HDF5 bytes | table (text) | u64 length of table | u64 XXH3 of table | 8 bytes "GNNSEAL1"
///
/// Appends the seal to a closed file. Ranges must be disjoint. `alive` is called for every MiB read, here and below; what it throws ends the work
/// (for files that may be dropped; not for a checkpoint, which is written because the program is about to end).
void append_seal(const std::string& path, std::vector<SealedRange> ranges, const std::function<void()>& alive = {});

enum class SealState { absent, good };

/// Verifies every byte outside the lazy ranges. `absent`: no seal at the end of the file. Throws DamagedFile that names
/// the file and the damaged range; no damage is overlooked within the strength of a 64-bit checksum. Throws Error(Exit::data) if the
/// file cannot be opened or read.
SealState check_seal(const std::string& path, const std::function<void()>& alive = {});

}  // namespace gnn_hpc
