// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "dataset/measures.hpp"
#include "nn/target_losses.hpp"

namespace gnn_hpc {

/// The loss of targets of this kind where a system offers no choice.
inline TargetSlice::Kind slice_kind(TargetKind kind) {
  if (kind == TargetKind::number) return TargetSlice::Kind::regression;
  return kind == TargetKind::probability ? TargetSlice::Kind::binary : TargetSlice::Kind::multiclass;
}

}  // namespace gnn_hpc
