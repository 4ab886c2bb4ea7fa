// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace gnn_hpc {

/// Labels in units of their spread: y' = (y - mean) / std with mean and population standard deviation of the training samples, one
/// pair a target, missing (NaN) labels left out.
struct LabelScaler {
  std::vector<double> mean, std;  ///< [K]

  static LabelScaler identity(std::size_t targets);
  /// @param labels [G,K]  @param samples rows that count  @param names [K], for messages
  /// @param constant_allowed equal labels get std = 1 instead of an error
  /// Throws Error(Exit::data) if a target has no label or no spread: there is nothing to learn then.
  static LabelScaler fit(std::span<const double> labels, std::span<const std::int64_t> samples, const std::vector<std::string>& names,
                         bool constant_allowed = false);

  double scale(double y, std::size_t k) const { return (y - mean[k]) / std[k]; }
  double unscale(double y, std::size_t k) const { return y * std[k] + mean[k]; }
};

}  // namespace gnn_hpc
