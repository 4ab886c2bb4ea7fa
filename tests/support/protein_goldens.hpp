// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "io/protein.hpp"
#include "support/hdf5_values.hpp"
#include "support/paths.hpp"

namespace gnn_hpc::test {

/// Calls f(values, name) with every structure `FILE:CHAIN` of the reference's gvp_graphs*.h5; what it stores stands in "structures/NAME/". Skips the
/// test where a file is absent.
inline void for_each_golden_structure(const std::function<void(const Hdf5Values&, const std::string&)>& f) {
  for (const char* file : {"gvp_graphs.h5", "gvp_graphs_field.h5", "gvp_graphs_field_gaps.h5"}) {
    const auto path = shared_path(std::string("reference/fixtures/") + file);
    if (!exists(path)) GTEST_SKIP() << path;
    const Hdf5Values values(path.string());
    for (const std::string& name : values.groups("structures")) {
      if (name == "_files") continue;
      SCOPED_TRACE(name);
      f(values, name);
    }
  }
}

/// The structure file of this name: its text stands in the golden file if it is short, else it lies among the shared proteins.
inline Protein golden_protein(const Hdf5Values& values, const std::string& file) {
  const std::string text = values.text("structures/_files/" + file);
  if (!text.empty()) return parse_protein(text, file);
  for (const char* folder : {"data/proteins/awkward/", "data/proteins/chains/"}) {
    const auto path = shared_path(folder + file);
    if (exists(path)) return read_protein(path.string());
  }
  ADD_FAILURE() << file << " is not among the shared proteins";
  return {};
}

}  // namespace gnn_hpc::test
