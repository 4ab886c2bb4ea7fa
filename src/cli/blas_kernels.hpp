// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <istream>
#include <string>

namespace gnn_hpc {

/// The kernels that OpenBLAS chose for this processor ("Haswell", "SkylakeX", ...); empty with another BLAS.
std::string blas_kernels();

/// Kernels that are faster than the chosen ones; empty: the choice is good. OpenBLAS takes its AVX-512 kernels on AMD's Zen 4, which
/// runs a 512-bit operation as two halves: products gain 5 % with the AVX2 ones there (measured: docs/performance.md, section "BLAS kernels").
/// @param cpuinfo text of /proc/cpuinfo, of which the first processor is read
std::string better_blas_kernels(const std::string& chosen, std::istream& cpuinfo);

}  // namespace gnn_hpc
