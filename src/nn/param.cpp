// SPDX-License-Identifier: Apache-2.0
#include "nn/param.hpp"

#include "base/error.hpp"

#include <algorithm>

namespace gnn_hpc {

namespace {

constexpr std::size_t kPadding = 64;

TensorInfo place(const std::string& name, std::vector<std::size_t> shape, Init init, bool used, std::size_t& flat_size) {
  TensorInfo t{name, std::move(shape), init, flat_size, 1, used};
  for (const std::size_t extent : t.shape) t.size *= extent;
  flat_size += (t.size + kPadding - 1) / kPadding * kPadding;
  return t;
}

const TensorInfo* find_in(const std::deque<TensorInfo>& tensors, const std::string& name) {
  const auto it = std::find_if(tensors.begin(), tensors.end(), [&](const TensorInfo& t) { return t.name == name; });
  return it == tensors.end() ? nullptr : &*it;
}

template <class T>
void initialise(View1<T> flat, const std::deque<TensorInfo>& tensors, std::uint64_t seed) {
  auto host = Kokkos::create_mirror_view(flat);
  for (const TensorInfo& t : tensors) {
    const RandomKey key{seed, fnv1a64(t.name)};
    for (std::size_t i = 0; i < t.size; ++i) {
      double v = t.init.scale;
      if (t.init.kind == Init::Kind::uniform) v *= 2.0 * key.uniform(i) - 1.0;
      if (t.init.kind == Init::Kind::normal) v *= key.normal(i);
      host(t.offset + i) = static_cast<T>(v);
    }
  }
  Kokkos::deep_copy(flat, host);
}

}  // namespace

template <class T>
View2<T> Param<T>::value() const {
  return View2<T>(store_->values_.data() + info().offset, info().rows(), info().columns());
}
template <class T>
View2<T> Param<T>::grad() const {
  return View2<T>(store_->gradients_.data() + info().offset, info().rows(), info().columns());
}
template <class T>
View1<T> Param<T>::value1() const {
  return View1<T>(store_->values_.data() + info().offset, info().size);
}
template <class T>
View1<T> Param<T>::grad1() const {
  return View1<T>(store_->gradients_.data() + info().offset, info().size);
}
template <class T>
const TensorInfo& Param<T>::info() const {
  return store_->tensors_[index_];
}

template <class T>
View1<T> Buffer<T>::value1() const {
  return View1<T>(store_->buffers_.data() + info().offset, info().size);
}
template <class T>
const TensorInfo& Buffer<T>::info() const {
  return store_->buffer_tensors_[index_];
}

template <class T>
Param<T> ParamStore<T>::add(const std::string& name, std::vector<std::size_t> shape, Init init, bool used) {
  GNN_HPC_REQUIRE(!final_, "parameter {} registered after finalize", name);
  GNN_HPC_REQUIRE(find(name) == nullptr, "parameter {} registered twice", name);
  tensors_.push_back(place(name, std::move(shape), init, used, flat_size_));
  return Param<T>(this, tensors_.size() - 1);
}

template <class T>
Buffer<T> ParamStore<T>::add_buffer(const std::string& name, std::vector<std::size_t> shape, Init init, BufferRule rule) {
  GNN_HPC_REQUIRE(!final_, "buffer {} registered after finalize", name);
  GNN_HPC_REQUIRE(find_buffer(name) == nullptr, "buffer {} registered twice", name);
  buffer_tensors_.push_back(place(name, std::move(shape), init, true, flat_buffer_size_));
  buffer_tensors_.back().rule = rule;
  return Buffer<T>(this, buffer_tensors_.size() - 1);
}

template <class T>
void ParamStore<T>::finalize(std::uint64_t seed) {
  GNN_HPC_REQUIRE(!final_, "finalize called twice");
  final_ = true;
  values_ = View1<T>("gnn_hpc::ParamStore::values", flat_size_);
  gradients_ = View1<T>("gnn_hpc::ParamStore::gradients", flat_size_);
  buffers_ = View1<T>("gnn_hpc::ParamStore::buffers", flat_buffer_size_);
  initialise(values_, tensors_, seed);
  initialise(buffers_, buffer_tensors_, seed);
}

template <class T>
std::size_t ParamStore<T>::num_parameters() const {
  std::size_t n = 0;
  for (const TensorInfo& t : tensors_) n += t.size;
  return n;
}

template <class T>
void ParamStore<T>::zero_gradients(const Exec& exec) const {
  Kokkos::deep_copy(exec, gradients_, T(0));
}

template <class T>
const TensorInfo* ParamStore<T>::find(const std::string& name) const {
  return find_in(tensors_, name);
}
template <class T>
const TensorInfo* ParamStore<T>::find_buffer(const std::string& name) const {
  return find_in(buffer_tensors_, name);
}

template <class T>
std::vector<double> ParamStore<T>::get_from(View1<T> flat, const TensorInfo& tensor) {
  auto window = Kokkos::subview(flat, Kokkos::make_pair(tensor.offset, tensor.offset + tensor.size));
  auto host = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), window);
  std::vector<double> out(tensor.size);
  for (std::size_t i = 0; i < tensor.size; ++i) out[i] = static_cast<double>(host(i));
  return out;
}

template <class T>
void ParamStore<T>::set_in(View1<T> flat, const TensorInfo& tensor, const std::vector<double>& values) {
  GNN_HPC_REQUIRE(values.size() == tensor.size, "{}: {} values given, the tensor has {}", tensor.name, values.size(), tensor.size);
  auto window = Kokkos::subview(flat, Kokkos::make_pair(tensor.offset, tensor.offset + tensor.size));
  auto host = Kokkos::create_mirror_view(Kokkos::HostSpace(), window);
  for (std::size_t i = 0; i < tensor.size; ++i) host(i) = static_cast<T>(values[i]);
  Kokkos::deep_copy(window, host);
}

template class Param<float>;
template class Param<double>;
template class Buffer<float>;
template class Buffer<double>;
template class ParamStore<float>;
template class ParamStore<double>;

}  // namespace gnn_hpc
