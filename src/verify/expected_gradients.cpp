// SPDX-License-Identifier: Apache-2.0
#include "verify/expected_gradients.hpp"

#include "base/error.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace gnn_hpc::verify {

namespace {

constexpr const char* kGroups[] = {"grads/", "grads_fingerprint/", "grads_norm/", "grads_head/"};
/// Rounding of single over that of double precision.
constexpr double kSingleOverDouble = 0x1p29;
/// Rounding noise has no digits: another order of summation, other kernels give as much again. Two builds of the reference differ
/// by up to 3 times what one of them shows.
constexpr double kNoiseMargin = 4.0, kWalkMargin = 16.0;
/// Roundings that a sum of products gathers, and the difference of saturated shares.
constexpr double kSumRoundings = 16.0, kSaturatedRoundings = 64.0;

double two_norm(std::span<const double> values) {
  double squares = 0.0;
  for (const double v : values) squares += v * v;
  return std::sqrt(squares);
}

}  // namespace

std::size_t GradientName::size() const {
  std::size_t size = 1;
  for (const std::size_t extent : shape) size *= extent;
  return size;
}

std::vector<GradientName> gradient_names(const std::deque<TensorInfo>& tensors, const std::string& strip) {
  std::vector<GradientName> out;
  for (const TensorInfo& t : tensors) out.push_back({t.name.substr(t.name.starts_with(strip) ? strip.size() : 0), t.shape, t.used});
  return out;
}

ExpectedGradients::ExpectedGradients(GoldenFile& file, const std::string& prefix, std::vector<GradientName> names, const Tolerances& allowed)
    : prefix_(prefix), tolerances_(allowed) {
  for (GradientName& tensor : names) {
    Stored stored;
    stored.tensor = std::move(tensor);
    read(file, stored);
    largest_ = larger(largest_, stored.largest);
    const std::string name = stored.tensor.name;
    tensors_.emplace(name, std::move(stored));
  }
  for (const std::string group : kGroups) {
    for (const std::string& name : file.names_under(prefix_ + group.substr(0, group.size() - 1))) {
      if (tensors_.count(name.substr(prefix_.size() + group.size())) == 0) unknown_.push_back(name);
    }
  }
}

void ExpectedGradients::read(GoldenFile& file, Stored& stored) const {
  const bool digests = file.has_attribute("config", "grads") && file.text_attribute("config", "grads") == "digest";
  std::optional<RealTensor>* const forms[] = {digests ? &stored.digest : &stored.whole, &stored.fingerprint, &stored.norm, &stored.head};
  for (std::size_t i = 0; i < 4; ++i) {
    const std::string name = prefix_ + kGroups[i] + stored.tensor.name;
    if (!file.has(name)) continue;
    *forms[i] = file.real(name);
    const bool own = tolerances_.single && file.has_attribute(name, "noise_single");
    if (!own && !file.has_attribute(name, "noise")) continue;
    const double noise = file.number_attribute(name, own ? "noise_single" : "noise");
    if (!(noise >= 0.0 && std::isfinite(noise)))
      file.fail(fmt::format("{}: the attribute of its noise is {}, allowed are numbers from 0", name, noise));
    stored.noise = std::max(stored.noise.value_or(0.0), tolerances_.single && !own ? kSingleOverDouble * noise : noise);
  }
  const double root = std::sqrt(static_cast<double>(std::max<std::size_t>(1, stored.tensor.size())));
  if (stored.whole) {
    stored.largest = largest_magnitude(stored.whole->values);
    stored.two_norm = two_norm(stored.whole->values);
    return;
  }
  if (stored.digest && stored.digest->values.size() > 3) {
    stored.two_norm = std::abs(stored.digest->values[1]);
    stored.largest = largest_magnitude(std::span(stored.digest->values).subspan(3));
  }
  if (stored.fingerprint && stored.fingerprint->values.size() > 3) {
    stored.two_norm = std::abs(stored.fingerprint->values[0]);
    stored.largest = largest_magnitude(std::span(stored.fingerprint->values).subspan(3));
  }
  if (stored.norm && stored.norm->values.size() == 1) stored.two_norm = larger(stored.two_norm, std::abs(stored.norm->values[0]));
  if (stored.head) stored.largest = larger(stored.largest, largest_magnitude(stored.head->values));
  stored.largest = larger(stored.largest, stored.two_norm / root);
}

const ExpectedGradients::Stored& ExpectedGradients::at(const std::string& name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) throw Error(Exit::internal, fmt::format("no gradient is called {}", name));
  return found->second;
}

std::vector<std::string> ExpectedGradients::missing(bool unused_too) const {
  std::vector<std::string> out;
  for (const auto& [name, stored] : tensors_) {
    const bool known = stored.whole || stored.digest || stored.fingerprint || stored.norm;  // the first rows alone leave the others unknown
    if (!known && (unused_too || stored.tensor.used || stored.head)) out.push_back(prefix_ + "grads/" + name);
  }
  return out;
}

bool ExpectedGradients::is_zero(const Stored& stored) const { return stored.largest <= kZeroGradient * largest_; }  // false for NaN

double ExpectedGradients::zero_noise(double largest) const {
  const double noise = tolerances_.zero_noise * largest_;
  return larger(noise, kNoiseMargin * (tolerances_.single ? kSingleOverDouble : 1.0) * largest);
}

double ExpectedGradients::noise_of(const Stored& stored) const {
  if (!stored.tensor.used || (stored.largest == 0.0 && !stored.tensor.cancels)) return 0.0;
  if (stored.noise) return *stored.noise;
  if (is_zero(stored)) return zero_noise(stored.largest);
  return stored.tensor.saturates ? std::min(kSaturatedRoundings * tolerances_.unit * largest_, 0.5 * stored.largest) : 0.0;
}

double ExpectedGradients::allowed(const std::string& name) const {
  const Stored& stored = at(name);
  return tolerances_.gradient * stored.largest + noise_of(stored);
}

double ExpectedGradients::norm() const {
  double squares = 0.0;
  for (const auto& [name, stored] : tensors_) squares += stored.two_norm * stored.two_norm;
  return std::sqrt(squares);
}

void ExpectedGradients::compare(const std::string& name, const RealTensor& ours, const std::string& suffix, Report& report) const {
  const Stored& stored = at(name);
  const std::string prefix[] = {prefix_ + kGroups[0], prefix_ + kGroups[1], prefix_ + kGroups[2], prefix_ + kGroups[3]};
  if (!stored.tensor.used) {  // zero on both sides; a file may leave it out
    const RealTensor zeros{ours.shape, std::vector<double>(ours.values.size(), 0.0)};
    report.compare(prefix[0] + name + suffix + " (not used)", zeros, ours, 0.0);
  } else if (!stored.any()) {
    return;  // named by `missing`
  }
  const double noise = noise_of(stored), rtol = stored.tensor.used ? tolerances_.gradient : 0.0;
  const bool zero = noise > 0.0 && !stored.noise && is_zero(stored);
  const std::string note = !stored.tensor.used ? "not used: exactly zero" : zero ? "zero: against the largest gradient" : "";
  const double root = std::sqrt(static_cast<double>(std::max<std::size_t>(1, ours.values.size())));
  const double scale = zero ? largest_ : stored.largest, absolute = rtol * stored.largest + noise;
  if (stored.whole) report.compare_within(prefix[0] + name + suffix, *stored.whole, ours, absolute, scale, note);
  if (stored.digest) report.compare_digest(prefix[0] + name + suffix, *stored.digest, ours, rtol, noise, note);
  if (stored.fingerprint) report.compare_fingerprint(prefix[1] + name + suffix, name, *stored.fingerprint, ours, rtol, noise, note);
  if (stored.norm) {
    const RealTensor norm{{}, {two_norm(ours.values)}};
    report.compare_within(prefix[2] + name + suffix, *stored.norm, norm, rtol * stored.two_norm + noise * root, zero ? largest_ : stored.two_norm,
                          note);
  }
  if (stored.head) {
    RealTensor head = ours;
    if (head.shape.size() == 2 && stored.head->shape.size() == 2 && stored.head->shape[0] <= head.shape[0]) {
      head.shape[0] = stored.head->shape[0];
      head.values.resize(head.shape[0] * head.shape[1]);
    }
    report.compare_within(prefix[3] + name + suffix, *stored.head, head, absolute, scale, note);
  }
}

double ExpectedGradients::walk_noise(double largest) const {
  const double noise = zero_noise(largest);
  return tolerances_.single || largest == 0.0 ? noise : std::min(noise, kWalkMargin * largest);
}

double ExpectedGradients::walk(const std::string& name, const Steps& steps) const {
  const Stored& stored = at(name);
  const std::vector<std::size_t>& shape = stored.tensor.shape;
  if (!stored.tensor.used || (stored.largest == 0.0 && !stored.tensor.cancels)) return 0.0;
  if (is_zero(stored)) return steps.walk(std::vector<double>(stored.tensor.size(), stored.noise.value_or(walk_noise(stored.largest))));
  if (!stored.whole || stored.whole->shape != shape) return 0.0;
  const std::vector<double>& g = stored.whole->values;
  const bool vector = shape.size() < 2;
  const std::size_t columns = vector ? std::max<std::size_t>(1, g.size()) : std::max<std::size_t>(1, shape.back()), rows = g.size() / columns;
  std::vector<double> of_row(rows, 0.0), of_column(columns, 0.0), noise(g.size(), 0.0);
  double shown = 0.0;  // largest entry of class zero
  for (std::size_t i = 0; i < g.size(); ++i) {
    const double size = std::abs(g[i]);
    of_row[i / columns] = std::max(of_row[i / columns], size);
    of_column[i % columns] = std::max(of_column[i % columns], size);
    if (size <= kZeroGradient * largest_) shown = std::max(shown, size);
  }
  for (std::size_t i = 0; i < g.size(); ++i) {
    if (g[i] == 0.0) continue;
    const double scale = vector ? of_row[0] : std::min(of_row[i / columns], of_column[i % columns]);
    noise[i] = noise_of(stored) + kSumRoundings * tolerances_.unit * scale;
    if (vector && std::abs(g[i]) <= kZeroGradient * largest_) noise[i] += walk_noise(shown);
  }
  return steps.walk(noise, g);
}

void ExpectedGradients::report_unknown(Report& report) const {
  for (const std::string& name : unknown_) report.fail(name, "the model has no parameter of this name");
}

}  // namespace gnn_hpc::verify
