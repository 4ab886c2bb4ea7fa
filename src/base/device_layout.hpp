// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace gnn_hpc {

/// Compilers of GPU programs compile every class twice, for the host and for the device, and nothing stops them from laying it out in two
/// ways: nvcc 13 in C++20 gives a View of one index 32 bytes on the device and g++ 40 on the host, because of [[no_unique_address]]
/// (cmake/dependencies.cmake turns that off for it). Every kernel then reads its Views at the wrong places. Asks the device once, with a
/// kernel that takes no View; does nothing where kernels run on the host. Throws Error(Exit::internal) if a View has another size there.
void require_equal_layout_on_device();

}  // namespace gnn_hpc
