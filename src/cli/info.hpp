// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <iosfwd>
#include <string>

namespace gnn_hpc {

/// What an HDF5 file of this program is (cache, checkpoint, golden data) and what stands in it: notes of `/Info`, attributes,
/// small values, number and size of the tensors by group; every tensor with `full`. Sealed files are verified on the way.
/// Throws Error(Exit::data) for a file that cannot be read or is damaged.
void print_file(const std::string& path, bool full, std::ostream& out);

}  // namespace gnn_hpc
