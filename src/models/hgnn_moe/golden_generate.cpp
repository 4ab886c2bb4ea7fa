// SPDX-License-Identifier: Apache-2.0
#include "models/hgnn_moe/golden.hpp"

#include "base/error.hpp"
#include "models/hgnn_moe/decoder.hpp"
#include "models/hgnn_moe/golden_inputs.hpp"
#include "train/generate.hpp"
#include "verify/manifest.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace gnn_hpc::verify::hgnn_moe {

namespace {

using gnn_hpc::hgnn_moe::Model;
using gnn_hpc::hgnn_moe::ModelOptions;
using gnn_hpc::hgnn_moe::TokenDecoder;

constexpr std::size_t kMostParameters = std::size_t{1} << 30;

RealTensor table(const std::vector<std::vector<double>>& rows, std::size_t columns) {
  RealTensor out{{rows.size(), columns}, {}};
  for (const auto& row : rows) out.values.insert(out.values.end(), row.begin(), row.end());
  return out;
}

/// Logits with dropped entries: the same ones must be dropped, the others agree. A report takes no infinities, so that kept-or-dropped is
/// compared exactly and dropped entries then count as 0.
void compare_kept(Report& report, const std::string& name, RealTensor expected, RealTensor actual, double allowed) {
  IntegerTensor expected_kept{expected.shape, {}}, actual_kept{actual.shape, {}};
  const auto split = [](RealTensor& t, IntegerTensor& kept) {
    for (double& x : t.values) {
      const bool dropped = x == -std::numeric_limits<double>::infinity();
      kept.values.push_back(dropped ? 0 : 1);
      if (dropped) x = 0.0;
    }
  };
  split(expected, expected_kept);
  split(actual, actual_kept);
  report.compare_exact(name + " (kept)", expected_kept, actual_kept);
  report.compare(name, expected, actual, allowed);
}

template <class T>
void check(GoldenFile& file, Report& report) {
  const ModelOptions options = read_options(file, "config");
  ParamStore<T> store;
  Model<T> model(store, options);
  if (store.num_parameters() > kMostParameters) file.fail(fmt::format("config describes a model of {} parameters; damaged?", store.num_parameters()));
  store.finalize(0);
  Manifest manifest(file);
  manifest.data({"outputs/greedy", "outputs/logits"}).group("filter");
  for (const std::string& group : file.groups_in("filter")) manifest.data({"kept_logits"}, "filter/" + group + "/");
  manifest.finish();
  load_parameters(file, "params", store);
  const Tolerances allowed = Tolerances::of(std::is_same_v<T, float>);
  const auto columns = static_cast<std::size_t>(options.vocab_size);

  std::vector<int> prompt;
  for (const std::int64_t id : file.integers("inputs/prompt", {-1}).values) {
    if (id < 0 || id >= options.vocab_size) file.fail(fmt::format("inputs/prompt holds {}, allowed are 0 to {}", id, options.vocab_size - 1));
    prompt.push_back(static_cast<int>(id));
  }
  GenerateOptions greedy;
  greedy.sampling = {0.0, 0, 0.0};
  // The file holds as many steps as it has logits; a sequence that ends earlier here shows as another shape.
  const RealTensor expected = file.real("outputs/logits");
  greedy.max_new_tokens = std::max(1, expected.shape.empty() ? 0 : static_cast<int>(std::min<std::size_t>(expected.shape[0], 1U << 20)));
  TokenDecoder<T> decoder(model);
  std::vector<std::vector<double>> rows;
  const Generated text = generate(decoder, prompt, greedy, [&](int, std::span<const double> logits) {
    rows.emplace_back(logits.begin(), logits.end());
    return true;
  });
  const IntegerTensor ids{{text.ids.size()}, {text.ids.begin(), text.ids.end()}};
  report.compare_exact("outputs/greedy", file.integers("outputs/greedy"), ids);
  report.compare("outputs/logits", expected, table(rows, columns), allowed.output);

  for (const std::string& group : file.groups_in("filter")) {
    const std::string name = "filter/" + group;
    Sampling sampling;
    sampling.temperature = file.number_attribute(name, "temperature");
    sampling.top_k = static_cast<int>(file.integer_attribute(name, "top_k", 0, 1 << 24));
    sampling.top_p = file.number_attribute(name, "top_p");
    const RealTensor kept = file.real(name + "/kept_logits");
    std::vector<std::vector<double>> ours;
    for (std::size_t i = 0; i < rows.size() && !kept.shape.empty() && i < kept.shape[0]; ++i) ours.push_back(filter_logits(rows[i], sampling));
    compare_kept(report, name + "/kept_logits", kept, table(ours, columns), allowed.output);
  }
}

}  // namespace

void check_generate(GoldenFile& file, bool single_precision, Report& report) {
  single_precision ? check<float>(file, report) : check<double>(file, report);
}

}  // namespace gnn_hpc::verify::hgnn_moe
