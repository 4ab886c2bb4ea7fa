// SPDX-License-Identifier: Apache-2.0
#include "dataset/label_scaler.hpp"

#include "base/error.hpp"
#include "base/text.hpp"

#include <cmath>

namespace gnn_hpc {

LabelScaler LabelScaler::identity(std::size_t targets) { return {std::vector<double>(targets, 0.0), std::vector<double>(targets, 1.0)}; }

LabelScaler LabelScaler::fit(std::span<const double> labels, std::span<const std::int64_t> samples, const std::vector<std::string>& names,
                             bool constant_allowed) {
  const std::size_t targets = names.size();
  LabelScaler out = identity(targets);
  for (std::size_t k = 0; k < targets; ++k) {
    double sum = 0.0, count = 0.0, largest = 0.0;
    const auto label = [&](std::int64_t s) { return labels[static_cast<std::size_t>(s) * targets + k]; };
    for (const auto s : samples) {
      if (std::isnan(label(s))) continue;
      sum += label(s);
      count += 1.0;
      largest = std::max(largest, std::abs(label(s)));
    }
    if (count == 0.0)
      throw Error(Exit::data, fmt::format("target {}: no label among the {} training samples", printable_name(names[k]), samples.size()));
    const double mean = sum / count;
    double squares = 0.0;
    for (const auto s : samples) {
      if (!std::isnan(label(s))) squares += (label(s) - mean) * (label(s) - mean);
    }
    double std = std::sqrt(squares / count);
    if (!(std > 1e-14 * largest)) {  // equal labels leave rounding noise
      if (!constant_allowed)
        throw Error(Exit::data,
                    fmt::format("target {}: all {} training labels equal {:.6g}: nothing to learn", printable_name(names[k]), count, mean));
      std = 1.0;
    }
    out.mean[k] = mean;
    out.std[k] = std;
  }
  return out;
}

}  // namespace gnn_hpc
