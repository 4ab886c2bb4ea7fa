// SPDX-License-Identifier: Apache-2.0
#include "models/hgnn_moe/golden.hpp"

#include <algorithm>

namespace gnn_hpc::verify::hgnn_moe {

void check_other(GoldenFile& file, bool single_precision, Report& report) {
  const std::vector<std::string> groups = file.groups_in("");
  const auto holds = [&](const char* name) {
    return std::any_of(groups.begin(), groups.end(), [&](const std::string& g) { return file.has(g + name); });
  };
  if (holds("/raw")) return check_data(file, single_precision, report);
  if (file.has("inputs/prompt")) return check_generate(file, single_precision, report);
  if (file.has("inputs/batches")) return check_curve(file, single_precision, report);
  if (holds("/inputs/X")) return check_coupler(file, single_precision, report);
  file.fail(
      "neither texts (raw), a prompt (inputs/prompt), batches (inputs/batches) nor expert outputs (inputs/X) in it: nothing that this build can "
      "check");
}

}  // namespace gnn_hpc::verify::hgnn_moe
