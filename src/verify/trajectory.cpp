// SPDX-License-Identifier: Apache-2.0
#include "verify/trajectory.hpp"

#include <algorithm>
#include <cmath>

namespace gnn_hpc::verify {

Steps Steps::of(const std::vector<double>& rates, double clip_norm, double norm) {
  Steps steps;
  for (const double rate : rates) steps.rate_sum += rate;
  if (clip_norm > 0.0) steps.clip_factor = std::min(1.0, clip_norm / (norm + 1e-6));
  return steps;
}

double Steps::walk(const std::vector<double>& noise, const std::vector<double>& gradient) const {
  constexpr double kEpsilon = 1e-8;  // of the optimiser
  double squares = 0.0;
  for (std::size_t i = 0; i < noise.size(); ++i) {
    const double off = clip_factor * noise[i], size = gradient.empty() ? 0.0 : clip_factor * std::abs(gradient[i]);
    const double part = off / (size + off + kEpsilon);
    squares += part * part;
  }
  return 2.0 * rate_sum * std::sqrt(squares);
}

template <class T>
void compare_final_norms(GoldenFile& file, const ParamStore<T>& store, const Tolerances& allowed,
                         const std::function<double(const TensorInfo&)>& walk, Report& report) {
  const std::string group = "trajectory/final_norm";
  for (const std::string& name : file.names_under(group)) {
    const RealTensor expected = file.real(name);
    const TensorInfo* tensor = store.find(name.substr(group.size() + 1));
    if (tensor == nullptr) {
      report.fail(name, "the model has no parameter of this name");
      continue;
    }
    double squares = 0.0;
    for (const double v : store.get(*tensor)) squares += v * v;
    const double scale = largest_magnitude(expected.values), further = walk(*tensor);
    report.compare_within(name, expected, {{}, {std::sqrt(squares)}}, allowed.trajectory * scale + further, scale,
                          further > allowed.trajectory * scale ? "next to no gradient: Adam makes steps of its rounding" : "");
  }
}

template void compare_final_norms<float>(GoldenFile&, const ParamStore<float>&, const Tolerances&,
                                         const std::function<double(const TensorInfo&)>&, Report&);
template void compare_final_norms<double>(GoldenFile&, const ParamStore<double>&, const Tolerances&,
                                          const std::function<double(const TensorInfo&)>&, Report&);

}  // namespace gnn_hpc::verify
