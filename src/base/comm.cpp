// SPDX-License-Identifier: Apache-2.0
#include "base/comm.hpp"

#include "base/error.hpp"
#include "base/message_pieces.hpp"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <numeric>
#include <thread>
#include <utility>

#ifdef GNN_HPC_HAVE_MPI
#include <mpi.h>
#if __has_include(<mpi-ext.h>)
#include <mpi-ext.h>
#endif
#endif

namespace gnn_hpc {

#ifdef GNN_HPC_HAVE_MPI
namespace {

template <class T>
MPI_Datatype mpi_type();
template <>
MPI_Datatype mpi_type<float>() {
  return MPI_FLOAT;
}
template <>
MPI_Datatype mpi_type<double>() {
  return MPI_DOUBLE;
}
template <>
MPI_Datatype mpi_type<std::int64_t>() {
  return MPI_INT64_T;
}

std::size_t largest_piece = kLargestMessage;

/// Calls f(first, count) for pieces of 0 .. n, alike on every rank that knows n.
template <class F>
void in_pieces(std::size_t n, F f) {
  for (std::size_t first = 0; first < n; first += largest_piece) f(first, static_cast<int>(std::min(largest_piece, n - first)));
}

template <class T>
void all_reduce(T* values, std::size_t n, MPI_Op op) {
  in_pieces(n, [&](std::size_t first, int count) { MPI_Allreduce(MPI_IN_PLACE, values + first, count, mpi_type<T>(), op, MPI_COMM_WORLD); });
}

template <class T>
void broadcast_from_root(T* values, std::size_t n, MPI_Datatype type) {
  in_pieces(n, [&](std::size_t first, int count) { MPI_Bcast(values + first, count, type, 0, MPI_COMM_WORLD); });
}

/// Concatenation at the root, in rank order. One MPI_Gatherv where its counts and displacements suffice; else rank by rank in pieces, straight
/// into place. All ranks know every count, so that they agree on the way.
template <class T>
std::vector<T> gather_v(std::span<const T> values, int rank, int size, MPI_Datatype type) {
  const auto mine = static_cast<std::int64_t>(values.size());
  std::vector<std::int64_t> counts(static_cast<std::size_t>(size));
  MPI_Allgather(&mine, 1, MPI_INT64_T, counts.data(), 1, MPI_INT64_T, MPI_COMM_WORLD);
  const auto total = static_cast<std::size_t>(std::accumulate(counts.begin(), counts.end(), std::int64_t{0}));
  std::vector<T> all(rank == 0 ? total : 0);
  if (total <= largest_piece) {
    std::vector<int> lengths(counts.begin(), counts.end()), starts(counts.size(), 0);
    std::partial_sum(lengths.begin(), lengths.end() - 1, starts.begin() + 1);
    MPI_Gatherv(values.data(), lengths[static_cast<std::size_t>(rank)], type, all.data(), lengths.data(), starts.data(), type, 0, MPI_COMM_WORLD);
    return all;
  }
  constexpr int kTag = 7;
  if (rank != 0) {
    in_pieces(values.size(), [&](std::size_t first, int count) { MPI_Send(values.data() + first, count, type, 0, kTag, MPI_COMM_WORLD); });
    return all;
  }
  std::copy(values.begin(), values.end(), all.begin());
  T* to = all.data() + values.size();
  for (int r = 1; r < size; ++r) {
    const auto n = static_cast<std::size_t>(counts[static_cast<std::size_t>(r)]);
    in_pieces(n, [&](std::size_t first, int count) { MPI_Recv(to + first, count, type, r, kTag, MPI_COMM_WORLD, MPI_STATUS_IGNORE); });
    to += n;
  }
  return all;
}

// Made by MpiScope.
MPI_Comm meeting_point = MPI_COMM_NULL;
int rank_on_machine = 0, ranks_on_machine = 1;

}  // namespace
#define GNN_HPC_IF_MANY(...) \
  if (size_ > 1) {           \
    __VA_ARGS__;             \
  }
#else
#define GNN_HPC_IF_MANY(...)
#endif

Comm Comm::world() {
  Comm comm;
#ifdef GNN_HPC_HAVE_MPI
  int started = 0;
  MPI_Initialized(&started);
  if (started) {
    MPI_Comm_rank(MPI_COMM_WORLD, &comm.rank_);
    MPI_Comm_size(MPI_COMM_WORLD, &comm.size_);
    comm.local_rank_ = rank_on_machine;
    comm.local_size_ = ranks_on_machine;
  }
#endif
  return comm;
}

void Comm::sum([[maybe_unused]] std::span<double> v) const { GNN_HPC_IF_MANY(all_reduce(v.data(), v.size(), MPI_SUM)) }
void Comm::sum([[maybe_unused]] std::span<float> v) const { GNN_HPC_IF_MANY(all_reduce(v.data(), v.size(), MPI_SUM)) }
void Comm::sum([[maybe_unused]] std::span<std::int64_t> v) const { GNN_HPC_IF_MANY(all_reduce(v.data(), v.size(), MPI_SUM)) }
void Comm::max([[maybe_unused]] std::span<std::int64_t> v) const { GNN_HPC_IF_MANY(all_reduce(v.data(), v.size(), MPI_MAX)) }
void Comm::max([[maybe_unused]] std::span<double> v) const { GNN_HPC_IF_MANY(all_reduce(v.data(), v.size(), MPI_MAX)) }

double Comm::sum(double value) const {
  sum(std::span<double>(&value, 1));
  return value;
}
std::int64_t Comm::sum(std::int64_t value) const {
  sum(std::span<std::int64_t>(&value, 1));
  return value;
}
std::int64_t Comm::max(std::int64_t value) const {
  max(std::span<std::int64_t>(&value, 1));
  return value;
}

namespace {
template <class T>
void sum_device([[maybe_unused]] const Comm& comm, const Exec& exec, View1<T> values) {
  exec.fence("gnn_hpc::Comm::sum");
  if (kExecIsHost || comm.gpu_aware()) {
    comm.sum(std::span<T>(values.data(), values.extent(0)));
    return;
  }
  // Pinned, and kept: allocated once per size, so that a training step allocates nothing.
  static Kokkos::View<T*, Kokkos::SharedHostPinnedSpace> staging;
  [[maybe_unused]] static const bool freed_in_time = (Kokkos::push_finalize_hook([] { staging = {}; }), true);
  if (staging.extent(0) < values.extent(0)) Kokkos::realloc(Kokkos::WithoutInitializing, staging, values.extent(0));
  auto host = Kokkos::subview(staging, Kokkos::make_pair(std::size_t{0}, values.extent(0)));
  Kokkos::deep_copy(host, values);
  comm.sum(std::span<T>(host.data(), host.extent(0)));
  Kokkos::deep_copy(exec, values, host);
}
}  // namespace

void Comm::sum(const Exec& exec, View1<float> values) const {
  if (size_ > 1) sum_device(*this, exec, values);
}
void Comm::sum(const Exec& exec, View1<double> values) const {
  if (size_ > 1) sum_device(*this, exec, values);
}

void Comm::broadcast([[maybe_unused]] std::string& text) const {
  GNN_HPC_IF_MANY(std::int64_t n = static_cast<std::int64_t>(text.size()); MPI_Bcast(&n, 1, MPI_INT64_T, 0, MPI_COMM_WORLD);
                  text.resize(static_cast<std::size_t>(n)); broadcast_from_root(text.data(), text.size(), MPI_CHAR))
}
void Comm::broadcast([[maybe_unused]] std::span<std::int64_t> values) const {
  GNN_HPC_IF_MANY(broadcast_from_root(values.data(), values.size(), MPI_INT64_T))
}

namespace {
/// Texts one after the other, and their lengths: no character is a separator.
std::pair<std::string, std::vector<std::int64_t>> packed(const std::vector<std::string>& texts) {
  std::pair<std::string, std::vector<std::int64_t>> out;
  for (const std::string& text : texts) {
    out.first += text;
    out.second.push_back(static_cast<std::int64_t>(text.size()));
  }
  return out;
}

std::vector<std::string> unpacked(const std::string& text, const std::vector<std::int64_t>& lengths) {
  std::vector<std::string> out;
  std::size_t at = 0;
  for (const std::int64_t length : lengths) {
    out.push_back(text.substr(at, static_cast<std::size_t>(length)));
    at += static_cast<std::size_t>(length);
  }
  return out;
}
}  // namespace

void Comm::broadcast(std::vector<std::string>& texts) const {
  if (size_ == 1) return;
  auto [text, lengths] = packed(texts);
  std::int64_t count = static_cast<std::int64_t>(lengths.size());
  broadcast(std::span<std::int64_t>(&count, 1));
  lengths.resize(static_cast<std::size_t>(count));
  broadcast(std::span<std::int64_t>(lengths));
  broadcast(text);
  texts = unpacked(text, lengths);
}

std::vector<std::string> Comm::gather(const std::vector<std::string>& texts) const {
  if (size_ == 1) return texts;
  const auto [text, lengths] = packed(texts);
  std::string all;
  for (const std::string& part : gather(text)) all += part;
  return unpacked(all, gather(std::span<const std::int64_t>(lengths)));
}

std::vector<std::string> Comm::gather(const std::string& text) const {
  if (size_ == 1) return {text};
  std::vector<std::string> out;
#ifdef GNN_HPC_HAVE_MPI
  const std::vector<char> chars = gather_v(std::span<const char>(text), rank_, size_, MPI_CHAR);
  const std::int64_t n = static_cast<std::int64_t>(text.size());
  const std::vector<std::int64_t> sizes = gather(std::span<const std::int64_t>(&n, 1));
  std::size_t at = 0;
  for (const std::int64_t s : sizes) {
    out.emplace_back(chars.data() + at, static_cast<std::size_t>(s));
    at += static_cast<std::size_t>(s);
  }
#endif
  return out;
}
std::vector<double> Comm::gather(std::span<const double> values) const {
#ifdef GNN_HPC_HAVE_MPI
  if (size_ > 1) return gather_v(values, rank_, size_, MPI_DOUBLE);
#endif
  return {values.begin(), values.end()};
}
std::vector<std::int64_t> Comm::gather(std::span<const std::int64_t> values) const {
#ifdef GNN_HPC_HAVE_MPI
  if (size_ > 1) return gather_v(values, rank_, size_, MPI_INT64_T);
#endif
  return {values.begin(), values.end()};
}

void Comm::barrier() const { GNN_HPC_IF_MANY(MPI_Barrier(MPI_COMM_WORLD)) }

bool Comm::meet([[maybe_unused]] double seconds) const {
#ifdef GNN_HPC_HAVE_MPI
  if (size_ > 1 && meeting_point != MPI_COMM_NULL) {
    MPI_Request request;
    MPI_Ibarrier(meeting_point, &request);
    const double end = MPI_Wtime() + seconds;
    for (int done = 0;;) {
      MPI_Test(&request, &done, MPI_STATUS_IGNORE);
      if (done) return true;
      if (MPI_Wtime() > end) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  }
#endif
  return true;
}

void set_largest_message([[maybe_unused]] std::size_t elements) {
#ifdef GNN_HPC_HAVE_MPI
  largest_piece = elements;
#endif
}

void Comm::abort(int exit_code) const {
  GNN_HPC_IF_MANY(MPI_Abort(MPI_COMM_WORLD, exit_code))
  std::_Exit(exit_code);
}

MpiScope::MpiScope([[maybe_unused]] int& argc, [[maybe_unused]] char**& argv) {
#ifdef GNN_HPC_HAVE_MPI
  int provided = 0;  // the loader thread never calls MPI
  MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &provided);
  MPI_Comm_dup(MPI_COMM_WORLD, &meeting_point);
  MPI_Comm machine = MPI_COMM_NULL;
  MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &machine);
  MPI_Comm_rank(machine, &rank_on_machine);
  MPI_Comm_size(machine, &ranks_on_machine);
  MPI_Comm_free(&machine);
#endif
}
MpiScope::~MpiScope() {
#ifdef GNN_HPC_HAVE_MPI
  if (meeting_point != MPI_COMM_NULL) MPI_Comm_free(&meeting_point);
  MPI_Finalize();
#endif
}

std::string mpi_description() {
#ifdef GNN_HPC_HAVE_MPI
  char text[MPI_MAX_LIBRARY_VERSION_STRING];
  int length = 0;
  MPI_Get_library_version(text, &length);
  std::string s(text, static_cast<std::size_t>(length));
  return s.substr(0, s.find_first_of(",\n"));
#else
  return "none";
#endif
}

bool mpi_claims_gpu_support() {
#ifdef GNN_HPC_HAVE_MPI
  if (const char* mpich = std::getenv("MPICH_GPU_SUPPORT_ENABLED"); mpich != nullptr && *mpich == '1') return true;
#if defined(MPIX_CUDA_AWARE_SUPPORT)
  if (MPIX_Query_cuda_support() == 1) return true;
#endif
#if defined(MPIX_ROCM_AWARE_SUPPORT)
  if (MPIX_Query_rocm_support() == 1) return true;
#endif
#endif
  return false;
}

}  // namespace gnn_hpc
