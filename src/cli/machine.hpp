// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/comm.hpp"
#include "base/processor.hpp"
#include "cli/launch.hpp"

#include <nlohmann/json_fwd.hpp>

#include <iosfwd>
#include <optional>
#include <string>

namespace gnn_hpc {

/// Rates measured here and now, best of several repetitions: the yardsticks of docs/performance.md.
struct MachineRates {
  double gemm_float = 0.0, gemm_double = 0.0;  ///< GFLOP/s of c = a b', [20000,256] x [256,256], all threads of a rank
  double triad = 0.0;                          ///< GB/s of a = b + s c on arrays far larger than the caches (3 x 8 bytes an item)
};
MachineRates measure_rates();
/// Operations a second of the same product on one rank, from a few repetitions; `TrainHooks::gemm_rate`.
template <class T>
double gemm_rate();

/// A warning if products run at less than half of what the processor surely can do (`sure_flops_per_cycle`): the sign of kernels for another
/// processor. Nothing where clock or instructions are not known.
/// @param gflops  10^9 operations a second of products of single precision, measured on `cores` cores
std::optional<std::string> slow_products(double gflops, const Processor& processor, int cores);

/// Ranks, threads, devices, libraries; not the rates.
nlohmann::ordered_json machine_json(const LaunchLayout& layout);

/// `gnn_hpc info`: machine, layout, warnings, measured rates.
void print_machine(const LaunchLayout& layout, std::ostream& out);

/// `gnn_hpc --version --verbose`: provenance and the configuration of every library.
void print_versions(std::ostream& out);

}  // namespace gnn_hpc
