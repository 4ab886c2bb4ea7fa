// SPDX-License-Identifier: Apache-2.0
#include "models/comformer/golden.hpp"

#include "base/error.hpp"
#include "graph/split.hpp"
#include "train/schedule.hpp"
#include "verify/generator.hpp"
#include "verify/manifest.hpp"

#include <charconv>

namespace gnn_hpc::verify::comformer {

namespace {

/// The integer that follows `tag` at the start of `text`, which is shortened by both.
std::int64_t number_after(const GoldenFile& file, std::string_view& text, std::string_view tag, const std::string& whole) {
  std::int64_t value = 0;
  if (text.starts_with(tag)) {
    text.remove_prefix(tag.size());
    const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (problem == std::errc() && value >= 0) {
      text.remove_prefix(static_cast<std::size_t>(end - text.data()));
      return value;
    }
  }
  file.fail(fmt::format("group {}: expected {}<number> at '{}'", whole, tag, text));
}

/// splits/n{n}_seed{s}/{train,val,test}: 0..n-1 shuffled as Python does it; int(0.8 n), then int(0.1 n), then the rest.
void check_splits(GoldenFile& file, Report& report) {
  for (const std::string& name : file.groups_in("splits")) {
    const std::string group = "splits/" + name;
    std::string_view rest = name;
    const std::int64_t count = number_after(file, rest, "n", group);
    const std::int64_t seed = number_after(file, rest, "_seed", group);
    if (!rest.empty() || count > 100000000) file.fail(fmt::format("group {}: expected n<count>_seed<seed>", group));
    const std::vector<std::int64_t> order = python_shuffled(count, seed);
    const auto train = static_cast<std::int64_t>(0.8 * static_cast<double>(count));
    const auto validation = static_cast<std::int64_t>(0.1 * static_cast<double>(count));
    const auto compare = [&](const char* part, std::int64_t begin, std::int64_t end) {
      const std::string set = group + "/" + part;
      const std::vector<std::int64_t> ours(order.begin() + begin, order.begin() + end);
      report.compare_exact(set, file.integers(set), {{ours.size()}, ours});
    };
    compare("train", 0, train);
    compare("val", train, train + validation);
    compare("test", train + validation, count);
  }
}

/// onecycle/steps{T}/{lr,beta1}: every step of the default schedule with peak rate 1e-3.
void check_onecycle(GoldenFile& file, Report& report) {
  for (const std::string& name : file.groups_in("onecycle")) {
    const std::string group = "onecycle/" + name;
    std::string_view rest = name;
    const std::int64_t steps = number_after(file, rest, "steps", group);
    if (!rest.empty() || steps < 1 || steps > 100000000) file.fail(fmt::format("group {}: expected steps<number>", group));
    TrainOptions options;
    options.epochs = 1;
    const Schedule schedule(options, steps);
    RealTensor rate{{static_cast<std::size_t>(steps)}, {}}, beta = rate;
    for (std::int64_t s = 0; s < steps; ++s) {
      rate.values.push_back(schedule.at(s).learning_rate);
      beta.values.push_back(schedule.at(s).beta1);
    }
    const double allowed = Tolerances().input;
    report.compare(group + "/lr", file.real(group + "/lr"), rate, allowed);
    report.compare(group + "/beta1", file.real(group + "/beta1"), beta, allowed);
  }
}

/// generator/seed{s}/<parameter name>.
void check_generator(GoldenFile& file, Report& report) {
  for (const std::string& name : file.groups_in("generator")) {
    const std::string group = "generator/" + name;
    std::string_view rest = name;
    const auto seed = static_cast<std::uint64_t>(number_after(file, rest, "seed", group));
    for (const std::string& set : file.names_under(group)) {
      const RealTensor expected = file.real(set);
      const std::string parameter = set.substr(group.size() + 1);
      report.compare(set, expected, {expected.shape, synthetic_values(parameter, expected.shape, seed)}, Tolerances().input);
    }
  }
}

}  // namespace

void check_other(GoldenFile& file, bool /*single_precision: none of this depends on it*/, Report& report) {
  Manifest manifest(file);
  manifest.group("splits").group("onecycle").group("generator");
  for (const std::string& name : file.groups_in("splits")) manifest.data({"train", "val", "test"}, "splits/" + name + "/");
  for (const std::string& name : file.groups_in("onecycle")) manifest.data({"lr", "beta1"}, "onecycle/" + name + "/");
  manifest.finish();
  check_splits(file, report);
  check_onecycle(file, report);
  check_generator(file, report);
}

}  // namespace gnn_hpc::verify::comformer
