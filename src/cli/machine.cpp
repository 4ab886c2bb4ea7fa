// SPDX-License-Identifier: Apache-2.0
#include "cli/machine.hpp"

#include "base/blas_kernels.hpp"
#include "base/provenance.hpp"
#include "base/restart_process.hpp"
#include "base/subnormals.hpp"
#include "base/text.hpp"
#include "io/atomic_file.hpp"
#include "io/smiles.hpp"
#include "nn/matmul.hpp"

#include <KokkosKernels_PrintConfiguration.hpp>

#include <fmt/ostream.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>

#include <unistd.h>

namespace gnn_hpc {

namespace {

double seconds_of(const std::chrono::steady_clock::time_point& begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

/// GFLOP/s of the product that dominates a layer of width 256.
template <class T>
double measure_gemm(int repeat = 10) {
  constexpr int kRows = 20000, kWidth = 256;
  const Exec exec;
  const View2<T> a("a", kRows, kWidth), b("b", kWidth, kWidth), c("c", kRows, kWidth);
  Kokkos::deep_copy(exec, a, T(0.5));
  Kokkos::deep_copy(exec, b, T(0.25));
  double best = 1e30;
  for (int i = 0; i <= repeat; ++i) {
    exec.fence();
    const auto begin = std::chrono::steady_clock::now();
    Matmul<T>::nt(exec, a, b, c);
    exec.fence();
    if (i > 0) best = std::min(best, seconds_of(begin));
  }
  return 2e-9 * kRows * kWidth * kWidth / best;
}

void triad(const Exec& exec, View1<double> a, View1<double> b, View1<double> c) {
  Kokkos::parallel_for(
      "gnn_hpc::info::triad", Rows(exec, 0, a.extent_int(0)), KOKKOS_LAMBDA(const int i) { a(i) = b(i) + 0.5 * c(i); });
}

double measure_triad() {
  constexpr std::size_t kItems = std::size_t{1} << 24;  // 128 MiB an array
  constexpr int kRepeat = 10;
  const Exec exec;
  const View1<double> a("a", kItems), b("b", kItems), c("c", kItems);
  Kokkos::deep_copy(exec, b, 1.0);
  Kokkos::deep_copy(exec, c, 2.0);
  double best = 1e30;
  for (int i = 0; i <= kRepeat; ++i) {
    exec.fence();
    const auto begin = std::chrono::steady_clock::now();
    triad(exec, a, b, c);
    exec.fence();
    if (i > 0) best = std::min(best, seconds_of(begin));
  }
  return 24e-9 * static_cast<double>(kItems) / best;
}

/// Who multiplies matrices: the library that Kokkos Kernels was built with.
std::string product_library() {
#if defined(KOKKOSKERNELS_ENABLE_TPL_CUBLAS)
  return "cuBLAS";
#elif defined(KOKKOSKERNELS_ENABLE_TPL_ROCBLAS)
  return "rocBLAS";
#elif defined(KOKKOSKERNELS_ENABLE_TPL_BLAS)
  return blas_library().describe();
#else
  return "Kokkos Kernels (built without BLAS)";
#endif
}

/// What threads do with subnormal numbers now, counted on each.
std::string subnormal_handling() {
  const FlushingThreads threads = count_flushing_threads();
  const char* where = kExecIsHost ? "" : " of the host";
  if (threads.flushing == threads.all) return fmt::format("taken for zero on {} thread(s){}", threads.all, where);
  if (threads.flushing == 0) return can_flush_subnormals() ? "kept" : "kept (this program cannot tell such a processor to flush them)";
  return fmt::format("taken for zero on {} of {} threads{}", threads.flushing, threads.all, where);
}

}  // namespace

template <class T>
double gemm_rate() {
  return 1e9 * measure_gemm<T>(3);
}
template double gemm_rate<float>();
template double gemm_rate<double>();

MachineRates measure_rates() { return {measure_gemm<float>(), measure_gemm<double>(), measure_triad()}; }

std::optional<std::string> slow_products(double gflops, const Processor& processor, int cores) {
  const double sure = sure_flops_per_cycle(processor) * processor.ghz * cores;
  if (sure <= 0.0 || gflops >= 0.5 * sure) return std::nullopt;
  return fmt::format(
      "products reach {:.0f} GFLOP/s float, less than half of what {} core(s) with {} at {:.2f} GHz surely can do ({:.0f}): either the "
      "BLAS does not know this processor (see its kernels above; -DBLA_VENDOR chooses another, see README), or other programs "
      "use the cores, or they are the hardware threads of fewer cores (virtual machines do not always tell)",
      gflops, cores, processor.vectors() == VectorClass::none ? "NEON" : name_of(processor.vectors()), processor.ghz, sure);
}

nlohmann::ordered_json machine_json(const LaunchLayout& layout) {
  const Provenance& p = provenance();
  nlohmann::ordered_json j;
  j["host"] = host_name();
  const std::string& processor = this_processor().model_name;
  j["processor"] = processor.empty() ? "unknown" : processor;
  j["cores_online"] = layout.cores_online;
  j["backend"] = kBackendName;
  j["ranks"] = layout.ranks;
  j["ranks_on_this_machine"] = layout.ranks_here;
  if (layout.devices > 0) {
    j["devices"] = layout.devices;
    j["device"] = layout.device;
  } else {
    j["threads_per_rank"] = layout.threads;
    j["cores_allowed_per_rank"] = layout.cores_allowed;
  }
  j["blas"] = product_library();
  j["subnormal_numbers"] = subnormal_handling();
  j["mpi"] = mpi_description();
  j["kokkos"] = p.kokkos_version;
  j["compiler"] = p.compiler;
  j["build_type"] = p.build_type;
  j["version"] = p.version;
  j["git"] = p.git_hash + (p.git_dirty ? "-dirty" : "");
  return j;
}

void print_machine(const LaunchLayout& layout, std::ostream& out) {
  fmt::print(out, "{}\n\n", provenance_line());
  const nlohmann::ordered_json facts = machine_json(layout);
  for (const auto& [key, value] : facts.items()) {
    fmt::print(out, "{:<24}{}\n", key, value.is_string() ? value.get<std::string>() : value.dump());
  }
  const long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGE_SIZE);
  if (pages > 0 && page > 0) {
    fmt::print(out, "{:<24}{}\n", "memory", format_bytes(static_cast<double>(pages) * static_cast<double>(page)));
  }
  const MachineRates rates = measure_rates();
  fmt::print(out, "\nmeasured on rank 0\n");
  fmt::print(out, "{:<24}{:.0f} GFLOP/s float, {:.0f} GFLOP/s double ([20000,256] x [256,256])\n", "matrix product", rates.gemm_float,
             rates.gemm_double);
  fmt::print(out, "{:<24}{:.1f} GB/s (triad, 3 x 128 MiB)\n", "memory bandwidth", rates.triad);
  auto warnings = launch_warnings(layout, threads_are_bound());
  if (layout.devices == 0) {
    const int cores = std::min(layout.threads, this_processor().cores_of(allowed_cores()));
    if (auto slow = slow_products(rates.gemm_float, this_processor(), cores)) warnings.push_back(std::move(*slow));
  }
  const auto note = blas_note();
  if (note && note->warning) warnings.push_back(note->text);
  if (!warnings.empty() || note) fmt::print(out, "\n");
  if (note && !note->warning) fmt::print(out, "note: {}\n", note->text);
  for (const std::string& warning : warnings) fmt::print(out, "warning: {}\n", warning);
}

void print_versions(std::ostream& out) {
  const Provenance& p = provenance();
  fmt::print(out, "{}\n\n", provenance_line());
  const auto row = [&](const char* name, const std::string& value) { fmt::print(out, "{:<12}{}\n", name, value); };
  row("version", p.version);
  row("git", p.git_hash + (p.git_dirty ? " (changed)" : ""));
  row("compiler", p.compiler);
  row("build", p.build_type);
  row("backend", kBackendName);
  row("MPI", mpi_description());
  row("HDF5", p.hdf5_version);
  row("RDKit", rdkit_version().empty() ? "none" : rdkit_version());
  row("Kokkos", fmt::format("{} ({})", p.kokkos_version, p.kokkos_devices));
  fmt::print(out, "\n");
  Kokkos::print_configuration(out, true);
  fmt::print(out, "\n");
  KokkosKernels::print_configuration(out);
}

}  // namespace gnn_hpc
