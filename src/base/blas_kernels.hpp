// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/processor.hpp"

#include <optional>
#include <string>

namespace gnn_hpc {

/// The BLAS library that this process has loaded.
struct BlasLibrary {
  std::string name;             ///< "OpenBLAS 0.3.21", "oneMKL 2024.2", "BLIS 0.9", else the file's name; empty: none on the host
  std::string kernels;          ///< that it chose for this processor ("Haswell", "SkylakeX", ...); empty where it does not tell
  bool takes_a_choice = false;  ///< OPENBLAS_CORETYPE chooses other kernels at its start (OpenBLAS built with DYNAMIC_ARCH)
  /// "OpenBLAS 0.3.21, kernels SkylakeX".
  std::string describe() const;
};
BlasLibrary blas_library();

/// Class of the processors that kernels of OpenBLAS are written for; none: a name that is not known here.
VectorClass class_of_kernels(const std::string& kernels);

/// Kernels of OpenBLAS that are faster than those in use; empty: the choice is good, or not known. OpenBLAS goes by lists of processors,
/// and one newer than the list gets the oldest kernels there are (measured: a quarter of the possible rate). So the processor's flags decide:
/// whenever the kernels are of a lower class than those, the best of that class are taken: AVX-512 SkylakeX, AVX2 and FMA Haswell,
/// AVX Sandybridge. Kernels of the processor's own class stay, whatever their name, with one exception: AVX-512 kernels on a processor
/// that runs them in halves, where products gain 5 % with those for AVX2 (docs/performance.md, section "BLAS kernels").
/// @param tried  the kernels that were asked for last; a library that does not have them is asked for those of the next lower class
std::string better_blas_kernels(const std::string& kernels, const Processor& processor, const std::string& tried = {});

/// What to tell of the choice; `warning`: kernels of a lower class than possible stay in use.
struct BlasNote {
  std::string text;
  bool warning = false;
};
/// @param own_choice  the kernels that the library had chosen where the program took others; empty: it did not
/// @param by_user     OPENBLAS_CORETYPE was set by the user, who knows
std::optional<BlasNote> blas_note(const BlasLibrary& library, const std::string& own_choice, bool by_user, const Processor& processor);
/// The same for this process.
std::optional<BlasNote> blas_note();

}  // namespace gnn_hpc
