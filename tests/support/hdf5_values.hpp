// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>
#include <hdf5.h>

#include <cstdint>
#include <string>
#include <vector>

namespace gnn_hpc::test {

/// Plain reading of golden files with the C interface, independent of the program's own reader.
class Hdf5Values {
 public:
  explicit Hdf5Values(const std::string& path) : file_(H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT)) { EXPECT_GE(file_, 0) << path; }
  ~Hdf5Values() { H5Fclose(file_); }
  Hdf5Values(const Hdf5Values&) = delete;
  Hdf5Values& operator=(const Hdf5Values&) = delete;

  std::vector<std::string> groups(const char* group = "/") const {
    H5G_info_t info;
    H5Gget_info_by_name(file_, group, &info, H5P_DEFAULT);
    std::vector<std::string> names;
    for (hsize_t i = 0; i < info.nlinks; ++i) {
      char name[256];
      H5Lget_name_by_idx(file_, group, H5_INDEX_NAME, H5_ITER_INC, i, name, sizeof name, H5P_DEFAULT);
      names.emplace_back(name);
    }
    return names;
  }

  std::vector<double> dataset(const std::string& path) const {
    const hid_t set = H5Dopen2(file_, path.c_str(), H5P_DEFAULT);
    EXPECT_GE(set, 0) << path;
    const hid_t space = H5Dget_space(set);
    std::vector<double> out(static_cast<std::size_t>(H5Sget_simple_extent_npoints(space)));
    H5Dread(set, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, out.data());
    H5Sclose(space);
    H5Dclose(set);
    return out;
  }

  /// A scalar text, of variable length or not.
  std::string text(const std::string& path) const {
    const hid_t set = H5Dopen2(file_, path.c_str(), H5P_DEFAULT);
    EXPECT_GE(set, 0) << path;
    const hid_t type = H5Dget_type(set);
    std::string out;
    if (H5Tis_variable_str(type) > 0) {
      char* stored = nullptr;
      H5Dread(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, &stored);
      if (stored) out = stored;
      H5free_memory(stored);
    } else {
      out.resize(H5Tget_size(type));
      H5Dread(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, out.data());
    }
    H5Tclose(type);
    H5Dclose(set);
    return out;
  }

  /// Integer or boolean (h5py's enumeration) attribute.
  long attribute(const std::string& group, const char* name) const {
    const hid_t id = H5Aopen_by_name(file_, group.c_str(), name, H5P_DEFAULT, H5P_DEFAULT);
    EXPECT_GE(id, 0) << group << " " << name;
    const hid_t type = H5Aget_type(id);
    long value = 0;
    if (H5Tget_class(type) == H5T_ENUM) {
      std::int8_t small = 0;
      H5Aread(id, type, &small);
      value = small;
    } else {
      H5Aread(id, H5T_NATIVE_LONG, &value);
    }
    H5Tclose(type);
    H5Aclose(id);
    return value;
  }

 private:
  hid_t file_;
};

}  // namespace gnn_hpc::test
