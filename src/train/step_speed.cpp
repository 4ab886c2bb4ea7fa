// SPDX-License-Identifier: Apache-2.0
#include "train/step_speed.hpp"

#include "base/text.hpp"

#include <fmt/format.h>

namespace gnn_hpc {

std::string StepSpeed::text(double gemm_rate, const std::string& unit) const {
  std::string out;
  if (seconds <= 0.0) return out;
  if (tokens > 0.0) out += fmt::format("  {} {}/s", format_count(static_cast<long long>(tokens / seconds)), unit);
  if (flops > 0.0 && gemm_rate > 0.0) {
    out += fmt::format(", {:.3g} GFLOP/s, {:.0f} % of the GEMM rate", 1e-9 * flops / seconds, 100.0 * flops / seconds / gemm_rate);
  }
  return out;
}

}  // namespace gnn_hpc
