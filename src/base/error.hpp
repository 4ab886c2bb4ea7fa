// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>

namespace gnn_hpc {

/// Exit codes of the program; the Slurm scripts requeue a job that ends with `stopped`.
enum class Exit : int {
  ok = 0,        ///< done
  internal = 1,  ///< a defect of this program
  usage = 2,     ///< command line or YAML
  data = 3,      ///< an input, cache or checkpoint file
  diverged = 4,  ///< the loss or the gradients stopped being finite
  stopped = 5,   ///< signal or time limit; a checkpoint was written, the same command continues
};

/// The one exception type of the program; only `main` catches it. The message names the thing, its value, what was
/// allowed and what to do.
class Error : public std::runtime_error {
 public:
  Error(Exit code, const std::string& message) : std::runtime_error(message), code_(code) {}
  Exit code() const noexcept { return code_; }

 private:
  Exit code_;
};

namespace detail {
[[noreturn]] void fail_requirement(const char* expression, const char* file, int line, const std::string& values);
inline std::string require_values() { return {}; }
template <class... Args>
std::string require_values(fmt::format_string<Args...> text, Args&&... args) {
  return fmt::format(text, std::forward<Args>(args)...);
}
}  // namespace detail

/// Checks an invariant of the program itself (shapes, call order) in every build type.
/// `GNN_HPC_REQUIRE(x.extent(0) == n, "x has {} rows, expected {}", x.extent(0), n)`; throws Error(Exit::internal).
#define GNN_HPC_REQUIRE(condition, ...)                                                                                    \
  do {                                                                                                                     \
    if (!(condition)) {                                                                                                    \
      ::gnn_hpc::detail::fail_requirement(#condition, __FILE__, __LINE__, ::gnn_hpc::detail::require_values(__VA_ARGS__)); \
    }                                                                                                                      \
  } while (false)

}  // namespace gnn_hpc
