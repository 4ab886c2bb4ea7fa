// SPDX-License-Identifier: Apache-2.0
#include "models/dmpnn_diffpool/descriptor_scaler.hpp"

#include "base/error.hpp"

#include <algorithm>
#include <cmath>

namespace gnn_hpc::dmpnn {

namespace {

/// One column over the training samples.
struct FittedColumn {
  double median = 0.0, mean = 0.0, std = 0.0;
  std::vector<double> standardised;  ///< empty: constant or never there
};

double median_of(std::vector<double> values) {
  const std::size_t half = values.size() / 2;
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(half), values.end());
  const double upper = values[half];
  if (values.size() % 2 == 1) return upper;
  return 0.5 * (upper + *std::max_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(half)));
}

FittedColumn fit_column(std::vector<double> values) {
  FittedColumn out;
  std::vector<double> there;
  std::copy_if(values.begin(), values.end(), std::back_inserter(there), [](double x) { return !std::isnan(x); });
  if (there.empty()) return out;
  out.median = median_of(std::move(there));
  const auto n = static_cast<double>(values.size());
  double sum = 0.0, largest = 0.0, squares = 0.0;
  for (double& x : values) {
    if (std::isnan(x)) x = out.median;
    sum += x;
    largest = std::max(largest, std::abs(x));
  }
  out.mean = sum / n;
  for (const double x : values) squares += (x - out.mean) * (x - out.mean);
  out.std = std::sqrt(squares / n);
  if (!(out.std > 1e-14 * largest)) return out;  // equal values leave rounding noise
  for (double& x : values) x = (x - out.mean) / out.std;
  out.standardised = std::move(values);
  return out;
}

bool correlated(const FittedColumn& a, const FittedColumn& b) {
  double sum = 0.0;
  for (std::size_t i = 0; i < a.standardised.size(); ++i) sum += a.standardised[i] * b.standardised[i];
  return std::abs(sum) >= DescriptorScaler::kLargestCorrelation * static_cast<double>(a.standardised.size());
}

}  // namespace

DescriptorScaler DescriptorScaler::fit(std::span<const double> values, std::size_t columns, std::span<const std::int64_t> samples) {
  DescriptorScaler out;
  std::vector<FittedColumn> varying;
  for (std::size_t d = 0; d < columns; ++d) {
    std::vector<double> column;
    column.reserve(samples.size());
    for (const auto s : samples) column.push_back(values[static_cast<std::size_t>(s) * columns + d]);
    FittedColumn fitted = fit_column(std::move(column));
    if (fitted.standardised.empty()) continue;
    const bool repeats = std::any_of(varying.begin(), varying.end(), [&](const FittedColumn& earlier) { return correlated(earlier, fitted); });
    if (!repeats) {
      out.kept.push_back(static_cast<double>(d));
      out.median.push_back(fitted.median);
      out.mean.push_back(fitted.mean);
      out.std.push_back(fitted.std);
    }
    varying.push_back(std::move(fitted));
  }
  return out;
}

void DescriptorScaler::apply(std::span<const double> in, std::span<double> out) const {
  for (std::size_t k = 0; k < kept.size(); ++k) {
    const double x = in[static_cast<std::size_t>(kept[k])];
    out[k] = ((std::isnan(x) ? median[k] : x) - mean[k]) / std[k];
  }
}

void DescriptorScaler::save(DataState& state) const {
  if (kept.empty()) return;
  state.numbers["descriptor_kept"] = kept;
  state.numbers["descriptor_median"] = median;
  state.numbers["descriptor_mean"] = mean;
  state.numbers["descriptor_std"] = std;
}

DescriptorScaler DescriptorScaler::load(const DataState& state, std::size_t columns) {
  DescriptorScaler out{state.number("descriptor_kept"), state.number("descriptor_median"), state.number("descriptor_mean"),
                       state.number("descriptor_std")};
  for (const auto* values : {&out.median, &out.mean, &out.std}) {
    if (values->size() != out.kept.size()) throw Error(Exit::data, "the checkpoint's preprocessing of descriptors is not complete");
  }
  for (const double place : out.kept) {
    if (!(place >= 0.0 && place < static_cast<double>(columns))) {
      throw Error(Exit::data, fmt::format("the checkpoint uses descriptor column {}, but there are {}", place, columns));
    }
  }
  return out;
}

}  // namespace gnn_hpc::dmpnn
