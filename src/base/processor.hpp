// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <istream>
#include <set>
#include <string>
#include <vector>

#include <sched.h>

namespace gnn_hpc {

/// What a processor can do with numbers side by side, in ascending order. Each class holds all instructions that BLAS kernels of that class
/// use, not only the one that gives it its name.
enum class VectorClass {
  none,    ///< not an x86 processor, or not known
  sse,     ///< 128 bits; every x86-64 processor
  avx,     ///< 256 bits, without fused multiply-add
  avx2,    ///< AVX2 and FMA
  avx512,  ///< AVX-512 F, CD, BW, DQ and VL
};
/// "SSE", "AVX", "AVX2 and FMA", "AVX-512".
const char* name_of(VectorClass vectors);

/// A processor as Linux describes it. The flags, not the model, tell what it can do: a list of models ends at the day it was written, a virtual
/// machine may hide instructions of the model that it names, and the kernel leaves out those whose registers it does not save.
struct Processor {
  std::string vendor, family, model_name;  ///< empty where the text has none
  std::set<std::string> flags;             ///< of the first processor: "flags" on x86, "Features" on ARM
  double ghz = 0.0;                        ///< rated clock, "@ 2.30GHz" of the name, else the clock at this moment; 0: not known
  /// Logical processors; several of one socket and core are its hardware threads. Without topology each is a core of its own.
  struct Logical {
    int number = 0, socket = -1, core = 0;
  };
  std::vector<Logical> logical;

  bool has(const char* flag) const { return flags.count(flag) > 0; }
  VectorClass vectors() const;
  /// AMD's Zen 4 runs a 512-bit operation as two halves (family 25 is Zen 3, which has no AVX-512, and Zen 4; 26, Zen 5, has whole units).
  bool halves_avx512() const;
  /// Cores among the logical processors of a set.
  int cores_of(const cpu_set_t& set) const;
};

/// Reads the text of /proc/cpuinfo. Lines that are missing or not understood leave their fields empty.
Processor read_processor(std::istream& cpuinfo);
/// The processor of this machine, read once.
const Processor& this_processor();

/// A rate that products of single precision numbers surely reach per core and clock if the kernels fit the processor, in operations: one
/// fused multiply-add of 512 bits, two of 256, a product and a sum of 256 or 128 bits. Processors with two 512-bit units do twice
/// that, and nothing in the flags tells them apart. 0: not known.
double sure_flops_per_cycle(const Processor& processor);

}  // namespace gnn_hpc
