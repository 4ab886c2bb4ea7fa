// SPDX-License-Identifier: Apache-2.0
#include "cli/blas_kernels.hpp"

#include <dlfcn.h>

namespace gnn_hpc {

std::string blas_kernels() {
  using Name = const char* (*)();
  const auto name = reinterpret_cast<Name>(::dlsym(RTLD_DEFAULT, "openblas_get_corename"));
  return name != nullptr ? name() : std::string();
}

std::string better_blas_kernels(const std::string& chosen, std::istream& cpuinfo) {
  if (chosen != "Cooperlake" && chosen != "SkylakeX" && chosen != "SapphireRapids") return {};
  std::string vendor, family, flags;
  for (std::string line; std::getline(cpuinfo, line) && !line.empty();) {
    const auto value_of = [&](const char* key, std::string& value) {
      const std::size_t colon = line.find(": ");
      if (line.starts_with(key) && colon != std::string::npos) value = line.substr(colon + 2);
    };
    value_of("vendor_id", vendor);
    value_of("cpu family", family);
    value_of("flags", flags);
  }
  // Family 25 is Zen 3, which has no AVX-512, and Zen 4; Zen 5 (26) has whole 512-bit units.
  const bool zen4 = vendor == "AuthenticAMD" && family == "25" && flags.find(" avx512f ") != std::string::npos;
  return zen4 ? "Haswell" : "";
}

}  // namespace gnn_hpc
