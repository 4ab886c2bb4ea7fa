// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "verify/golden_file.hpp"

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

namespace gnn_hpc::verify {

/// What a golden file must hold before anything of it is compared: a file that lacks its loss, its prediction or a gradient proves
/// nothing, however well the rest agrees. Collects all that is missing, so that one message names it.
class Manifest {
 public:
  explicit Manifest(const GoldenFile& file) : file_(file) {}

  /// Data sets `prefix` + name.
  Manifest& data(std::initializer_list<std::string_view> names, const std::string& prefix = {});
  Manifest& data(const std::vector<std::string>& names, const std::string& prefix = {});
  /// A group with at least one data set.
  Manifest& group(const std::string& name);
  /// Anything else that was found to be missing.
  Manifest& missing(const std::string& what);
  /// Throws Error(Exit::data) that names what is missing.
  void finish() const;

 private:
  const GoldenFile& file_;
  std::vector<std::string> missing_;
};

}  // namespace gnn_hpc::verify
