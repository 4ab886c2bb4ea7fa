// SPDX-License-Identifier: Apache-2.0
#include "base/blas_kernels.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <sstream>
#include <vector>

namespace gnn_hpc {
namespace {

// Flags as Linux prints them, in groups that processors have in common, put together from what these processors are known to have (general
// knowledge; no file of a machine was copied).
const std::string kSse =
    "fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 ht syscall nx rdtscp lm "
    "constant_tsc rep_good nopl cpuid pni pclmulqdq ssse3 cx16 sse4_1 sse4_2 popcnt aes lahf_lm";
const std::string kAvx = kSse + " xsave avx";
const std::string kAvx2 = kAvx + " fma movbe f16c rdrand abm fsgsbase bmi1 avx2 smep bmi2 erms";
const std::string kSkylakeX = kAvx2 + " avx512f avx512dq rdseed adx smap clflushopt clwb avx512cd avx512bw avx512vl xsaveopt xsavec";
const std::string kIceLake =
    kSkylakeX + " avx512ifma sha_ni avx512vbmi umip avx512_vbmi2 gfni vaes vpclmulqdq avx512_vnni avx512_bitalg avx512_vpopcntdq";
const std::string kSapphireRapids = kIceLake + " avx_vnni avx512_bf16 avx512_fp16 amx_bf16 amx_tile amx_int8";

std::string cpuinfo(const char* vendor, int family, int model, const char* name, const std::string& flags) {
  std::string out;
  for (int i = 0; i < 2; ++i) {
    out += fmt::format(
        "processor\t: {}\nvendor_id\t: {}\ncpu family\t: {}\nmodel\t\t: {}\nmodel name\t: {}\nstepping\t: 2\ncpu MHz\t\t: 2300.000\n"
        "cache size\t: 266240 KB\nphysical id\t: 0\nsiblings\t: 2\ncore id\t\t: {}\ncpu cores\t: 2\nflags\t\t: {}\nbugs\t\t: spectre_v1\n"
        "bogomips\t: 4600.00\n\n",
        i, vendor, family, model, name, i, flags);
  }
  return out;
}

Processor read(const std::string& text) {
  std::istringstream stream(text);
  return read_processor(stream);
}

struct Machine {
  const char* what;
  std::string text;
  VectorClass vectors;
  const char* best;  ///< instead of kernels that the library took because it does not know the processor ("Prescott")
};

const char* const kArm =
    "processor\t: 0\nBogoMIPS\t: 243.75\nFeatures\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop "
    "asimddp\n"
    "CPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x3\nCPU part\t: 0xd0c\nCPU revision\t: 1\n\n";

std::vector<Machine> machines() {
  const auto intel = [](int model, const char* name, const std::string& flags) { return cpuinfo("GenuineIntel", 6, model, name, flags); };
  const auto amd = [](int family, int model, const char* name, const std::string& flags) {
    return cpuinfo("AuthenticAMD", family, model, name, flags);
  };
  using V = VectorClass;
  return {
      {"Emerald Rapids", intel(207, "Intel(R) Xeon(R) Processor", kSapphireRapids), V::avx512, "SkylakeX"},
      {"Sapphire Rapids", intel(143, "Intel(R) Xeon(R) Platinum 8480+", kSapphireRapids), V::avx512, "SkylakeX"},
      {"Ice Lake", intel(106, "Intel(R) Xeon(R) Platinum 8380 CPU @ 2.30GHz", kIceLake), V::avx512, "SkylakeX"},
      {"Skylake-X", intel(85, "Intel(R) Xeon(R) Gold 6148 CPU @ 2.40GHz", kSkylakeX), V::avx512, "SkylakeX"},
      {"Haswell", intel(63, "Intel(R) Xeon(R) CPU E5-2680 v3 @ 2.50GHz", kAvx2), V::avx2, "Haswell"},
      {"Sandy Bridge", intel(45, "Intel(R) Xeon(R) CPU E5-2670 0 @ 2.60GHz", kAvx), V::avx, "Sandybridge"},
      {"Alder Lake, AVX-512 fused off", intel(151, "12th Gen Intel(R) Core(TM) i7-12700", kAvx2 + " avx_vnni gfni vaes"), V::avx2, "Haswell"},
      {"Knights Landing, AVX-512 without BW, DQ, VL",
       intel(87, "Intel(R) Xeon Phi(TM) CPU 7250 @ 1.40GHz", kAvx2 + " avx512f avx512pf avx512er avx512cd"), V::avx2, "Haswell"},
      {"Zen 2", amd(23, 49, "AMD EPYC 7742 64-Core Processor", kAvx2 + " sse4a rdseed adx smap sha_ni"), V::avx2, "Haswell"},
      {"Zen 3", amd(25, 1, "AMD EPYC 7763 64-Core Processor", kAvx2 + " sse4a vaes vpclmulqdq"), V::avx2, "Haswell"},
      {"Zen 4", amd(25, 17, "AMD EPYC 9654 96-Core Processor", kIceLake + " avx512_bf16"), V::avx512, "Haswell"},
      {"Zen 5", amd(26, 2, "AMD EPYC 9755 128-Core Processor", kIceLake + " avx512_bf16 avx_vnni"), V::avx512, "SkylakeX"},
      {"Hygon, a licensed Zen", cpuinfo("HygonGenuine", 24, 0, "Hygon C86 7185 32-core Processor", kAvx2), V::avx2, "Haswell"},
      {"virtual machine: Sapphire Rapids without AVX-512", intel(143, "Intel Xeon Processor (SapphireRapids)", kAvx2 + " avx_vnni"), V::avx2,
       "Haswell"},
      {"virtual machine: AVX2 without FMA", intel(143, "Intel Core Processor", kAvx + " avx2"), V::avx, "Sandybridge"},
      {"virtual machine: registers of AVX not saved", intel(85, "Intel Xeon Processor (Skylake)", kSse), V::sse, ""},
      {"virtual machine: qemu64", cpuinfo("AuthenticAMD", 15, 107, "QEMU Virtual CPU version 2.5+", kSse), V::sse, ""},
      {"virtual machine: Zen 4 without AVX-512", amd(25, 17, "AMD EPYC-Genoa Processor", kAvx2), V::avx2, "Haswell"},
      {"ARM, no flags at all", kArm, V::none, ""},
      {"nothing to read", "", V::none, ""},
  };
}

TEST(BlasKernels, TheFlagsOfTheProcessorDecideNotItsName) {
  for (const Machine& machine : machines()) {
    const Processor processor = read(machine.text);
    EXPECT_EQ(processor.vectors(), machine.vectors) << machine.what;
    EXPECT_EQ(better_blas_kernels("Prescott", processor), machine.best) << machine.what;
  }
}

TEST(BlasKernels, KernelsOfTheProcessorsOwnClassStay) {
  for (const Machine& machine : machines()) {
    const Processor processor = read(machine.text);
    for (const char* kernels : {"Haswell", "Zen", "SkylakeX", "Cooperlake", "SapphireRapids", "Sandybridge", "Prescott", "Nehalem"}) {
      const VectorClass in_use = class_of_kernels(kernels);
      const std::string better = better_blas_kernels(kernels, processor);
      if (in_use == VectorClass::avx512 && processor.halves_avx512()) {
        EXPECT_EQ(better, "Haswell") << machine.what << " " << kernels;
      } else if (in_use >= processor.vectors()) {
        EXPECT_EQ(better, "") << machine.what << " " << kernels;
      } else if (!better.empty()) {
        EXPECT_GT(class_of_kernels(better), in_use) << machine.what << " " << kernels;
        EXPECT_LE(class_of_kernels(better), processor.vectors()) << machine.what << ": would end at the first instruction it has not";
      }
    }
  }
}

TEST(BlasKernels, NamesThatAreNotKnownAreLeftAlone) {
  const Processor processor = read(machines().front().text);
  for (const char* kernels : {"", "GraniteRapids", "armv8", "NEOVERSEN1", "POWER9"})
    EXPECT_EQ(better_blas_kernels(kernels, processor), "") << kernels;
}

TEST(BlasKernels, ALibraryWithoutTheBestIsAskedForTheNext) {
  const Processor wide = read(machines().front().text);
  EXPECT_EQ(better_blas_kernels("Prescott", wide, "SkylakeX"), "Haswell");
  EXPECT_EQ(better_blas_kernels("Prescott", wide, "Haswell"), "Sandybridge");
  EXPECT_EQ(better_blas_kernels("Prescott", wide, "Sandybridge"), "") << "must end";
  EXPECT_EQ(better_blas_kernels("Haswell", wide, "SkylakeX"), "") << "what it gave instead is as good as the next";
  const Processor zen4 = read(cpuinfo("AuthenticAMD", 25, 17, "AMD EPYC 9654 96-Core Processor", kIceLake));
  EXPECT_EQ(better_blas_kernels("Cooperlake", zen4), "Haswell");
  EXPECT_EQ(better_blas_kernels("Cooperlake", zen4, "Haswell"), "") << "must end";
}

TEST(BlasKernels, WhatIsSaidOfTheChoice) {
  const Processor wide = read(machines().front().text);
  const auto note = [&](const char* kernels, const char* own, bool by_user) {
    return blas_note({"OpenBLAS 0.3.21", kernels, true}, own, by_user, wide);
  };
  const auto taken = note("SkylakeX", "Prescott", false);
  ASSERT_TRUE(taken);
  EXPECT_FALSE(taken->warning);
  EXPECT_EQ(taken->text,
            "OpenBLAS 0.3.21 chose its kernels Prescott (SSE) for this processor; SkylakeX (AVX-512) are faster on it and were taken "
            "(OPENBLAS_CORETYPE decides otherwise)");
  const auto slow = note("Prescott", "", false);
  ASSERT_TRUE(slow);
  EXPECT_TRUE(slow->warning);
  EXPECT_NE(slow->text.find("no better kernels than Prescott (SSE) for this processor, which can do AVX-512"), std::string::npos) << slow->text;
  EXPECT_FALSE(note("SkylakeX", "", false)) << "the library's choice was good";
  EXPECT_FALSE(note("Prescott", "", true)) << "the user's choice";
  EXPECT_FALSE(note("", "", false)) << "another BLAS";
}

TEST(Processor, ReadsWhatLinuxWrites) {
  const Processor vm = read(machines().front().text);
  EXPECT_EQ(vm.vendor, "GenuineIntel");
  EXPECT_EQ(vm.model_name, "Intel(R) Xeon(R) Processor");
  EXPECT_DOUBLE_EQ(vm.ghz, 2.3) << "the clock of the moment, where the name has none";
  EXPECT_TRUE(vm.has("avx512f"));
  EXPECT_FALSE(vm.has("avx512"));
  EXPECT_DOUBLE_EQ(read("processor\t: 0\nmodel name\t: Intel(R) Xeon(R) Gold 6148 CPU @ 2.40GHz\ncpu MHz\t\t: 1000.1\n").ghz, 2.4)
      << "idle, but rated";
  EXPECT_EQ(read(kArm).ghz, 0.0);
  EXPECT_TRUE(read(kArm).has("asimd"));
}

TEST(Processor, HardwareThreadsOfACoreAreOneCore) {
  std::string text;
  for (int i = 0; i < 8; ++i) text += fmt::format("processor\t: {}\nphysical id\t: {}\ncore id\t\t: {}\n\n", i, i / 4, i % 2);
  const Processor processor = read(text);
  cpu_set_t set;
  CPU_ZERO(&set);
  for (std::size_t i = 0; i < 8; ++i) CPU_SET(i, &set);
  EXPECT_EQ(processor.cores_of(set), 4);
  CPU_CLR(1, &set);
  EXPECT_EQ(processor.cores_of(set), 4) << "its other thread is still there";
  CPU_CLR(3, &set);
  EXPECT_EQ(processor.cores_of(set), 3);
  EXPECT_EQ(read("processor\t: 0\n\nprocessor\t: 2\n\n").cores_of(set), 2) << "no topology: each a core";
}

}  // namespace
}  // namespace gnn_hpc
