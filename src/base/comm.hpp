// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/config.hpp"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace gnn_hpc {

/// The group of data-parallel ranks. Without MPI (or before it is started) the same class has one rank and every operation is
/// free; callers never see an #ifdef. All calls are collective unless said otherwise.
class Comm {
 public:
  /// One rank, no MPI.
  Comm() = default;
  /// All ranks of the program; MPI must have been started by MpiScope.
  static Comm world();
  /// This rank alone.
  static Comm self() { return {}; }

  int rank() const noexcept { return rank_; }
  int size() const noexcept { return size_; }
  bool is_root() const noexcept { return rank_ == 0; }
  /// Place among the ranks that share this machine's memory, and their number.
  int local_rank() const noexcept { return local_rank_; }
  int local_size() const noexcept { return local_size_; }

  void sum(std::span<double> values) const;
  void sum(std::span<float> values) const;
  void sum(std::span<std::int64_t> values) const;
  void max(std::span<std::int64_t> values) const;
  void max(std::span<double> values) const;
  double sum(double value) const;
  std::int64_t sum(std::int64_t value) const;
  std::int64_t max(std::int64_t value) const;

  /// Sums a device array over the ranks, in place; staged through host memory unless MPI can read device memory
  /// (`mpi.gpu_aware`). No-op (and no fence) on one rank.
  void sum(const Exec& exec, View1<float> values) const;
  void sum(const Exec& exec, View1<double> values) const;

  void broadcast(std::string& text) const;                         ///< from the root
  void broadcast(std::span<std::int64_t> values) const;            ///< from the root
  void broadcast(std::vector<std::string>& texts) const;           ///< from the root; texts may hold anything, line ends too
  std::vector<std::string> gather(const std::string& text) const;  ///< at the root, in rank order; empty elsewhere
  /// All ranks' texts at the root, one rank's after the other; no separator, so that they may hold anything.
  std::vector<std::string> gather(const std::vector<std::string>& texts) const;
  std::vector<double> gather(std::span<const double> values) const;              ///< concatenated at the root
  std::vector<std::int64_t> gather(std::span<const std::int64_t> values) const;  ///< concatenated at the root
  void barrier() const;

  /// True once every rank has called this; false if one of them has not within `seconds`. Runs on a communicator of its own, so
  /// it tells an error that all ranks share from one that leaves the others waiting in another collective.
  bool meet(double seconds) const;

  /// Ends all ranks at once with this exit code; for an error that the others cannot know of. Not collective.
  [[noreturn]] void abort(int exit_code) const;

  /// True if MPI may be given device pointers.
  bool gpu_aware() const noexcept { return gpu_aware_; }
  void set_gpu_aware(bool on) noexcept { gpu_aware_ = on; }

 private:
  int rank_ = 0, size_ = 1, local_rank_ = 0, local_size_ = 1;
  bool gpu_aware_ = false;
};

/// Starts MPI on construction (if built with it) and finalises it on destruction.
class MpiScope {
 public:
  MpiScope(int& argc, char**& argv);
  ~MpiScope();
  MpiScope(const MpiScope&) = delete;
  MpiScope& operator=(const MpiScope&) = delete;
};

/// Library name and version of MPI, or "none".
std::string mpi_description();

/// True if the MPI library says that it can be given device pointers (Cray MPICH and MPICH: MPICH_GPU_SUPPORT_ENABLED=1;
/// Open MPI: its query functions). Not collective.
bool mpi_claims_gpu_support();

}  // namespace gnn_hpc
