// SPDX-License-Identifier: Apache-2.0
#include "base/processor.hpp"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <utility>

namespace gnn_hpc {

namespace {

/// "2.30" of "Intel(R) Xeon(R) Platinum 8380 CPU @ 2.30GHz".
double rated_ghz(const std::string& model_name) {
  const std::size_t at = model_name.rfind("@ ");
  return at != std::string::npos && model_name.ends_with("GHz") ? std::max(0.0, std::strtod(model_name.c_str() + at + 2, nullptr)) : 0.0;
}

/// Key and value of "key<tabs>: value"; an empty key where there is no colon.
std::pair<std::string, std::string> key_and_value(const std::string& line) {
  const std::size_t colon = line.find(':');
  if (colon == std::string::npos) return {};
  const std::size_t key_end = line.find_last_not_of(" \t", colon == 0 ? 0 : colon - 1);
  const std::size_t from = line.find_first_not_of(" \t", colon + 1), to = line.find_last_not_of(" \t\r");
  return {line.substr(0, key_end + 1), from == std::string::npos ? "" : line.substr(from, to - from + 1)};
}

}  // namespace

const char* name_of(VectorClass vectors) {
  switch (vectors) {
    case VectorClass::none:
      break;
    case VectorClass::sse:
      return "SSE";
    case VectorClass::avx:
      return "AVX";
    case VectorClass::avx2:
      return "AVX2 and FMA";
    case VectorClass::avx512:
      return "AVX-512";
  }
  return "unknown";
}

VectorClass Processor::vectors() const {
  if (!has("sse2")) return VectorClass::none;
  if (!has("avx")) return VectorClass::sse;
  if (!has("avx2") || !has("fma")) return VectorClass::avx;
  const bool wide = has("avx512f") && has("avx512cd") && has("avx512bw") && has("avx512dq") && has("avx512vl");
  return wide ? VectorClass::avx512 : VectorClass::avx2;
}

bool Processor::halves_avx512() const { return vendor == "AuthenticAMD" && family == "25" && has("avx512f"); }

int Processor::cores_of(const cpu_set_t& set) const {
  std::set<std::pair<int, int>> cores;
  for (const Logical& l : logical) {
    if (l.number < CPU_SETSIZE && CPU_ISSET(static_cast<std::size_t>(l.number), &set)) cores.emplace(l.socket, l.core);
  }
  return static_cast<int>(cores.size());
}

Processor read_processor(std::istream& cpuinfo) {
  Processor out;
  double mhz = 0.0;
  int number = -1, socket = -1, core = -1;
  const auto finish = [&] {
    const bool placed = socket >= 0 && core >= 0;
    if (number >= 0) out.logical.push_back({number, placed ? socket : -1, placed ? core : number});
    number = socket = core = -1;
  };
  for (std::string line; std::getline(cpuinfo, line);) {
    const auto [key, value] = key_and_value(line);
    const bool first = out.logical.empty();
    if (key == "processor") {
      finish();
      number = std::atoi(value.c_str());
    } else if (key == "physical id") {
      socket = std::atoi(value.c_str());
    } else if (key == "core id") {
      core = std::atoi(value.c_str());
    } else if (first && key == "vendor_id") {
      out.vendor = value;
    } else if (first && key == "cpu family") {
      out.family = value;
    } else if (first && key == "model name") {
      out.model_name = value;
    } else if (first && key == "cpu MHz") {
      mhz = std::strtod(value.c_str(), nullptr);
    } else if (first && (key == "flags" || key == "Features")) {
      std::istringstream words(value);
      for (std::string word; words >> word;) out.flags.insert(word);
    }
  }
  finish();
  out.ghz = rated_ghz(out.model_name);
  if (out.ghz <= 0.0) out.ghz = std::max(0.0, 1e-3 * mhz);
  return out;
}

const Processor& this_processor() {
  static const Processor processor = [] {
    std::ifstream cpuinfo("/proc/cpuinfo");
    return read_processor(cpuinfo);
  }();
  return processor;
}

double sure_flops_per_cycle(const Processor& processor) {
  switch (processor.vectors()) {
    case VectorClass::avx512:
      return 16 * 2;
    case VectorClass::avx2:
      return 2 * 8 * 2;
    case VectorClass::avx:
      return 8 * 2;
    case VectorClass::sse:
      return 4 * 2;
    case VectorClass::none:
      break;
  }
  return processor.has("asimd") ? 4 * 2 : 0;
}

}  // namespace gnn_hpc
