// SPDX-License-Identifier: Apache-2.0
#include "nn/operand_count.hpp"

#include "base/error.hpp"

#include <atomic>
#include <bit>
#include <cstdint>

namespace gnn_hpc {

namespace {

std::atomic<OperandCount*> g_active{nullptr};

/// An exponent of zero with a fraction that is not. Not std::fpclassify: what flushes compares a subnormal number equal to zero.
bool is_subnormal(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x) & 0x7fffffffU;
  return bits != 0 && bits < 0x00800000U;
}
bool is_subnormal(double x) {
  const auto bits = std::bit_cast<std::uint64_t>(x) & 0x7fffffffffffffffULL;
  return bits != 0 && bits < 0x0010000000000000ULL;
}

}  // namespace

OperandCount::OperandCount() {
  GNN_HPC_REQUIRE(kExecIsHost, "operands of products are counted on the host only");
  OperandCount* none = nullptr;
  GNN_HPC_REQUIRE(g_active.compare_exchange_strong(none, this), "operands are being counted already");
}

OperandCount::~OperandCount() { g_active.store(nullptr); }

OperandCount* OperandCount::active() noexcept { return g_active.load(std::memory_order_relaxed); }

std::vector<OperandCount::Entry> OperandCount::entries() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::vector<Entry> out;
  for (const auto& [key, entry] : entries_) out.push_back(entry);
  return out;
}

template <class T>
void OperandCount::note(Form form, View2<T> a, View2<T> b, View2<T> c) {
  const std::int64_t left = count_subnormals(a), right = count_subnormals(b);
  const int inner = form == Form::tn ? a.extent_int(0) : a.extent_int(1);
  const void* matrix = form == Form::tn ? c.data() : b.data();
  const std::lock_guard<std::mutex> lock(mutex_);
  // The length of a sum over rows is the batch's, not the layer's.
  Entry& entry = entries_[{form, matrix, form == Form::tn ? 0 : inner, c.extent_int(1)}];
  entry.form = form;
  entry.matrix = matrix;
  entry.inner = form == Form::tn ? c.extent_int(0) : inner;
  entry.columns = c.extent_int(1);
  ++entry.products;
  entry.left += static_cast<std::int64_t>(a.size());
  entry.left_subnormal += left;
  entry.right += static_cast<std::int64_t>(b.size());
  entry.right_subnormal += right;
}

template <class T>
std::int64_t count_subnormals(View2<T> x) {
  if constexpr (!kExecIsHost) return 0;
  std::int64_t count = 0;
  for (std::size_t r = 0; r < x.extent(0); ++r) {
    const T* row = x.data() + r * x.stride(0);
    for (std::size_t c = 0; c < x.extent(1); ++c) count += is_subnormal(row[c * x.stride(1)]) ? 1 : 0;
  }
  return count;
}

template void OperandCount::note<float>(Form, View2<float>, View2<float>, View2<float>);
template void OperandCount::note<double>(Form, View2<double>, View2<double>, View2<double>);
template std::int64_t count_subnormals<float>(View2<float>);
template std::int64_t count_subnormals<double>(View2<double>);

}  // namespace gnn_hpc
