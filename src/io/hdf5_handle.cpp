// SPDX-License-Identifier: Apache-2.0
#include "io/hdf5_handle.hpp"

#include <cstring>

namespace gnn_hpc {

namespace {
std::recursive_mutex& hdf5_mutex() {
  static std::recursive_mutex mutex;
  return mutex;
}

herr_t first_entry(unsigned, const H5E_error2_t* entry, void* out) {
  if (entry->desc != nullptr) *static_cast<std::string*>(out) = entry->desc;
  return 1;  // the innermost entry comes first when walking upward; stop there
}
}  // namespace

Hdf5Lock::Hdf5Lock() : lock_(hdf5_mutex()) {
  // At exit the library would close what an I/O error left half open, and crash: every handle of ours closes itself.
  static const herr_t no_exit_handler = H5dont_atexit();
  static_cast<void>(no_exit_handler);
  static thread_local bool silenced = false;
  if (!silenced) {
    H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
    silenced = true;
  }
}

std::string hdf5_reason() {
  std::string text;
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, &first_entry, &text);
  if (text.empty()) return text;
  const auto message = text.find("error message = '");  // "file write failed: time = ..., error message = 'No space left on device', ..."
  if (message != std::string::npos) {
    const auto begin = message + std::strlen("error message = '");
    return " (" + text.substr(begin, text.find('\'', begin) - begin) + ")";
  }
  return " (" + text + ")";
}

}  // namespace gnn_hpc
