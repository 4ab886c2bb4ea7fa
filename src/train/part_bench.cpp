// SPDX-License-Identifier: Apache-2.0
#include "train/part_bench.hpp"

#include "base/error.hpp"
#include "train/capabilities.hpp"

#include <algorithm>

namespace gnn_hpc {

template <class T>
std::vector<std::int64_t> first_samples(const Task<T>& task, int count) {
  std::vector<std::int64_t> out;
  if (const auto* records = offered<LabelledRecords>(task)) {
    for (const InputRecord& record : records->records()) {
      if (record.sample >= 0) out.push_back(record.sample);
    }
  } else {
    for (const auto* part : {&task.splits().train, &task.splits().validation, &task.splits().test}) out.insert(out.end(), part->begin(), part->end());
    std::sort(out.begin(), out.end());
  }
  if (out.size() < static_cast<std::size_t>(count)) {
    throw Error(Exit::data, fmt::format("a batch of {} was asked for, but the input has {} usable samples; lower --batch", count, out.size()));
  }
  out.resize(static_cast<std::size_t>(count));
  return out;
}

template std::vector<std::int64_t> first_samples<float>(const Task<float>&, int);
template std::vector<std::int64_t> first_samples<double>(const Task<double>&, int);

}  // namespace gnn_hpc
