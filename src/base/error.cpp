// SPDX-License-Identifier: Apache-2.0
#include "base/error.hpp"

#include <string_view>

namespace gnn_hpc::detail {

void fail_requirement(const char* expression, const char* file, int line, const std::string& values) {
  std::string_view path(file);
  const auto src = path.rfind("src/");
  if (src != std::string_view::npos) path.remove_prefix(src);
  throw Error(Exit::internal, fmt::format("{}:{}: requirement failed: {}{}{}", path, line, expression, values.empty() ? "" : ": ", values));
}

}  // namespace gnn_hpc::detail
