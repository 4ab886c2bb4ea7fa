// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace gnn_hpc {

/// Processors this rank may use: the union over the host's parallel threads, since an OpenMP runtime that binds its threads leaves
/// the main thread (and every std::thread it starts) with one core only. Called once from the main thread, after Kokkos
/// was initialised; later calls return the first answer.
int available_processors();

/// Lets the calling thread run on all of `available_processors()`; does nothing before that was called once.
void use_available_processors() noexcept;

}  // namespace gnn_hpc
