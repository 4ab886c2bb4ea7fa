// SPDX-License-Identifier: Apache-2.0
#include "verify/manifest.hpp"

#include "base/text.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace gnn_hpc::verify {

Manifest& Manifest::data(std::initializer_list<std::string_view> names, const std::string& prefix) {
  for (const std::string_view name : names) {
    const std::string full = prefix + std::string(name);
    if (!file_.has(full)) missing_.push_back(full);
  }
  return *this;
}

Manifest& Manifest::data(const std::vector<std::string>& names, const std::string& prefix) {
  for (const std::string& name : names) data({std::string_view(name)}, prefix);
  return *this;
}

Manifest& Manifest::group(const std::string& name) {
  if (!file_.has_group(name)) missing_.push_back(name + "/*");
  return *this;
}

Manifest& Manifest::missing(const std::string& what) {
  missing_.push_back(what);
  return *this;
}

void Manifest::finish() const {
  if (missing_.empty()) return;
  constexpr std::size_t kNamed = 12;
  std::vector<std::string> named(missing_.begin(), missing_.begin() + static_cast<std::ptrdiff_t>(std::min(kNamed, missing_.size())));
  const std::string more = missing_.size() > kNamed ? fmt::format(" and {} more", missing_.size() - kNamed) : "";
  file_.fail(fmt::format("is incomplete: a golden file of {} {} must also hold {}{}; without that a wrong program would pass", file_.system(),
                         file_.kind(), join(named, ", "), more));
}

}  // namespace gnn_hpc::verify
