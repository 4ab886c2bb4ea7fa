// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "train/task.hpp"

#include <nlohmann/json.hpp>

#include <fstream>
#include <initializer_list>
#include <string>
#include <vector>

namespace gnn_hpc::test {

/// Stands for null in metrics.jsonl (a loss that is not finite, an R2 that is undefined), so that equal runs compare equal.
inline constexpr double kNull = -12345.0;

/// What a training leaves: the steps and epochs of metrics.jsonl, and the parameters.
struct TrainedNumbers {
  std::vector<double> losses, gradient_norms;  ///< of each step
  std::vector<double> validation;              ///< of each epoch, the named ones in order
  std::vector<double> parameters, buffers;
};

/// @param validation names of the numbers of an epoch
template <class T>
TrainedNumbers read_trained_numbers(const std::string& run_dir, Task<T>& task, std::initializer_list<const char*> validation) {
  TrainedNumbers out;
  const auto number = [](const nlohmann::json& value) { return value.is_null() ? kNull : value.get<double>(); };
  std::ifstream file(run_dir + "/metrics.jsonl");
  for (std::string line; std::getline(file, line);) {
    const auto entry = nlohmann::json::parse(line);
    if (entry["type"] == "step") {
      out.losses.push_back(number(entry["loss"]));
      out.gradient_norms.push_back(number(entry["gradient_norm"]));
    } else if (entry.contains("val_loss")) {
      for (const char* name : validation) out.validation.push_back(number(entry.at(name)));
    }
  }
  for (const TensorInfo& t : task.params().tensors()) {
    const auto v = task.params().get(t);
    out.parameters.insert(out.parameters.end(), v.begin(), v.end());
  }
  for (const TensorInfo& t : task.params().buffer_tensors()) {
    const auto v = task.params().get_buffer(t);
    out.buffers.insert(out.buffers.end(), v.begin(), v.end());
  }
  return out;
}

}  // namespace gnn_hpc::test
