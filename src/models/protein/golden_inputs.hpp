// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "graph/residue_batch.hpp"
#include "models/protein/options.hpp"
#include "verify/golden_file.hpp"
#include "verify/trajectory.hpp"

#include <algorithm>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace gnn_hpc::verify::protein {

/// Numbers as a matrix on the device.
template <class T>
View2<T> to_device(const std::vector<double>& values, std::size_t rows, std::size_t columns) {
  const View2<T> out("gnn_hpc::verify", rows, columns);
  const auto host = Kokkos::create_mirror_view(out);
  for (std::size_t i = 0; i < values.size(); ++i) host.data()[i] = static_cast<T>(values[i]);
  Kokkos::deep_copy(out, host);
  return out;
}

/// The batch of a golden file.
struct GoldenBatch {
  ResidueBatch graphs;
  std::vector<double> label;  ///< [G]
};

/// Reads `inputs/`. Throws Error(Exit::data) for tensors that do not fit together.
GoldenBatch read_batch(GoldenFile& file, const gnn_hpc::protein::ModelOptions& options);

/// Shapes of the keep-masks that a model takes, by name of the dropout.
using MaskShapes = std::map<std::string, std::vector<std::int64_t>, std::less<>>;
/// Of the encoder's dropouts, LAYERS.l.dropout.{0,1}.{s,v}dropout, and of a head of hidden widths 2 h and h, classifier.{2,5}.
MaskShapes mask_shapes(const gnn_hpc::protein::ModelOptions& options, const std::string& layers, int hidden, const ResidueBatch& graphs);
/// All of `random/` by name: masks of 0 and 1, and of the names that contain `gumbel` uniforms of [0, 1). Throws Error(Exit::data) for a name or
/// shape that is not in `shapes`, or any other number.
std::map<std::string, RealTensor> read_draws(GoldenFile& file, const MaskShapes& shapes);
/// The same on the device, matrices [first extent, rest].
template <class T>
std::map<std::string, View2<T>> upload_masks(const std::map<std::string, RealTensor>& masks) {
  std::map<std::string, View2<T>> out;
  for (const auto& [name, mask] : masks)
    out[name] = to_device<T>(mask.values, mask.shape[0], mask.values.size() / std::max<std::size_t>(1, mask.shape[0]));
  return out;
}

/// Adam at a constant rate, which files tell once, without a rate of each step.
Trajectory adam_trajectory(const GoldenFile& file);

/// The attributes of `config`; throws Error(Exit::data) for what the model does not know.
gnn_hpc::protein::ModelOptions read_model_options(GoldenFile& file);

}  // namespace gnn_hpc::verify::protein
