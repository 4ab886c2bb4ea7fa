// SPDX-License-Identifier: Apache-2.0
#include "models/systems.hpp"

#include "base/error.hpp"
#include "base/text.hpp"

#include <algorithm>
#include <array>

namespace gnn_hpc {

// One line per system: the namespace of its folder. Written out, not self-registering: static initialisers vanish from static libraries.
#define GNN_HPC_SYSTEMS(ROW) \
  ROW(comformer)             \
  ROW(dmpnn)                 \
  ROW(gvp)                   \
  ROW(hgnn_moe)              \
  ROW(partoken)

#define GNN_HPC_DECLARE(space) \
  namespace space {            \
  const System& system();      \
  }
GNN_HPC_SYSTEMS(GNN_HPC_DECLARE)
#undef GNN_HPC_DECLARE

std::span<const System* const> systems() {
#define GNN_HPC_ROW(space) &space::system(),
  static const std::array all{GNN_HPC_SYSTEMS(GNN_HPC_ROW)};
#undef GNN_HPC_ROW
  return all;
}

std::vector<std::string> system_names() {
  std::vector<std::string> names;
  for (const System* system : systems()) names.emplace_back(system->name);
  return names;
}

const System& find_system(std::string_view name) {
  for (const System* system : systems()) {
    if (name == system->name) return *system;
  }
  const std::vector<std::string> known = system_names();
  const std::string near = nearest_word(std::string(name), known);
  throw Error(Exit::usage,
              fmt::format("unknown system '{}'{}; known: {}", name, near.empty() ? "" : " (did you mean " + near + "?)", join(known, ", ")));
}

template <class T>
std::unique_ptr<Task<T>> make_task(const std::string& name, Config& root, std::uint64_t seed) {
  const System& system = find_system(name);
  if constexpr (std::is_same_v<T, float>)
    return system.make_float(root, seed);
  else
    return system.make_double(root, seed);
}

std::vector<verify::GoldenCheck> golden_checks() {
  std::vector<verify::GoldenCheck> out;
  for (const System* system : systems()) out.insert(out.end(), system->golden_checks.begin(), system->golden_checks.end());
  return out;
}

std::string systems_table() {
  std::string out;
  const auto list = [&](const char* head, const auto& rows, const auto& text) {
    std::vector<std::string> words;
    for (const auto& row : rows) words.push_back(text(row));
    if (!words.empty()) out += fmt::format("  {:<20} {}\n", head, join(words, ", "));
  };
  for (const System* system : systems()) {
    out += fmt::format("{}: {}\n", system->name, system->summary);
    list("bench --what", system->part_benches, [](const PartBench& part) { return fmt::format("{} ({})", part.name, part.summary); });
    list("verify", system->golden_checks, [](const verify::GoldenCheck& check) { return std::string(check.kind); });
    out += fmt::format("  {:<20} {}\n", "predict", system->prediction_input != nullptr ? "yes" : "no");
    out += fmt::format("  {:<20} {}\n", "generate", system->continues_texts ? "yes" : "no");
  }
  return out;
}

template std::unique_ptr<Task<float>> make_task<float>(const std::string&, Config&, std::uint64_t);
template std::unique_ptr<Task<double>> make_task<double>(const std::string&, Config&, std::uint64_t);

}  // namespace gnn_hpc
