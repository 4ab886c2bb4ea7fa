// SPDX-License-Identifier: Apache-2.0
#include "verify/comparison.hpp"

#include "verify/generator.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <ostream>

namespace gnn_hpc::verify {

namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

/// max that keeps NaN, whichever side it is on.
double larger(double a, double b) { return std::isnan(a) || std::isnan(b) ? kNaN : std::max(a, b); }

double largest_difference(std::span<const double> a, std::span<const double> b) {
  double worst = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) worst = larger(worst, std::abs(a[i] - b[i]));
  return worst;
}

}  // namespace

std::string shape_text(std::span<const std::size_t> shape) { return fmt::format("[{}]", fmt::join(shape, ",")); }

double largest_magnitude(std::span<const double> values) {
  double worst = 0.0;
  for (const double v : values) worst = larger(worst, std::abs(v));
  return worst;
}

Tolerances Tolerances::of(bool single_precision) {
  Tolerances t;
  if (single_precision) {
    t.output = 1e-4;
    t.gradient = 1e-3;
    t.trajectory = 1e-3;
    t.zero_norm = 1e-3;
  }
  return t;
}

double noise_walk(double noise, double rate_sum, std::size_t size) {
  return rate_sum * std::sqrt(static_cast<double>(size)) * 2.0 * noise / (2.0 * noise + 1e-8);
}

void Report::compare(const std::string& name, const RealTensor& expected, const RealTensor& actual, double allowed, double scale,
                     const std::string& note) {
  if (expected.shape != actual.shape) {
    return fail(name, fmt::format("shape {} here, {} in the file", shape_text(actual.shape), shape_text(expected.shape)));
  }
  Row row{name, shape_text(expected.shape), 0, 0, 0, allowed, true, false, note};
  row.scale = scale < 0.0 ? largest_magnitude(expected.values) : scale;  // a NaN stays and fails
  if (row.scale == 0.0) row.scale = 1.0;
  row.absolute = largest_difference(expected.values, actual.values);
  row.relative = row.absolute / row.scale;
  row.pass = std::isfinite(row.scale) && row.relative <= allowed;  // false for NaN
  if (!std::isfinite(row.absolute)) row.note = "not finite";
  rows_.push_back(std::move(row));
}

void Report::compare(const std::string& name, const RealTensor& expected, double actual, double allowed) {
  compare(name, expected, RealTensor{{}, {actual}}, allowed);
}

void Report::compare_exact(const std::string& name, const IntegerTensor& expected, const IntegerTensor& actual) {
  if (expected.shape != actual.shape) {
    return fail(name, fmt::format("shape {} here, {} in the file", shape_text(actual.shape), shape_text(expected.shape)));
  }
  Row row{name, shape_text(expected.shape), 1.0, 0, 0, 0.0, true, false, "exact"};
  std::size_t different = 0;
  for (std::size_t i = 0; i < expected.values.size(); ++i) {
    if (expected.values[i] == actual.values[i]) continue;
    ++different;
    row.absolute = std::max(row.absolute,
                            std::abs(static_cast<double>(expected.values[i]) - static_cast<double>(actual.values[i])));
  }
  row.relative = row.absolute;
  row.pass = different == 0;
  if (different > 0) row.note = fmt::format("{} of {} entries differ", different, expected.values.size());
  rows_.push_back(std::move(row));
}

void Report::compare_fingerprint(const std::string& name, const RealTensor& expected, const RealTensor& actual, double allowed,
                                 double scale) {
  const std::size_t size = actual.values.size();
  const std::size_t entries = 3 + std::min<std::size_t>(16, size);
  if (expected.shape.size() != 1 || expected.values.size() != entries) {
    return fail(name, fmt::format("a fingerprint of a tensor of {} elements has {} numbers, the file has {}", size, entries,
                                  shape_text(expected.shape)));
  }
  const std::size_t slash = name.find('/');
  const std::vector<double> ours = fingerprint(name.substr(slash == std::string::npos ? 0 : slash + 1), actual.values);
  const double norm = expected.values[0];
  const double largest = std::min(norm, largest_magnitude(actual.values));
  Row row{name, shape_text(actual.shape), norm, 0, 0, allowed, true, false, "fingerprint"};
  for (std::size_t i = 0; i < entries; ++i) {
    double unit = i == 0 ? norm : i < 3 ? norm * std::sqrt(static_cast<double>(size)) : largest;
    if (!(scale < 0.0)) unit = scale;
    if (unit == 0.0) unit = 1.0;
    const double difference = std::abs(expected.values[i] - ours[i]);
    row.absolute = larger(row.absolute, difference);
    row.relative = larger(row.relative, difference / unit);
  }
  if (!(scale < 0.0)) row.scale = scale;
  row.pass = std::isfinite(row.scale) && row.relative <= allowed;
  if (!std::isfinite(row.absolute)) row.note = "not finite";
  rows_.push_back(std::move(row));
}

void Report::fail(const std::string& name, const std::string& reason) {
  Row row;
  row.name = name;
  row.numbers = false;
  row.note = reason;
  rows_.push_back(std::move(row));
}

bool Report::passed() const {
  return !rows_.empty() && std::all_of(rows_.begin(), rows_.end(), [](const Row& r) { return r.pass; });
}

void Report::print(std::ostream& out, bool failures_only) const {
  std::size_t width = 6, shape_width = 5;
  for (const Row& r : rows_) width = std::max(width, r.name.size()), shape_width = std::max(shape_width, r.shape.size());
  out << fmt::format("{:<{}}  {:<{}}  {:>10}  {:>10}  {:>10}  {:>8}\n", "tensor", width, "shape", shape_width, "scale",
                     "absolute", "relative", "allowed");
  std::size_t failed = 0;
  const Row* worst = nullptr;
  for (const Row& r : rows_) {
    failed += r.pass ? 0 : 1;
    // How much of its tolerance a comparison uses, not its bare difference, says which one is closest to failing.
    if (r.pass && r.allowed > 0 && (!worst || r.relative / r.allowed > worst->relative / worst->allowed)) worst = &r;
    if (failures_only && r.pass) continue;
    if (r.numbers) {
      out << fmt::format("{:<{}}  {:<{}}  {:>10.3e}  {:>10.3e}  {:>10.3e}  {:>8.1e}  {}{}{}\n", r.name, width, r.shape,
                         shape_width, r.scale, r.absolute, r.relative, r.allowed, r.pass ? "PASS" : "FAIL",
                         r.note.empty() ? "" : "  ", r.note);
    } else {
      out << fmt::format("{:<{}}  {:<{}}  {:>10}  {:>10}  {:>10}  {:>8}  FAIL  {}\n", r.name, width, r.shape, shape_width, "-",
                         "-", "-", "-", r.note);
    }
  }
  if (worst) {
    out << fmt::format("closest to its tolerance of those that pass: {} ({:.2e} of {:.0e})\n", worst->name, worst->relative,
                       worst->allowed);
  }
  out << fmt::format("{}: {} compared, {} failed\n", passed() ? "PASS" : "FAIL", rows_.size(), failed);
}

}  // namespace gnn_hpc::verify
