// SPDX-License-Identifier: Apache-2.0
#include "base/provenance.hpp"

#include <gtest/gtest.h>

namespace gnn_hpc {
namespace {

TEST(Provenance, NamesWhatWroteAFile) {
  const Provenance& p = provenance();
  EXPECT_FALSE(p.version.empty());
  EXPECT_TRUE(p.git_hash == "unknown" || p.git_hash.size() == 40) << p.git_hash;
  EXPECT_NE(p.kokkos_devices.find("SERIAL"), std::string::npos) << p.kokkos_devices;
  const std::string line = provenance_line();
  for (const std::string& part : {p.version, p.compiler, p.build_type, p.kokkos_version, p.hdf5_version}) {
    EXPECT_NE(line.find(part), std::string::npos) << line;
  }
}

}  // namespace
}  // namespace gnn_hpc
