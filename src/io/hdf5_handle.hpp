// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/error.hpp"

#include <hdf5.h>

#include <mutex>
#include <string>
#include <string_view>
#include <utility>

namespace gnn_hpc {

/// Held around every call into HDF5: the library may have been built without thread safety, and the loader's thread reads while
/// the trainer writes checkpoints. Also keeps HDF5 from printing its own error stack (a per-thread setting).
class Hdf5Lock {
 public:
  Hdf5Lock();

 private:
  std::lock_guard<std::recursive_mutex> lock_;
};

/// The innermost entry of HDF5's error stack, in parentheses, e.g. " (write failed: No space left on device)"; empty if none.
std::string hdf5_reason();

/// An HDF5 identifier that closes itself.
template <auto Close>
class Hid {
 public:
  Hid() = default;
  Hid(hid_t id, std::string_view what) : id_(id) {
    if (id_ < 0) throw Error(Exit::data, fmt::format("HDF5: {}: cannot open or create{}", what, hdf5_reason()));
  }
  Hid(Hid&& other) noexcept : id_(std::exchange(other.id_, H5I_INVALID_HID)) {}
  Hid& operator=(Hid&& other) noexcept {
    if (this != &other) {
      if (id_ >= 0) Close(id_);
      id_ = std::exchange(other.id_, H5I_INVALID_HID);
    }
    return *this;
  }
  ~Hid() {
    if (id_ >= 0) Close(id_);  // a destructor never throws
  }
  void close(std::string_view what) {  // writers call this: a full disk is reported here
    if (id_ >= 0 && Close(std::exchange(id_, H5I_INVALID_HID)) < 0) {
      throw Error(Exit::data, fmt::format("HDF5: {}: close failed, is the disk full?{}", what, hdf5_reason()));
    }
  }
  hid_t get() const noexcept { return id_; }
  explicit operator bool() const noexcept { return id_ >= 0; }

 private:
  hid_t id_ = H5I_INVALID_HID;
};

using H5File = Hid<&H5Fclose>;
using H5Group = Hid<&H5Gclose>;
using H5Dataset = Hid<&H5Dclose>;
using H5Space = Hid<&H5Sclose>;
using H5Type = Hid<&H5Tclose>;
using H5Attribute = Hid<&H5Aclose>;
using H5Properties = Hid<&H5Pclose>;
using H5Object = Hid<&H5Oclose>;

}  // namespace gnn_hpc
