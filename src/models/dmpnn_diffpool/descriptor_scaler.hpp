// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "dataset/data_state.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace gnn_hpc::dmpnn {

/// Preprocessing of descriptor columns, fitted on training samples: a missing value becomes the column's median; columns that are
/// constant or never there, and columns that correlate with |r| >= 0.9 with an earlier one that varies (dropped or not), are dropped; the rest is
/// standardised,
///   x' = (x - mean) / std    with mean and population standard deviation of the imputed training values.
struct DescriptorScaler {
  std::vector<double> kept;               ///< [d] positions of the columns that stay, ascending
  std::vector<double> median, mean, std;  ///< [d] of the columns kept

  static constexpr double kLargestCorrelation = 0.9;

  int width() const { return static_cast<int>(kept.size()); }
  /// @param values [G,D], NaN where missing  @param columns D  @param samples rows that train
  static DescriptorScaler fit(std::span<const double> values, std::size_t columns, std::span<const std::int64_t> samples);
  /// Values of one sample: in [D], out [d].
  void apply(std::span<const double> in, std::span<double> out) const;

  /// For checkpoints: "descriptor_kept", "descriptor_median", "descriptor_mean", "descriptor_std"; nothing without columns.
  void save(DataState& state) const;
  /// The same back; throws Error(Exit::data) if a part is missing or of another length, or a column is beyond `columns`.
  static DescriptorScaler load(const DataState& state, std::size_t columns);
};

}  // namespace gnn_hpc::dmpnn
