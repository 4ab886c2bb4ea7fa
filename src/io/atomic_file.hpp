// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <iosfwd>
#include <string>
#include <string_view>

namespace gnn_hpc {

/// A file written beside its final name and put in place by a rename, so that a reader (or a run after a crash) sees either
/// the old file or the whole new one. `path()` is `<final>.tmp.<host>.<pid>.<n>`; write there, then `commit()`.
/// Without a commit the destructor removes it.
class AtomicFile {
 public:
  explicit AtomicFile(std::string final_path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  const std::string& path() const noexcept { return temporary_; }
  const std::string& final_path() const noexcept { return final_; }
  /// fsync of the file, rename, fsync of the directory. Throws Error(Exit::data) naming the step that failed (disk full ...);
  /// the final file is then untouched.
  /// @param keep_old_as  a name in the same folder that the file which stood there gets, instead of the one that has it now. The two
  ///                     names never mean one file: damage to one must not be damage to both
  /// @param check        called with the name of the synced file before anything is replaced; throws if it must not be
  void commit(const std::string& keep_old_as = {}, const std::function<void(const std::string&)>& check = {});
  /// Removes the temporary file now; `commit` may not follow.
  void discard() noexcept;

 private:
  std::string final_, temporary_;
  bool pending_ = true;
};

/// Writes a whole text file atomically.
void write_file_atomically(const std::string& path, std::string_view content);
/// The same for a text that is never in memory as a whole: `write` puts it into the stream. If it throws, the old file stays.
void write_file_atomically(const std::string& path, const std::function<void(std::ostream&)>& write);

/// Removes what dead processes of this host left of `<final_path>.tmp.*`; files of other hosts are removed only when older
/// than a day. Returns the number removed. Never throws.
int remove_stale_temporaries(const std::string& final_path) noexcept;

/// Name of this machine and number of this process, as they appear in names of temporary and lock files.
std::string host_name();
/// False if the process is known to be gone. Only meaningful for processes of this host.
bool process_alive(long pid);

}  // namespace gnn_hpc
