// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/config.hpp"

#include <cstdint>
#include <map>
#include <mutex>
#include <tuple>
#include <vector>

namespace gnn_hpc {

/// Counts subnormal numbers in the operands of `Matmul` on the host while it lives; `gnn_hpc bench --what subnormals`. At most one at a time.
/// Bits are looked at, so the count does not depend on whether threads flush.
class OperandCount {
 public:
  enum class Form { nt, nn, tn };
  /// All products of a form with one matrix: the right one (nt, nn: a weight), or what they add to (tn: a weight's gradient).
  struct Entry {
    Form form = Form::nt;
    const void* matrix = nullptr;
    int inner = 0, columns = 0;
    std::int64_t products = 0;
    std::int64_t left = 0, left_subnormal = 0, right = 0, right_subnormal = 0;  ///< elements
  };

  OperandCount();
  ~OperandCount();
  OperandCount(const OperandCount&) = delete;
  OperandCount& operator=(const OperandCount&) = delete;

  std::vector<Entry> entries() const;

  /// The one that counts now, or nullptr.
  static OperandCount* active() noexcept;
  /// A product of this form; called by several lanes at a time.
  template <class T>
  void note(Form form, View2<T> a, View2<T> b, View2<T> c);

 private:
  mutable std::mutex mutex_;
  std::map<std::tuple<Form, const void*, int, int>, Entry> entries_;
};

/// Subnormal elements of a host matrix, whose rows may be strided.
template <class T>
std::int64_t count_subnormals(View2<T> x);

}  // namespace gnn_hpc
