// SPDX-License-Identifier: Apache-2.0
#include "base/blas_kernels.hpp"

#include "base/restart_process.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <initializer_list>
#include <string_view>

#include <dlfcn.h>

namespace gnn_hpc {

namespace {

/// The library that products go to. Others may be loaded besides (LAPACK, RDKit bring one), so only its own symbols tell who it is.
struct Provider {
  void* handle = RTLD_DEFAULT;
  std::string file;  ///< "libopenblas.so.0"; empty: no BLAS is loaded

  /// nullptr: it has no such function.
  template <class Function>
  Function* function(const char* name) const {
    return reinterpret_cast<Function*>(::dlsym(handle, name));
  }
};

Provider provider_of_products() {
  Provider out;
  Dl_info where{};
  void* const gemm = ::dlsym(RTLD_DEFAULT, "sgemm_");
  if (gemm == nullptr || ::dladdr(gemm, &where) == 0 || where.dli_fname == nullptr) return out;
  out.file = std::filesystem::path(where.dli_fname).filename().string();
  // MKL is several libraries; one that is linked into the program itself has no handle.
  void* const handle = out.file.starts_with("libmkl") ? nullptr : ::dlopen(where.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
  if (handle != nullptr) out.handle = handle;
  return out;
}

/// "0.3.21" of "OpenBLAS 0.3.21 NO_LAPACKE DYNAMIC_ARCH ...".
std::string openblas_version(const std::string& config) {
  const std::size_t from = config.find(' ');
  return config.starts_with("OpenBLAS ") ? config.substr(from + 1, config.find(' ', from + 1) - from - 1) : "";
}

/// The best kernels of each class, the widest first.
struct Kernels {
  VectorClass vectors;
  const char* name;
};
constexpr std::array<Kernels, 3> kBest{{{VectorClass::avx512, "SkylakeX"}, {VectorClass::avx2, "Haswell"}, {VectorClass::avx, "Sandybridge"}}};

}  // namespace

std::string BlasLibrary::describe() const { return kernels.empty() ? name : fmt::format("{}, kernels {}", name, kernels); }

BlasLibrary blas_library() {
  BlasLibrary out;
  const Provider provider = provider_of_products();
  out.name = provider.file;
  if (provider.file.empty()) return out;
  if (auto* const core = provider.function<const char*()>("openblas_get_corename")) {
    out.kernels = core();
    out.name = "OpenBLAS";
    if (auto* const configuration = provider.function<const char*()>("openblas_get_config")) {
      const std::string config = configuration();
      out.takes_a_choice = config.find("DYNAMIC_ARCH") != std::string::npos;
      if (const std::string version = openblas_version(config); !version.empty()) out.name += " " + version;
    }
  } else if (auto* const mkl = provider.function<void(char*, int)>("MKL_Get_Version_String")) {
    std::array<char, 256> text{};
    mkl(text.data(), static_cast<int>(text.size()) - 1);
    out.name = text.data();
    out.name.erase(out.name.find_last_not_of(" \n") + 1);
  } else if (auto* const blis = provider.function<const char*()>("bli_info_get_version_str")) {
    out.name = fmt::format("BLIS {}", blis());
    auto* const architecture = provider.function<int()>("bli_arch_query_id");
    auto* const text_of = provider.function<const char*(int)>("bli_arch_string");
    if (architecture != nullptr && text_of != nullptr) out.kernels = text_of(architecture());
  }
  return out;
}

VectorClass class_of_kernels(const std::string& kernels) {
  const auto is = [&](std::initializer_list<std::string_view> names) { return std::find(names.begin(), names.end(), kernels) != names.end(); };
  if (is({"SkylakeX", "Cooperlake", "SapphireRapids"})) return VectorClass::avx512;
  if (is({"Haswell", "Zen", "Excavator"})) return VectorClass::avx2;
  if (is({"Sandybridge", "Bulldozer", "Piledriver", "Steamroller"})) return VectorClass::avx;
  if (is({"Katmai", "Coppermine", "Northwood", "Prescott", "Banias", "Core2", "Penryn", "Dunnington", "Nehalem", "Atom", "Athlon", "Opteron",
          "Opteron_SSE3", "Barcelona", "Bobcat", "Nano"})) {
    return VectorClass::sse;
  }
  return VectorClass::none;
}

std::string better_blas_kernels(const std::string& kernels, const Processor& processor, const std::string& tried) {
  const VectorClass in_use = class_of_kernels(kernels);
  if (in_use == VectorClass::none) return {};
  if (in_use == VectorClass::avx512 && processor.halves_avx512()) return tried == "Haswell" ? "" : "Haswell";
  const VectorClass possible = processor.halves_avx512() ? std::min(VectorClass::avx2, processor.vectors()) : processor.vectors();
  bool open = std::none_of(kBest.begin(), kBest.end(), [&](const Kernels& k) { return tried == k.name; });
  for (const Kernels& k : kBest) {
    if (open && k.vectors <= possible && k.vectors > in_use) return k.name;
    open = open || tried == k.name;
  }
  return {};
}

std::optional<BlasNote> blas_note(const BlasLibrary& library, const std::string& own_choice, bool by_user, const Processor& processor) {
  const VectorClass in_use = class_of_kernels(library.kernels);
  if (by_user || in_use == VectorClass::none) return std::nullopt;
  const auto with_class = [](const std::string& kernels) { return fmt::format("{} ({})", kernels, name_of(class_of_kernels(kernels))); };
  if (in_use != VectorClass::avx512 && !better_blas_kernels(library.kernels, processor).empty()) {
    return BlasNote{fmt::format("{} has no better kernels than {} for this processor, which can do {}: products may take several times as long as "
                                "they should; use a newer OpenBLAS built with DYNAMIC_ARCH, or another BLAS (-DBLA_VENDOR, see README)",
                                library.name, with_class(library.kernels), name_of(processor.vectors())),
                    true};
  }
  if (own_choice.empty() || own_choice == library.kernels) return std::nullopt;
  return BlasNote{fmt::format("{} chose its kernels {} for this processor; {} are faster on it and were taken (OPENBLAS_CORETYPE decides otherwise)",
                              library.name, with_class(own_choice), with_class(library.kernels)),
                  false};
}

std::optional<BlasNote> blas_note() {
  const char* own_choice = std::getenv(kOwnBlasChoice);
  const bool by_user = own_choice == nullptr && std::getenv("OPENBLAS_CORETYPE") != nullptr;
  return blas_note(blas_library(), own_choice != nullptr ? own_choice : "", by_user, this_processor());
}

}  // namespace gnn_hpc
