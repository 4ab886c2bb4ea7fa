// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/comm.hpp"
#include "cli/job.hpp"

#include <iosfwd>

namespace gnn_hpc {

/// Parameters by module: tensors, elements, share; unused ones apart. Modules are the first two parts of the names.
template <class T>
void print_parameter_table(ParamStore<T>& store, std::ostream& out);

/// `gnn_hpc train --dry-run`: all options as they will be used, the parameter table, and the memory that every rank will need as
/// far as it is known without data: parameters, gradients, moments. Opens no file but the input.
template <class T>
void print_plan(Job<T>& job, const Comm& comm, std::ostream& out);

}  // namespace gnn_hpc
