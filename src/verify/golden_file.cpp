// SPDX-License-Identifier: Apache-2.0
#include "verify/golden_file.hpp"

#include "base/error.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

namespace gnn_hpc::verify {

namespace {

/// A damaged header may claim any size; no golden file comes near this many numbers.
constexpr std::int64_t kMostElements = std::int64_t{1} << 31;

std::string wanted_text(const std::vector<std::int64_t>& wanted) {
  std::vector<std::string> extents;
  for (const std::int64_t extent : wanted) extents.push_back(extent < 0 ? "any" : std::to_string(extent));
  return fmt::format("[{}]", fmt::join(extents, ","));
}

template <class T>
void require_shape(const GoldenFile& file, const std::string& name, const Tensor<T>& tensor, const std::vector<std::int64_t>& wanted) {
  bool fits = tensor.shape.size() == wanted.size();
  for (std::size_t i = 0; fits && i < wanted.size(); ++i) {
    fits = wanted[i] < 0 || tensor.shape[i] == static_cast<std::size_t>(wanted[i]);
  }
  if (!fits) file.fail(fmt::format("{} has shape {}, expected {}", name, shape_text(tensor.shape), wanted_text(wanted)));
}

}  // namespace

GoldenFile::GoldenFile(const std::string& path) : reader_(path) {
  for (std::string name : reader_.datasets()) {
    while (name.starts_with('/')) name.erase(0, 1);
    for (std::size_t slash = name.find('/'); slash != std::string::npos; slash = name.find('/', slash + 1)) {
      groups_.insert(name.substr(0, slash));
    }
    datasets_.insert(std::move(name));
  }
  for (const auto& [name, value] : {std::pair{"system", &system_}, {"kind", &kind_}}) {
    if (!reader_.has_attribute("/", name)) fail(fmt::format("is no golden file: the root has no attribute '{}'", name));
    *value = reader_.attribute_text("/", name);
  }
}

bool GoldenFile::has(std::string_view name) const { return datasets_.find(name) != datasets_.end(); }
bool GoldenFile::has_group(std::string_view name) const { return groups_.find(name) != groups_.end(); }

std::vector<std::string> GoldenFile::names_under(std::string_view group) const {
  const std::string prefix = group.empty() ? std::string() : std::string(group) + "/";
  std::vector<std::string> out;
  for (const std::string& name : datasets_) {
    if (name.starts_with(prefix)) out.push_back(name);
  }
  return out;
}

std::vector<std::string> GoldenFile::groups_in(std::string_view group) const {
  const std::string prefix = group.empty() ? std::string() : std::string(group) + "/";
  std::vector<std::string> out;
  for (const std::string& name : groups_) {
    if (name.size() > prefix.size() && name.starts_with(prefix) && name.find('/', prefix.size()) == std::string::npos) {
      out.push_back(name.substr(prefix.size()));
    }
  }
  return out;
}

std::vector<std::size_t> GoldenFile::open(const std::string& name) {
  if (!has(name)) fail(fmt::format("has no data set {}", name));
  if (reader_.is_text(name)) fail(fmt::format("{} holds text, expected numbers", name));
  const Shape shape = reader_.shape(name);
  if (element_count(shape) > kMostElements) fail(fmt::format("{} claims {} elements; damaged?", name, element_count(shape)));
  read_.insert(name);
  return {shape.begin(), shape.end()};
}

RealTensor GoldenFile::real(const std::string& name) {
  std::vector<std::size_t> shape = open(name);
  return {std::move(shape), reader_.read<double>(name)};
}

IntegerTensor GoldenFile::integers(const std::string& name) {
  std::vector<std::size_t> shape = open(name);
  const DType type = reader_.dtype(name);
  if (type == DType::f32 || type == DType::f64) fail(fmt::format("{} holds {}, expected integers", name, name_of(type)));
  return {std::move(shape), reader_.read<std::int64_t>(name)};
}

RealTensor GoldenFile::real(const std::string& name, const std::vector<std::int64_t>& shape) {
  RealTensor tensor = real(name);
  require_shape(*this, name, tensor, shape);
  return tensor;
}

IntegerTensor GoldenFile::integers(const std::string& name, const std::vector<std::int64_t>& shape) {
  IntegerTensor tensor = integers(name);
  require_shape(*this, name, tensor, shape);
  return tensor;
}

RealTensor GoldenFile::finite(const std::string& name, const std::vector<std::int64_t>& shape) {
  RealTensor tensor = real(name, shape);
  for (std::size_t i = 0; i < tensor.values.size(); ++i) {
    if (!std::isfinite(tensor.values[i])) fail(fmt::format("{}: element {} is {}, expected finite numbers", name, i, tensor.values[i]));
  }
  return tensor;
}

std::vector<int> GoldenFile::indices(const std::string& name, const IntegerTensor& tensor, std::int64_t high) const {
  std::vector<int> out;
  out.reserve(tensor.values.size());
  for (const std::int64_t value : tensor.values) {
    if (value < 0 || value >= high) fail(fmt::format("{} holds {}, allowed are 0 to {}", name, value, high - 1));
    out.push_back(static_cast<int>(value));
  }
  return out;
}

RealTensor GoldenFile::scalar(const std::string& name) {
  RealTensor tensor = real(name);
  if (tensor.values.size() == 1) tensor.shape.clear();
  return tensor;
}

std::vector<std::string> GoldenFile::texts(const std::string& name) {
  if (!has(name)) fail(fmt::format("has no data set {}", name));
  if (!reader_.is_text(name)) fail(fmt::format("{} holds numbers, expected text", name));
  read_.insert(name);
  return reader_.read_texts(name);
}

bool GoldenFile::has_attribute(const std::string& object, const std::string& name) const { return reader_.has_attribute("/" + object, name); }

double GoldenFile::number_attribute(const std::string& object, const std::string& name) const {
  if (!has_attribute(object, name)) fail(fmt::format("group {} has no attribute '{}'", object, name));
  return reader_.attribute_number("/" + object, name);
}

std::vector<int> GoldenFile::integers_attribute(const std::string& object, const std::string& name, std::size_t count, int low, int high) const {
  if (!has_attribute(object, name)) fail(fmt::format("group {} has no attribute '{}'", object, name));
  const std::vector<double> values = reader_.attribute_numbers("/" + object, name);
  if (values.size() != count) fail(fmt::format("attribute '{}' of {} holds {} numbers, expected {}", name, object, values.size(), count));
  std::vector<int> out;
  for (const double value : values) {
    if (value != std::floor(value) || value < low || value > high) {
      fail(fmt::format("attribute '{}' of {} is {}, expected integers in [{}, {}]", name, object, value, low, high));
    }
    out.push_back(static_cast<int>(value));
  }
  return out;
}

std::int64_t GoldenFile::integer_attribute(const std::string& object, const std::string& name, std::int64_t low, std::int64_t high) const {
  const double value = number_attribute(object, name);
  if (value != std::floor(value) || value < static_cast<double>(low) || value > static_cast<double>(high)) {
    fail(fmt::format("attribute '{}' of {} is {}, expected an integer in [{}, {}]", name, object, value, low, high));
  }
  return static_cast<std::int64_t>(value);
}

bool GoldenFile::flag_attribute(const std::string& object, const std::string& name) const { return integer_attribute(object, name, 0, 1) != 0; }

std::string GoldenFile::text_attribute(const std::string& object, const std::string& name) const {
  if (!has_attribute(object, name)) fail(fmt::format("group {} has no attribute '{}'", object, name));
  return reader_.attribute_text("/" + object, name);
}

std::vector<std::string> GoldenFile::unread() const {
  std::vector<std::string> out;
  std::set_difference(datasets_.begin(), datasets_.end(), read_.begin(), read_.end(), std::back_inserter(out));
  list_empty_groups("", out);
  return out;
}

void GoldenFile::list_empty_groups(const std::string& parent, std::vector<std::string>& out) const {
  for (const std::string& child : reader_.list("/" + parent)) {
    const std::string name = parent.empty() ? child : parent + "/" + child;
    if (!reader_.is_group("/" + name)) continue;
    if (has_group(name)) {
      list_empty_groups(name, out);
    } else if (child != "config") {
      out.push_back(name + "/");
    }
  }
}

void GoldenFile::fail(const std::string& message) const { throw Error(Exit::data, fmt::format("{}: {}", path(), message)); }

}  // namespace gnn_hpc::verify
