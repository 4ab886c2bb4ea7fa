// SPDX-License-Identifier: Apache-2.0
#include "train/checkpoint.hpp"

#include "base/error.hpp"
#include "base/provenance.hpp"
#include "base/text.hpp"
#include "io/checksum.hpp"
#include "io/hdf5.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <span>
#include <system_error>
#include <type_traits>

namespace gnn_hpc {

namespace fs = std::filesystem;

namespace {

constexpr const char* kKind = "gnn_hpc checkpoint";
constexpr std::int64_t kFormat = 1;

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
  visit("updates", s.updates);
  visit("skipped", s.skipped);
  visit("jsonl_bytes", s.jsonl_bytes);
  visit("csv_bytes", s.csv_bytes);
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
      throw Error(Exit::data, fmt::format("{}: {}: no tensor \"{}\"; the file belongs to another model or other model options",
                                          file.path(), what, t.name));
    }
    if (file.shape(name) != file_shape(t)) {
      throw Error(Exit::data, fmt::format("{}: {}: \"{}\" has shape [{}], the model needs [{}]; check the model options", file.path(),
                                          what, t.name, fmt::join(file.shape(name), ", "), fmt::join(t.shape, ", ")));
    }
    file.read<T>(name, std::span<T>(host.data() + t.offset, t.size));
  }
  if (file.list(group).size() > tensors.size()) {
    for (const std::string& name : file.list(group)) {
      const bool known = std::any_of(tensors.begin(), tensors.end(), [&](const TensorInfo& t) { return t.name == name; });
      if (!known) {
        throw Error(Exit::data, fmt::format("{}: {}: \"{}\" is not a tensor of this model; check the model options", file.path(), what,
                                            name));
      }
    }
  }
  Kokkos::deep_copy(flat, host);
}

/// The file under `path` also gets the name of the previous one; at no moment is `path` absent where links are supported.
void keep_as_previous(const std::string& path) {
  if (!fs::exists(path)) return;
  const std::string previous = previous_checkpoint(path), link = previous + ".tmp";
  std::error_code error;
  fs::remove(link, error);
  fs::create_hard_link(path, link, error);
  if (error) fs::rename(path, link, error);
  if (!error) fs::rename(link, previous, error);
  if (error) throw Error(Exit::data, fmt::format("{}: cannot keep the previous checkpoint as {} ({})", path, previous, error.message()));
}

}  // namespace

std::string previous_checkpoint(const std::string& path) {
  const fs::path p(path);
  return (p.parent_path() / (p.stem().string() + ".prev" + p.extension().string())).string();
}

namespace {
template <class T>
void write_checkpoint(const std::string& path, const ParamStore<T>& store, View1<T> values, View1<T> buffers,
                      const Optimizer<T>* optimizer, const TrainState& state, const CheckpointInfo& info, bool keep_previous) {
  Hdf5Writer file(path);
  file.write_text("/Info/kind", kKind);
  file.write_scalar<std::int64_t>("/Info/format", kFormat);
  file.write_text("/Info/system", info.system);
  file.write_text("/Info/precision", info.precision);
  file.write_text("/Info/provenance", provenance_line());
  file.write_text("/Info/split_digest", info.split_digest);
  file.write_text("/config", info.resolved_yaml);
  for_each_member(state, [&](const char* name, const auto& value) { file.write_scalar("/state/" + std::string(name), value); });
  file.group("/data_state");
  for (const auto& [name, numbers] : info.data_state) file.write<double>("/data_state/" + name, numbers);
  write_tensors<T>(file, "/params", values, store.tensors());
  write_tensors<T>(file, "/buffers", buffers, store.buffer_tensors());
  if (optimizer != nullptr) {
    write_tensors<T>(file, "/optimizer/m", optimizer->first_moment(), store.tensors());
    if (optimizer->has_second_moment()) write_tensors<T>(file, "/optimizer/v", optimizer->second_moment(), store.tensors());
  }
  if (keep_previous) keep_as_previous(path);
  file.commit();
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
  if (format != kFormat) {
    throw Error(Exit::data, fmt::format("{}: checkpoint format {}, this program reads {}; use the program version it was written "
                                        "with or start anew (run.restart=never)", path, format, kFormat));
  }
  CheckpointHeader out;
  out.info.system = file.read_text("/Info/system");
  out.info.precision = file.read_text("/Info/precision");
  out.info.split_digest = file.read_text("/Info/split_digest");
  out.info.resolved_yaml = file.read_text("/config");
  for_each_member(out.state, [&](const char* name, auto& value) {
    const std::string dataset = "/state/" + std::string(name);
    if (std::string_view(name) == "evaluated_step" && !file.exists(dataset)) return;  // files of earlier versions
    value = file.read_scalar<std::decay_t<decltype(value)>>(dataset);
  });
  for (const std::string& name : file.list("/data_state")) out.info.data_state[name] = file.read<double>("/data_state/" + name);
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

/// The root's part of `find_valid_checkpoint`. `failure` is set where nothing valid is left.
std::string look_for_checkpoint(const std::string& path, std::vector<std::string>& warnings, std::string& failure) {
  bool any = false;
  for (const std::string& candidate : {path, previous_checkpoint(path)}) {
    if (!fs::exists(candidate)) continue;
    any = true;
    try {
      read_checkpoint_header(candidate);
      if (candidate != path && !warnings.empty()) warnings.push_back("using the previous checkpoint " + candidate);
      return candidate;
    } catch (const Error& error) {
      const fs::path p(candidate);
      const fs::path aside = p.parent_path() / (p.stem().string() + ".damaged" + p.extension().string());
      std::error_code ignored;
      fs::rename(p, aside, ignored);
      warnings.push_back(fmt::format("damaged checkpoint: {} (moved to {})", error.what(), aside.filename().string()));
    }
  }
  if (any) {
    failure = fmt::format("{}\nno valid checkpoint is left; start anew with run.restart=never", fmt::join(warnings, "\n"));
  }
  return {};
}

}  // namespace

std::string find_valid_checkpoint(const std::string& path, const Comm& comm, std::vector<std::string>& warnings) {
  std::string found, failure, text;
  if (comm.is_root()) {
    found = look_for_checkpoint(path, warnings, failure);
    text = join(warnings, "\n");
  }
  comm.broadcast(found);
  comm.broadcast(failure);
  comm.broadcast(text);
  if (!failure.empty()) throw Error(Exit::data, failure);
  warnings.clear();
  if (!text.empty()) warnings = split(text, '\n');
  return found;
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
    throw Error(Exit::internal, "the parameters differ between ranks: a reduction gave different results on different ranks; set "
                                "mpi.gpu_aware=off, and report this if it persists");
  }
}

template void save_checkpoint<float>(const std::string&, const ParamStore<float>&, const Optimizer<float>*, const TrainState&,
                                     const CheckpointInfo&, bool);
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
