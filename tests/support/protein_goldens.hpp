// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>
#include <hdf5.h>

#include <string>
#include <vector>

#include "io/protein.hpp"
#include "support/paths.hpp"

namespace gnn_hpc::test {

/// The files of the reference's structures: gvp_graphs*.h5.
inline const std::vector<std::string> kProteinGoldens = {"reference/fixtures/gvp_graphs.h5", "reference/fixtures/gvp_graphs_field.h5",
                                                         "reference/fixtures/gvp_graphs_field_gaps.h5"};

/// A scalar text of variable length; empty if there is none of this name.
inline std::string hdf5_text(const std::string& file, const std::string& dataset) {
  const hid_t id = H5Fopen(file.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT);
  EXPECT_GE(id, 0) << file;
  const hid_t set = H5Dopen2(id, dataset.c_str(), H5P_DEFAULT);
  EXPECT_GE(set, 0) << dataset;
  const hid_t type = H5Dget_type(set);
  std::string out;
  if (H5Tis_variable_str(type) > 0) {
    char* text = nullptr;
    H5Dread(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, &text);
    if (text) out = text;
    H5free_memory(text);
  } else {
    out.resize(H5Tget_size(type));
    H5Dread(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, out.data());
  }
  H5Tclose(type);
  H5Dclose(set);
  H5Fclose(id);
  return out;
}

inline std::vector<std::string> hdf5_names(const std::string& file, const std::string& group) {
  const hid_t id = H5Fopen(file.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), g = H5Gopen2(id, group.c_str(), H5P_DEFAULT);
  H5G_info_t info;
  H5Gget_info(g, &info);
  std::vector<std::string> names;
  for (hsize_t i = 0; i < info.nlinks; ++i) {
    char name[256];
    H5Lget_name_by_idx(g, ".", H5_INDEX_NAME, H5_ITER_INC, i, name, sizeof name, H5P_DEFAULT);
    names.emplace_back(name);
  }
  H5Gclose(g);
  H5Fclose(id);
  return names;
}

/// The structure `file` of a golden file: its text stands there if it is short, else it lies among the shared proteins.
inline Protein golden_protein(const std::string& golden, const std::string& file) {
  const std::string text = hdf5_text(golden, "structures/_files/" + file);
  if (!text.empty()) return parse_protein(text, file);
  for (const char* folder : {"data/proteins/awkward/", "data/proteins/chains/"}) {
    const auto path = shared_path(folder + file);
    if (exists(path)) return read_protein(path.string());
  }
  ADD_FAILURE() << file << " is not among the shared proteins";
  return {};
}

}  // namespace gnn_hpc::test
