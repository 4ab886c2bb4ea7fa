// SPDX-License-Identifier: Apache-2.0
#include "models/registry.hpp"

#include "base/error.hpp"
#include "base/text.hpp"
#include "models/comformer/task.hpp"
#include "models/dmpnn_diffpool/task.hpp"
#include "models/hgnn_moe/task.hpp"

#include <array>

namespace gnn_hpc {

namespace {

/// One line per system. Written out, not self-registering: static initialisers vanish from static libraries.
struct Entry {
  const char* name;
  std::unique_ptr<Task<float>> (*make_float)(Config&, std::uint64_t);
  std::unique_ptr<Task<double>> (*make_double)(Config&, std::uint64_t);
};
constexpr std::array kTasks{
    Entry{"comformer", &comformer::make_task<float>, &comformer::make_task<double>},
    Entry{"dmpnn_diffpool", &dmpnn::make_task<float>, &dmpnn::make_task<double>},
    Entry{"hgnn_moe", &hgnn_moe::make_task<float>, &hgnn_moe::make_task<double>},
};

}  // namespace

std::vector<std::string> system_names() {
  std::vector<std::string> names;
  for (const Entry& entry : kTasks) names.emplace_back(entry.name);
  return names;
}

template <class T>
std::unique_ptr<Task<T>> make_task(const std::string& name, Config& root, std::uint64_t seed) {
  for (const Entry& entry : kTasks) {
    if (name != entry.name) continue;
    if constexpr (std::is_same_v<T, float>) return entry.make_float(root, seed);
    else return entry.make_double(root, seed);
  }
  const std::vector<std::string> known = system_names();
  throw Error(Exit::usage, fmt::format("system: unknown system \"{}\" (known: {})", name, join(known, ", ")));
}

template std::unique_ptr<Task<float>> make_task<float>(const std::string&, Config&, std::uint64_t);
template std::unique_ptr<Task<double>> make_task<double>(const std::string&, Config&, std::uint64_t);

}  // namespace gnn_hpc
