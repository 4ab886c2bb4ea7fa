// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/comm.hpp"
#include "nn/param.hpp"

namespace gnn_hpc {

/// Running statistics that are not synchronised step by step differ between ranks; evaluation and checkpoints take the mean.
/// Does nothing where all ranks hold the same bits. Buffers of BufferRule::none are only compared: Error(Exit::internal) names one that differs.
/// Collective.
template <class T>
void average_buffers(ParamStore<T>& store, const Comm& comm);

}  // namespace gnn_hpc
