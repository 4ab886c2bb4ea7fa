// SPDX-License-Identifier: Apache-2.0
#include "train/repeated_inputs.hpp"

#include "base/error.hpp"
#include "base/text.hpp"
#include "train/capabilities.hpp"

#include <algorithm>
#include <vector>

namespace gnn_hpc {

std::string RepeatedInputs::text() const {
  const auto count = [](std::int64_t n) { return format_count(static_cast<long long>(n)); };
  std::string out;
  if (test > 0) out += fmt::format("{} of {} test and ", count(test_seen), count(test));
  return out + fmt::format("{} of {} validation inputs are also trained on ({} training samples are {} different inputs)", count(validation_seen),
                           count(validation), count(train), count(train_distinct));
}

template <class T>
std::optional<RepeatedInputs> repeated_inputs(const Task<T>& task) {
  const auto* inputs = offered<InputDigests>(task);
  const std::vector<std::uint64_t> digest = inputs != nullptr ? inputs->input_digests() : std::vector<std::uint64_t>{};
  if (digest.empty()) return std::nullopt;
  const auto of = [&](std::int64_t sample) { return digest[static_cast<std::size_t>(sample)]; };
  const Splits& splits = task.splits();
  std::vector<std::uint64_t> trained(splits.train.size());
  std::transform(splits.train.begin(), splits.train.end(), trained.begin(), of);
  std::sort(trained.begin(), trained.end());
  trained.erase(std::unique(trained.begin(), trained.end()), trained.end());
  const auto seen = [&](const std::vector<std::int64_t>& part) {
    return static_cast<std::int64_t>(
        std::count_if(part.begin(), part.end(), [&](std::int64_t s) { return std::binary_search(trained.begin(), trained.end(), of(s)); }));
  };
  const auto size = [](const auto& part) { return static_cast<std::int64_t>(part.size()); };
  return RepeatedInputs{size(splits.train), size(trained), size(splits.validation), seen(splits.validation), size(splits.test), seen(splits.test)};
}

template std::optional<RepeatedInputs> repeated_inputs<float>(const Task<float>&);
template std::optional<RepeatedInputs> repeated_inputs<double>(const Task<double>&);

}  // namespace gnn_hpc
