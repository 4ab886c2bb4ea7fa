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

double largest_difference(std::span<const double> a, std::span<const double> b) {
  double worst = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) worst = larger(worst, std::abs(a[i] - b[i]));
  return worst;
}

/// True if a tensor holds as many values as its shape says.
template <class T>
bool is_whole(const Tensor<T>& tensor) {
  std::size_t size = 1;
  for (const std::size_t extent : tensor.shape) size *= extent;
  return size == tensor.values.size();
}

template <class T>
std::string mismatch(const Tensor<T>& expected, const Tensor<T>& actual) {
  if (expected.shape != actual.shape) {
    return fmt::format("shape {} here, {} in the file", shape_text(actual.shape), shape_text(expected.shape));
  }
  if (is_whole(expected) && is_whole(actual)) return {};
  return fmt::format("{} values here, {} in the file, shape {}", actual.values.size(), expected.values.size(), shape_text(expected.shape));
}

}  // namespace

double larger(double a, double b) { return std::isnan(a) || std::isnan(b) ? kNaN : std::max(a, b); }

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
    t.trajectory = 1e-4;
    t.zero_noise = 1e-6;
    t.unit = 0x1p-24;
    t.single = true;
  }
  return t;
}

Report::Report(bool single_precision)
    : least_(single_precision ? static_cast<double>(std::numeric_limits<float>::min()) : std::numeric_limits<double>::min()) {}

void Report::compare(const std::string& name, const RealTensor& expected, const RealTensor& actual, double allowed, const std::string& note) {
  const double scale = largest_magnitude(expected.values);
  compare_within(name, expected, actual, allowed * scale, scale, note);
}

void Report::compare_within(const std::string& name, const RealTensor& expected, const RealTensor& actual, double absolute, double scale,
                            const std::string& note) {
  const std::string wrong = mismatch(expected, actual);
  if (!wrong.empty()) return fail(name, wrong);
  Row row{name, shape_text(expected.shape), scale, 0, 0, 0, true, false, note};
  if (row.scale == 0.0) row.scale = 1.0;  // a NaN stays and fails
  row.absolute = largest_difference(expected.values, actual.values);
  row.relative = row.absolute / row.scale;
  row.allowed = absolute / row.scale;
  const bool finite = std::isfinite(row.scale) && std::isfinite(largest_magnitude(expected.values));
  row.pass = finite && row.absolute <= absolute + least_;  // false for NaN
  if (!std::isfinite(row.absolute)) row.note = "not finite";
  rows_.push_back(std::move(row));
}

void Report::compare(const std::string& name, const RealTensor& expected, double actual, double allowed) {
  compare(name, expected, RealTensor{{}, {actual}}, allowed);
}

void Report::compare_exact(const std::string& name, const IntegerTensor& expected, const IntegerTensor& actual) {
  const std::string wrong = mismatch(expected, actual);
  if (!wrong.empty()) return fail(name, wrong);
  Row row{name, shape_text(expected.shape), 1.0, 0, 0, 0.0, true, false, "exact"};
  std::size_t different = 0;
  for (std::size_t i = 0; i < expected.values.size(); ++i) {
    if (expected.values[i] == actual.values[i]) continue;
    ++different;
    row.absolute = std::max(row.absolute, std::abs(static_cast<double>(expected.values[i]) - static_cast<double>(actual.values[i])));
  }
  row.relative = row.absolute;
  row.pass = different == 0;
  if (different > 0) row.note = fmt::format("{} of {} entries differ", different, expected.values.size());
  rows_.push_back(std::move(row));
}

void Report::compare_fingerprint(const std::string& name, const std::string& tensor, const RealTensor& expected, const RealTensor& actual,
                                 double rtol, double noise, const std::string& note) {
  compare_summary(name, "fingerprint", expected, actual, fingerprint(tensor, actual.values), rtol, noise, note);
}

void Report::compare_digest(const std::string& name, const RealTensor& expected, const RealTensor& actual, double rtol, double noise,
                            const std::string& note) {
  RealTensor reordered = expected;
  if (reordered.values.size() > 1) std::swap(reordered.values[0], reordered.values[1]);
  double squares = 0.0, sum = 0.0, waves = 0.0;
  for (std::size_t i = 0; i < actual.values.size(); ++i) {
    squares += actual.values[i] * actual.values[i];
    sum += actual.values[i];
    waves += actual.values[i] * std::cos(static_cast<double>(i));
  }
  std::vector<double> ours{std::sqrt(squares), sum, waves};
  ours.insert(ours.end(), actual.values.begin(), actual.values.begin() + static_cast<std::ptrdiff_t>(std::min(kDigestHead, actual.values.size())));
  compare_summary(name, "digest", reordered, actual, ours, rtol, noise, note);
}

/// Expected and ours: the norm, two sums over all entries, the first entries.
void Report::compare_summary(const std::string& name, const std::string& word, const RealTensor& expected, const RealTensor& actual,
                             const std::vector<double>& ours, double rtol, double noise, const std::string& note) {
  const std::size_t size = actual.values.size(), entries = ours.size();
  if (expected.shape.size() != 1 || expected.values.size() != entries) {
    return fail(name,
                fmt::format("a {} of a tensor of {} elements has {} numbers, the file has {}", word, size, entries, shape_text(expected.shape)));
  }
  const double root = std::sqrt(static_cast<double>(size)), norm = std::abs(expected.values[0]);
  const double largest = larger(largest_magnitude(std::span(expected.values).subspan(3)), norm / std::max(root, 1.0));
  const double of_entry = rtol * largest + noise + least_, of_norm = rtol * norm + (noise + least_) * root;
  Row row{name, shape_text(actual.shape), norm == 0.0 ? 1.0 : norm, 0, 0, rtol, true, false, word};
  if (!note.empty()) row.note += "; " + note;
  double worst = 0.0;
  for (std::size_t i = 0; i < entries; ++i) {
    const double difference = std::abs(expected.values[i] - ours[i]);
    row.absolute = larger(row.absolute, difference);
    worst = larger(worst, difference / (i == 0 ? of_norm : i < 3 ? of_norm * root : of_entry));
  }
  row.relative = worst * rtol;  // of its allowance, so that it reads as the other lines do
  row.pass = std::isfinite(row.scale) && std::isfinite(worst) && worst <= 1.0;
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
  out << fmt::format("{:<{}}  {:<{}}  {:>10}  {:>10}  {:>10}  {:>8}\n", "tensor", width, "shape", shape_width, "scale", "absolute", "relative",
                     "allowed");
  std::size_t failed = 0;
  const Row* worst = nullptr;
  for (const Row& r : rows_) {
    failed += r.pass ? 0 : 1;
    // How much of its tolerance a comparison uses, not its bare difference, says which one is closest to failing.
    if (r.pass && r.allowed > 0 && (!worst || r.relative / r.allowed > worst->relative / worst->allowed)) worst = &r;
    if (failures_only && r.pass) continue;
    if (r.numbers) {
      out << fmt::format("{:<{}}  {:<{}}  {:>10.3e}  {:>10.3e}  {:>10.3e}  {:>8.1e}  {}{}{}\n", r.name, width, r.shape, shape_width, r.scale,
                         r.absolute, r.relative, r.allowed, r.pass ? "PASS" : "FAIL", r.note.empty() ? "" : "  ", r.note);
    } else {
      out << fmt::format("{:<{}}  {:<{}}  {:>10}  {:>10}  {:>10}  {:>8}  FAIL  {}\n", r.name, width, r.shape, shape_width, "-", "-", "-", "-",
                         r.note);
    }
  }
  if (worst) {
    out << fmt::format("closest to its tolerance of those that pass: {} ({:.2e} of {:.0e})\n", worst->name, worst->relative, worst->allowed);
  }
  out << fmt::format("{}: {} compared, {} failed\n", passed() ? "PASS" : "FAIL", rows_.size(), failed);
}

}  // namespace gnn_hpc::verify
