// SPDX-License-Identifier: Apache-2.0
#include "train/checkpoint.hpp"

#include "base/error.hpp"
#include "base/provenance.hpp"
#include "io/checksum.hpp"
#include "io/hdf5.hpp"
#include "io/seal.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <span>
#include <string_view>
#include <system_error>
#include <type_traits>

namespace gnn_hpc {

namespace fs = std::filesystem;

namespace {

constexpr const char* kKind = "gnn_hpc checkpoint";
constexpr std::int64_t kFormat = 2;

/// Calls visit(name, member) for every number of a TrainState, so that writing and reading cannot part.
template <class State, class Visit>
void for_each_member(State& s, Visit visit) {
  visit("epoch", s.epoch);
  visit("step_in_epoch", s.step_in_epoch);
  visit("step", s.step);
  visit("best_metric", s.best_metric);
  visit("best_epoch", s.best_epoch);
  visit("epochs_since_best", s.epochs_since_best);
  visit("bad_in_a_row", s.bad_in_a_row);
  visit("evaluated_step", s.evaluated_step);
  visit("loss_sum", s.loss_sum);
  visit("loss_weight", s.loss_weight);
  visit("auxiliary_sum", s.auxiliary_sum);
  visit("updates", s.updates);
  visit("skipped", s.skipped);
  visit("jsonl_bytes", s.jsonl_bytes);
  visit("csv_bytes", s.csv_bytes);
  visit("phase", s.phase);
  visit("phase_begun", s.phase_begun);
  visit("phase_first_epoch", s.phase_first_epoch);
  visit("phase_first_step", s.phase_first_step);
}

Shape file_shape(const TensorInfo& t) { return {t.shape.begin(), t.shape.end()}; }

template <class T>
void write_tensors(Hdf5Writer& file, const std::string& group, View1<T> flat, const std::deque<TensorInfo>& tensors) {
  const auto host = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), flat);
  file.group(group);
  for (const TensorInfo& t : tensors) {
    file.write<T>(group + "/" + t.name, std::span<const T>(host.data() + t.offset, t.size), file_shape(t));
  }
}

template <class T>
void read_tensors(const Hdf5Reader& file, const std::string& group, View1<T> flat, const std::deque<TensorInfo>& tensors) {
  const auto host = Kokkos::create_mirror_view(Kokkos::HostSpace(), flat);
  Kokkos::deep_copy(host, T(0));  // padding stays zero
  const std::string what = group.substr(1);
  for (const TensorInfo& t : tensors) {
    const std::string name = group + "/" + t.name;
    if (!file.exists(name)) {
      throw Error(Exit::data,
                  fmt::format("{}: {}: no tensor \"{}\"; the file belongs to another model or other model options", file.path(), what, t.name));
    }
    if (file.shape(name) != file_shape(t)) {
      throw Error(Exit::data, fmt::format("{}: {}: \"{}\" has shape [{}], the model needs [{}]; check the model options", file.path(), what, t.name,
                                          fmt::join(file.shape(name), ", "), fmt::join(t.shape, ", ")));
    }
    file.read<T>(name, std::span<T>(host.data() + t.offset, t.size));
  }
  if (file.list(group).size() > tensors.size()) {
    for (const std::string& name : file.list(group)) {
      const bool known = std::any_of(tensors.begin(), tensors.end(), [&](const TensorInfo& t) { return t.name == name; });
      if (!known) {
        throw Error(Exit::data, fmt::format("{}: {}: \"{}\" is not a tensor of this model; check the model options", file.path(), what, name));
      }
    }
  }
  Kokkos::deep_copy(flat, host);
}

constexpr std::string_view kDataState = "/data_state/";

void write_data_state(Hdf5Writer& file, const DataState& state) {
  file.group("/data_state");
  for (const auto& [key, numbers] : state.numbers) file.write<double>(std::string(kDataState) + key, numbers);
  for (const auto& [key, texts] : state.texts) file.write_texts(std::string(kDataState) + key, texts);
}

DataState read_data_state(const Hdf5Reader& file) {
  DataState state;
  for (const std::string& key : file.list("/data_state")) {
    const std::string dataset = std::string(kDataState) + key;
    if (file.is_text(dataset))
      state.texts[key] = file.read_texts(dataset);
    else
      state.numbers[key] = file.read<double>(dataset);
  }
  return state;
}

/// Format 1 had the names of columns in names of data sets, "target:<name>" -> {place}. A `/` in one made groups of it: the path
/// below /data_state is the name again.
DataState read_data_state_1(const Hdf5Reader& file) {
  DataState state;
  for (const std::string& dataset : file.datasets("/data_state")) {
    const std::string key = dataset.substr(kDataState.size());
    std::vector<double> numbers = file.read<double>(dataset);
    bool is_name = false;
    for (const std::string_view prefix : {"target:", "descriptor:"}) {
      if (!key.starts_with(prefix) || numbers.size() != 1 || !(numbers[0] >= 0.0 && numbers[0] < 1e6)) continue;
      const auto place = static_cast<std::size_t>(numbers[0]);
      std::vector<std::string>& names = state.texts[prefix == "target:" ? "targets" : "descriptors"];
      names.resize(std::max(names.size(), place + 1));
      names[place] = key.substr(prefix.size());
      is_name = true;
    }
    if (!is_name) state.numbers[key] = std::move(numbers);
  }
  return state;
}

}  // namespace

std::string previous_checkpoint(const std::string& path) {
  const fs::path p(path);
  return (p.parent_path() / (p.stem().string() + ".prev" + p.extension().string())).string();
}

namespace {
template <class T>
void write_checkpoint(const std::string& path, const ParamStore<T>& store, View1<T> values, View1<T> buffers, const Optimizer<T>* optimizer,
                      const TrainState& state, const CheckpointInfo& info, bool keep_previous) {
  Hdf5Writer file(path);
  file.write_text("/Info/kind", kKind);
  file.write_scalar<std::int64_t>("/Info/format", kFormat);
  file.write_text("/Info/system", info.system);
  file.write_text("/Info/precision", info.precision);
  file.write_text("/Info/provenance", provenance_line());
  file.write_text("/Info/split_digest", info.split_digest);
  file.write_text("/config", info.resolved_yaml);
  for_each_member(state, [&](const char* name, const auto& value) { file.write_scalar("/state/" + std::string(name), value); });
  if (!state.part_sums.empty()) file.write<double>("/state/part_sums", state.part_sums);
  file.attribute("/Info", "seconds", info.seconds);  // no data set: equal runs have equal data sets
  write_data_state(file, info.data_state);
  write_tensors<T>(file, "/params", values, store.tensors());
  write_tensors<T>(file, "/buffers", buffers, store.buffer_tensors());
  if (optimizer != nullptr) {
    write_tensors<T>(file, "/optimizer/m", optimizer->first_moment(), store.tensors());
    if (optimizer->has_second_moment()) write_tensors<T>(file, "/optimizer/v", optimizer->second_moment(), store.tensors());
  }
  file.commit(keep_previous ? previous_checkpoint(path) : std::string(), [&](const std::string& written) {
    const CheckpointHeader back = read_checkpoint_header(written);
    if (back.state.step != state.step || back.state.epoch != state.epoch || back.info.data_state != info.data_state) {
      throw Error(Exit::data, fmt::format("{}: what was written does not read back; the checkpoint before it stands", path));
    }
  });
}
}  // namespace

template <class T>
void save_checkpoint(const std::string& path, const ParamStore<T>& store, const Optimizer<T>* optimizer, const TrainState& state,
                     const CheckpointInfo& info, bool keep_previous) {
  write_checkpoint<T>(path, store, store.values(), store.buffers(), optimizer, state, info, keep_previous);
}

template <class T>
void save_checkpoint(const std::string& path, const ParamStore<T>& store, const WeightSnapshot<T>& weights, const TrainState& state,
                     const CheckpointInfo& info) {
  write_checkpoint<T>(path, store, weights.values, weights.buffers, nullptr, state, info, true);
}

template <class T>
void WeightSnapshot<T>::take(const Exec& exec, const ParamStore<T>& store) {
  if (values.extent(0) != store.values().extent(0)) {
    values = View1<T>(Kokkos::view_alloc("gnn_hpc::WeightSnapshot::values", Kokkos::WithoutInitializing), store.values().extent(0));
    buffers = View1<T>(Kokkos::view_alloc("gnn_hpc::WeightSnapshot::buffers", Kokkos::WithoutInitializing), store.buffers().extent(0));
  }
  Kokkos::deep_copy(exec, values, store.values());
  Kokkos::deep_copy(exec, buffers, store.buffers());
  exec.fence("gnn_hpc::WeightSnapshot::take");
}

CheckpointHeader read_checkpoint_header(const std::string& path) {
  const Hdf5Reader file(path, SealCheck::required);
  if (!file.exists("/Info/kind") || file.read_text("/Info/kind") != kKind) {
    throw Error(Exit::data, path + ": not a checkpoint of this program");
  }
  const auto format = file.read_scalar<std::int64_t>("/Info/format");
  if (format != kFormat && format != 1) {
    throw Error(Exit::data, fmt::format("{}: checkpoint format {}, this program reads 1 and {}; use the program version it was written "
                                        "with or start anew (run.restart=never)",
                                        path, format, kFormat));
  }
  CheckpointHeader out;
  out.info.system = file.read_text("/Info/system");
  out.info.precision = file.read_text("/Info/precision");
  out.info.split_digest = file.read_text("/Info/split_digest");
  out.info.resolved_yaml = file.read_text("/config");
  for_each_member(out.state, [&](const char* name, auto& value) {
    const std::string dataset = "/state/" + std::string(name);
    const std::string_view member = name;
    const bool added_later = member == "evaluated_step" || member == "auxiliary_sum" || member.starts_with("phase");
    if (added_later && !file.exists(dataset)) return;  // files of earlier versions
    value = file.read_scalar<std::decay_t<decltype(value)>>(dataset);
  });
  if (file.exists("/state/part_sums")) out.state.part_sums = file.read<double>("/state/part_sums");
  out.info.data_state = format == 1 ? read_data_state_1(file) : read_data_state(file);
  if (file.has_attribute("/Info", "seconds")) out.info.seconds = file.attribute_number("/Info", "seconds");  // not in format 1
  return out;
}

template <class T>
void load_checkpoint(const std::string& path, ParamStore<T>& store, Optimizer<T>* optimizer) {
  const CheckpointHeader header = read_checkpoint_header(path);
  const Hdf5Reader file(path, SealCheck::none);  // the header's reader has verified every byte
  read_tensors<T>(file, "/params", store.values(), store.tensors());
  read_tensors<T>(file, "/buffers", store.buffers(), store.buffer_tensors());
  if (optimizer == nullptr) return;
  if (!file.exists("/optimizer/m") || file.exists("/optimizer/v") != optimizer->has_second_moment()) {
    throw Error(Exit::data, path + ": holds no state of this optimiser; continue from last.h5 with the optimiser it was made with");
  }
  read_tensors<T>(file, "/optimizer/m", optimizer->first_moment(), store.tensors());
  if (optimizer->has_second_moment()) read_tensors<T>(file, "/optimizer/v", optimizer->second_moment(), store.tensors());
  optimizer->set_counters(header.state.updates, header.state.skipped);
}

namespace {

/// A name beside the file that nothing has yet: damage found once more must not overwrite what was kept of the first.
fs::path damaged_name(const fs::path& path) {
  std::error_code ignored;
  for (int n = 1;; ++n) {
    const std::string number = n == 1 ? "" : fmt::format(".{}", n);
    fs::path aside = path.parent_path() / fmt::format("{}.damaged{}{}", path.stem().string(), number, path.extension().string());
    if (!fs::exists(fs::symlink_status(aside, ignored))) return aside;
  }
}

/// True if there is a file; throws where that cannot be said (no permission to search the folder, stale handle ...).
bool is_there(const std::string& path) {
  std::error_code trouble;
  const bool there = fs::exists(path, trouble);
  if (trouble) throw Error(Exit::data, fmt::format("{}: cannot be read ({}); the file stays as it is", path, trouble.message()));
  return there;
}

/// The root's part of `find_valid_checkpoint`.
std::string look_for_checkpoint(const std::string& path, std::vector<std::string>& warnings) {
  for (const std::string& candidate : {path, previous_checkpoint(path)}) {
    if (!is_there(candidate)) continue;
    try {
      read_checkpoint_header(candidate);
      if (candidate != path)
        warnings.push_back(fmt::format("{}using the previous checkpoint {}", warnings.empty() ? path + " is not there: " : "", candidate));
      return candidate;
    } catch (const DamagedFile& damage) {
      const fs::path aside = damaged_name(candidate);
      std::error_code trouble;
      fs::rename(candidate, aside, trouble);
      if (trouble) throw Error(Exit::data, fmt::format("damaged checkpoint: {}; it cannot be moved aside ({})", damage.what(), trouble.message()));
      warnings.push_back(fmt::format("damaged checkpoint: {} (moved to {})", damage.what(), aside.filename().string()));
    } catch (const Error& error) {
      throw Error(error.code(), fmt::format("{}; the file stays as it is, and nothing older is used unasked", error.what()));
    }
  }
  return {};
}

/// Runs `look` on the root; all ranks get the file and the warnings, or its Error.
std::string root_looks(const Comm& comm, std::vector<std::string>& warnings, const std::function<std::string()>& look) {
  std::string found, failure;
  if (comm.is_root()) {
    try {
      found = look();
    } catch (const Error& error) {
      failure = error.what();
    }
  }
  comm.broadcast(found);
  comm.broadcast(failure);
  comm.broadcast(warnings);
  if (!failure.empty()) throw Error(Exit::data, failure);
  return found;
}

}  // namespace

std::string find_valid_checkpoint(const std::string& path, const Comm& comm, std::vector<std::string>& warnings) {
  return root_looks(comm, warnings, [&] { return look_for_checkpoint(path, warnings); });
}

std::string find_best_checkpoint(const std::string& best, const TrainState& state, const Comm& comm, std::vector<std::string>& warnings) {
  return root_looks(comm, warnings, [&]() -> std::string {
    for (const std::string& candidate : {best, previous_checkpoint(best)}) {
      try {
        if (!is_there(candidate)) continue;
        const TrainState there = read_checkpoint_header(candidate).state;
        if (there.best_epoch == state.best_epoch && there.best_metric == state.best_metric) return candidate;
        warnings.push_back(fmt::format("{} holds the weights of epoch {} (validation {:.6g}), the best ones are those of epoch {} ({:.6g})",
                                       candidate, there.best_epoch, there.best_metric, state.best_epoch, state.best_metric));
      } catch (const Error& error) {
        warnings.emplace_back(error.what());
      }
    }
    if (warnings.empty()) warnings.push_back(best + " is not there");
    return {};
  });
}

template <class T>
std::uint64_t parameter_digest(const ParamStore<T>& store) {
  const auto host = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), store.values());
  return xxh3_64(host.data(), host.extent(0) * sizeof(T));
}

template <class T>
void require_equal_parameters(const ParamStore<T>& store, const Comm& comm) {
  if (comm.size() == 1) return;
  const auto digest = static_cast<std::int64_t>(parameter_digest(store) >> 1);
  const std::int64_t largest = comm.max(digest), smallest = -comm.max(-digest);
  if (largest != smallest) {
    throw Error(Exit::internal,
                "the parameters differ between ranks: a reduction gave different results on different ranks; set "
                "mpi.gpu_aware=off, and report this if it persists");
  }
}

template void save_checkpoint<float>(const std::string&, const ParamStore<float>&, const Optimizer<float>*, const TrainState&, const CheckpointInfo&,
                                     bool);
template void save_checkpoint<double>(const std::string&, const ParamStore<double>&, const Optimizer<double>*, const TrainState&,
                                      const CheckpointInfo&, bool);
template struct WeightSnapshot<float>;
template struct WeightSnapshot<double>;
template void save_checkpoint<float>(const std::string&, const ParamStore<float>&, const WeightSnapshot<float>&, const TrainState&,
                                     const CheckpointInfo&);
template void save_checkpoint<double>(const std::string&, const ParamStore<double>&, const WeightSnapshot<double>&, const TrainState&,
                                      const CheckpointInfo&);
template void load_checkpoint<float>(const std::string&, ParamStore<float>&, Optimizer<float>*);
template void load_checkpoint<double>(const std::string&, ParamStore<double>&, Optimizer<double>*);
template std::uint64_t parameter_digest<float>(const ParamStore<float>&);
template std::uint64_t parameter_digest<double>(const ParamStore<double>&);
template void require_equal_parameters<float>(const ParamStore<float>&, const Comm&);
template void require_equal_parameters<double>(const ParamStore<double>&, const Comm&);

}  // namespace gnn_hpc
