// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "io/hdf5.hpp"
#include "verify/comparison.hpp"

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace gnn_hpc::verify {

/// A file of expected numbers in HDF5 (`kind` model, graphs or other). Opens read-only and remembers which data sets were read, so that a
/// name nobody looked at is noticed. The layout is that of README.md in tests/reference. Every problem (no HDF5, truncated, a missing name,
/// another type or shape) is Error(Exit::data) that names file and data set.
class GoldenFile {
 public:
  explicit GoldenFile(const std::string& path);

  const std::string& path() const { return reader_.path(); }
  /// Root attributes.
  const std::string& system() const { return system_; }
  const std::string& kind() const { return kind_; }

  bool has(std::string_view name) const;  ///< a data set of this full name, e.g. "outputs/prediction"
  bool has_group(std::string_view name) const;
  /// Full names of all data sets under a group ("" = all), sorted.
  std::vector<std::string> names_under(std::string_view group) const;
  /// Names of the direct children of a group that are groups, sorted ("" = root).
  std::vector<std::string> groups_in(std::string_view group) const;

  /// Numbers of any stored type, as double.
  RealTensor real(const std::string& name);
  /// Throws if the data set does not hold integers.
  IntegerTensor integers(const std::string& name);
  /// The same with a required shape; -1 stands for any extent.
  RealTensor real(const std::string& name, const std::vector<std::int64_t>& shape);
  IntegerTensor integers(const std::string& name, const std::vector<std::int64_t>& shape);

  /// The same where every number must be finite: parameters, also those that no result depends on.
  RealTensor finite(const std::string& name, const std::vector<std::int64_t>& shape);
  /// The numbers of a tensor of data set `name`, which must lie in [0, high).
  std::vector<int> indices(const std::string& name, const IntegerTensor& tensor, std::int64_t high) const;
  /// A tensor of one element as a scalar, any other as it is, to be compared with one number.
  RealTensor scalar(const std::string& name);

  /// The strings of a data set of text.
  std::vector<std::string> texts(const std::string& name);

  bool has_attribute(const std::string& object, const std::string& name) const;
  double number_attribute(const std::string& object, const std::string& name) const;
  /// `count` integers of [low, high] in one attribute.
  std::vector<int> integers_attribute(const std::string& object, const std::string& name, std::size_t count, int low, int high) const;
  std::int64_t integer_attribute(const std::string& object, const std::string& name, std::int64_t low, std::int64_t high) const;
  bool flag_attribute(const std::string& object, const std::string& name) const;
  std::string text_attribute(const std::string& object, const std::string& name) const;

  /// Data sets that were never read, and groups (`NAME/`) without any, apart from `config`.
  std::vector<std::string> unread() const;
  /// An Error(Exit::data) about this file.
  [[noreturn]] void fail(const std::string& message) const;

 private:
  void list_empty_groups(const std::string& parent, std::vector<std::string>& out) const;
  std::vector<std::size_t> open(const std::string& name);
  Hdf5Reader reader_;
  std::string system_, kind_;
  std::set<std::string, std::less<>> datasets_, groups_, read_;
};

}  // namespace gnn_hpc::verify
