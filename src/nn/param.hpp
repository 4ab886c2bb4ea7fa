// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/config.hpp"
#include "base/random.hpp"

#include <cstddef>
#include <deque>
#include <string>
#include <utility>
#include <vector>

namespace gnn_hpc {

/// How a tensor gets its first values; drawn from (seed, name), hence independent of the order of registration.
struct Init {
  enum class Kind { constant, uniform, normal } kind = Kind::constant;
  double scale = 0.0;  ///< the constant, the bound of uniform(-scale, scale), or the standard deviation
  static Init constant(double value) { return {Kind::constant, value}; }
  static Init uniform(double bound) { return {Kind::uniform, bound}; }
  static Init normal(double stddev) { return {Kind::normal, stddev}; }
};

/// What makes a buffer the same on all ranks.
enum class BufferRule {
  mean,  ///< statistics of each rank's shares: averaged before they are used or saved
  none   ///< equal by construction, its layer adds over ranks within the step
};

/// One named tensor of a store.
struct TensorInfo {
  std::string name;
  std::vector<std::size_t> shape;
  Init init;
  std::size_t offset = 0;  ///< of the first element in the flat array; a multiple of 64
  std::size_t size = 0;
  bool used = true;                    ///< false: kept for checkpoints' sake, no gradient; the optimiser must not touch it
  BufferRule rule = BufferRule::mean;  ///< of a buffer
  std::size_t rows() const { return shape.size() > 1 ? size / shape.back() : 1; }
  std::size_t columns() const { return shape.empty() ? 1 : shape.back(); }
};

template <class T>
class ParamStore;

/// Handle of a trainable tensor: a window on the store's flat arrays, valid after `finalize`.
template <class T>
class Param {
 public:
  Param() = default;
  View2<T> value() const;  ///< [rows, columns]; a 1-d tensor is one row
  View2<T> grad() const;
  View1<T> value1() const;  ///< flattened
  View1<T> grad1() const;
  const TensorInfo& info() const;

 private:
  friend class ParamStore<T>;
  Param(ParamStore<T>* store, std::size_t index) : store_(store), index_(index) {}
  ParamStore<T>* store_ = nullptr;
  std::size_t index_ = 0;
};

/// Handle of a tensor that training updates without a gradient (running statistics).
template <class T>
class Buffer {
 public:
  Buffer() = default;
  View1<T> value1() const;
  const TensorInfo& info() const;

 private:
  friend class ParamStore<T>;
  Buffer(ParamStore<T>* store, std::size_t index) : store_(store), index_(index) {}
  ParamStore<T>* store_ = nullptr;
  std::size_t index_ = 0;
};

/// All parameters of a model in one flat array, their gradients in a second, buffers in a third: one reduction over ranks, one
/// norm, one optimiser kernel, one data set in a checkpoint. Layers register in their constructors; `finalize` allocates and
/// initialises. Names equal those of the reference checkpoints. Tensors are padded to 64 elements; padding stays zero.
template <class T>
class ParamStore {
 public:
  ParamStore() = default;
  ParamStore(const ParamStore&) = delete;
  ParamStore& operator=(const ParamStore&) = delete;

  /// Throws Error(Exit::internal) for a name registered twice or after `finalize`.
  Param<T> add(const std::string& name, std::vector<std::size_t> shape, Init init, bool used = true);
  Buffer<T> add_buffer(const std::string& name, std::vector<std::size_t> shape, Init init, BufferRule rule = BufferRule::mean);
  Buffer<T> add_buffer(const std::string& name, std::vector<std::size_t> shape, double initial, BufferRule rule = BufferRule::mean) {
    return add_buffer(name, std::move(shape), Init::constant(initial), rule);
  }
  void finalize(std::uint64_t seed);

  View1<T> values() const { return values_; }
  View1<T> gradients() const { return gradients_; }
  View1<T> buffers() const { return buffers_; }
  const std::deque<TensorInfo>& tensors() const { return tensors_; }
  const std::deque<TensorInfo>& buffer_tensors() const { return buffer_tensors_; }

  /// Number of elements of all parameters, padding apart, unused ones included.
  std::size_t num_parameters() const;
  void zero_gradients(const Exec& exec) const;

  /// Host copies by tensor, in row-major order and without padding; `set` checks the size.
  std::vector<double> get(const TensorInfo& tensor) const { return get_from(values_, tensor); }
  std::vector<double> get_gradient(const TensorInfo& tensor) const { return get_from(gradients_, tensor); }
  std::vector<double> get_buffer(const TensorInfo& tensor) const { return get_from(buffers_, tensor); }
  void set(const TensorInfo& tensor, const std::vector<double>& values) { set_in(values_, tensor, values); }
  void set_buffer(const TensorInfo& tensor, const std::vector<double>& values) { set_in(buffers_, tensor, values); }
  /// nullptr if absent.
  const TensorInfo* find(const std::string& name) const;
  const TensorInfo* find_buffer(const std::string& name) const;

 private:
  friend class Param<T>;
  friend class Buffer<T>;
  static std::vector<double> get_from(View1<T> flat, const TensorInfo& tensor);
  static void set_in(View1<T> flat, const TensorInfo& tensor, const std::vector<double>& values);

  std::deque<TensorInfo> tensors_, buffer_tensors_;
  std::size_t flat_size_ = 0, flat_buffer_size_ = 0;
  View1<T> values_, gradients_, buffers_;
  bool final_ = false;
};

}  // namespace gnn_hpc
