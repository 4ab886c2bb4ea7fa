// SPDX-License-Identifier: Apache-2.0
#include "train/checkpoint.hpp"

#include "base/error.hpp"
#include "io/hdf5.hpp"
#include "support/paths.hpp"
#include "train/fake_task.hpp"
#include "train/restart.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

namespace gnn_hpc {
namespace {

namespace fs = std::filesystem;

TrainState some_state() {
  TrainState s;
  s.epoch = 3;
  s.step_in_epoch = 4;
  s.step = 31;
  s.best_metric = 0.125;
  s.best_epoch = 2;
  s.epochs_since_best = 1;
  s.loss_sum = 1.5;
  s.loss_weight = 64.0;
  s.updates = 30.0;
  s.skipped = 1.0;
  s.jsonl_bytes = 1234;
  return s;
}

CheckpointInfo some_info() {
  return {"fake", "double", "train:\n  epochs: 5\n", "abc", {{{"mean", {1.5, 2.5}}, {"std", {3.0}}}, {{"targets", {"E (eV/atom)", "", "\"a\nb\""}}}}};
}

void fill(View1<double> v, double first) {
  const auto host = Kokkos::create_mirror_view(v);
  for (std::size_t i = 0; i < host.extent(0); ++i) host(i) = first + static_cast<double>(i) / 7.0;
  Kokkos::deep_copy(v, host);
}

void flip_byte(const fs::path& path, std::streamoff at) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(at);
  char ch = 0;
  file.get(ch);
  file.seekp(at);
  file.put(static_cast<char>(ch ^ 0x10));
}

TEST(Checkpoint, ComesBackBitByBit) {
  const test::TemporaryFolder folder;
  const std::string path = folder / "last.h5";
  test::FakeTask<double> a;
  Optimizer<double> optimizer(a.params(), TrainOptions{});
  fill(optimizer.first_moment(), 0.5);
  fill(optimizer.second_moment(), 1.5);
  fill(a.params().buffers(), 2.5);
  save_checkpoint<double>(path, a.params(), &optimizer, some_state(), some_info());

  test::FakeTask<double> b({.seed = 7});
  Optimizer<double> other(b.params(), TrainOptions{});
  EXPECT_NE(parameter_digest(a.params()), parameter_digest(b.params()));
  load_checkpoint(path, b.params(), &other);
  EXPECT_EQ(parameter_digest(a.params()), parameter_digest(b.params()));
  const Hdf5Reader file(path);
  for (const TensorInfo& t : a.params().tensors()) {
    EXPECT_EQ(file.shape("/params/" + t.name), Shape(t.shape.begin(), t.shape.end()));
    const auto m = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), optimizer.first_moment());
    const auto m_back = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), other.first_moment());
    for (std::size_t i = 0; i < t.size; ++i) EXPECT_EQ(m(t.offset + i), m_back(t.offset + i));
  }
  for (const TensorInfo& t : a.params().buffer_tensors()) EXPECT_EQ(a.params().get_buffer(t), b.params().get_buffer(t));

  const CheckpointHeader header = read_checkpoint_header(path);
  EXPECT_EQ(header.state.step, 31);
  EXPECT_EQ(header.state.best_metric, 0.125);
  EXPECT_EQ(header.state.jsonl_bytes, 1234);
  EXPECT_EQ(header.info.system, "fake");
  EXPECT_EQ(header.info.resolved_yaml, some_info().resolved_yaml);
  EXPECT_EQ(header.info.data_state, some_info().data_state);
}

TEST(Checkpoint, ANewerPrecisionReadsTheOther) {
  const test::TemporaryFolder folder;
  const std::string path = folder / "best.h5";
  test::FakeTask<float> a;
  save_checkpoint<float>(path, a.params(), nullptr, some_state(), some_info());
  test::FakeTask<double> b({.seed = 7});
  load_checkpoint<double>(path, b.params(), nullptr);
  for (const TensorInfo& t : a.params().tensors()) EXPECT_EQ(a.params().get(t), b.params().get(t));
  Optimizer<double> optimizer(b.params(), TrainOptions{});
  EXPECT_THROW(load_checkpoint<double>(path, b.params(), &optimizer), Error);
}

TEST(Checkpoint, AnotherModelIsNamed) {
  const test::TemporaryFolder folder;
  const std::string path = folder / "last.h5";
  test::FakeTask<double> a;
  save_checkpoint<double>(path, a.params(), nullptr, some_state(), some_info());
  const auto message = [&](auto... tensors) {
    ParamStore<double> store;
    (store.add(tensors.first, tensors.second, Init::constant(0.0)), ...);
    store.finalize(1);
    try {
      load_checkpoint<double>(path, store, nullptr);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Exit::data);
      return std::string(error.what());
    }
    return std::string("no error");
  };
  using Shaped = std::pair<std::string, std::vector<std::size_t>>;
  EXPECT_NE(message(Shaped{"fc.weight", {2}}).find("no tensor \"fc.weight\""), std::string::npos);
  EXPECT_NE(message(Shaped{"layer.weight", {1, 6}}).find("has shape [1, 5], the model needs [1, 6]"), std::string::npos);
  EXPECT_NE(message(Shaped{"layer.weight", {1, 5}}).find("is not a tensor of this model"), std::string::npos);
}

TEST(Checkpoint, DamageIsFoundAndThePreviousUsed) {
  test::FakeTask<double> a;
  const test::TemporaryFolder folder;
  const std::string path = folder / "last.h5";
  TrainState state = some_state();
  save_checkpoint<double>(path, a.params(), nullptr, state, some_info());
  const auto size = static_cast<std::streamoff>(fs::file_size(path));
  for (int round = 0; round < 40; ++round) {  // 32 flipped bits all over the file, then 8 truncations
    fs::remove_all(folder.path());
    fs::create_directories(folder.path());
    state.step = 1;
    save_checkpoint<double>(path, a.params(), nullptr, state, some_info());
    state.step = 2;
    save_checkpoint<double>(path, a.params(), nullptr, state, some_info());
    if (round < 32)
      flip_byte(path, size * round / 32 + round % 5);
    else
      fs::resize_file(path, static_cast<std::uintmax_t>(size * (round - 32) / 8));
    EXPECT_THROW(read_checkpoint_header(path), Error) << round;
    std::vector<std::string> warnings;
    const std::string found = find_valid_checkpoint(path, Comm::self(), warnings);
    ASSERT_EQ(found, previous_checkpoint(path)) << round;
    EXPECT_EQ(read_checkpoint_header(found).state.step, 1);
    ASSERT_EQ(warnings.size(), 2u) << round;
    EXPECT_NE(warnings[0].find("last.h5"), std::string::npos);
    EXPECT_FALSE(fs::exists(path));  // set aside: the next save must not make it the previous one
    EXPECT_TRUE(fs::exists(folder / "last.damaged.h5"));
  }
}

TEST(Checkpoint, DamageIsSetAsideUnderANameOfItsOwn) {
  const test::TemporaryFolder folder;
  const std::string path = folder / "last.h5";
  std::vector<std::string> warnings;
  EXPECT_EQ(find_valid_checkpoint(path, Comm::self(), warnings), "");
  EXPECT_TRUE(warnings.empty());
  for (const char* name : {"last.damaged.h5", "last.damaged.2.h5", "last.damaged.3.h5"}) {
    std::ofstream(path) << name;
    warnings.clear();
    EXPECT_EQ(find_valid_checkpoint(path, Comm::self(), warnings), "");
    ASSERT_EQ(warnings.size(), 1u);
    std::ifstream kept(folder / name);
    std::string text;
    kept >> text;
    EXPECT_EQ(text, name);
  }
}

/// A sealed file that says it is a checkpoint of this format; `fill` writes the rest.
template <class Fill>
void write_as_checkpoint(const std::string& path, std::int64_t format, Fill fill) {
  Hdf5Writer file(path);
  file.write_text("/Info/kind", "gnn_hpc checkpoint");
  file.write_scalar<std::int64_t>("/Info/format", format);
  fill(file);
  file.commit();
}

TEST(Checkpoint, OnlyAFailedSealIsDamage) {
  const test::TemporaryFolder folder;
  const std::string path = folder / "last.h5";
  test::FakeTask<double> a;
  save_checkpoint<double>(previous_checkpoint(path), a.params(), nullptr, some_state(), some_info());
  const auto failure = [&] {
    std::vector<std::string> warnings;
    try {
      find_valid_checkpoint(path, Comm::self(), warnings);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Exit::data);
      return std::string(error.what());
    }
    return std::string("no error");
  };
  write_as_checkpoint(path, 99, [](Hdf5Writer&) {});
  EXPECT_NE(failure().find("checkpoint format 99, this program reads 1 and 2"), std::string::npos) << failure();
  EXPECT_TRUE(fs::exists(path)) << "a file of another version stays";

  fs::remove(path);
  fs::create_symlink(path, path);  // "too many levels": root may read a file without permission, but not this
  EXPECT_NE(failure().find("cannot be read"), std::string::npos) << failure();
  EXPECT_TRUE(fs::is_symlink(path)) << "what cannot be read stays";

  fs::remove(path);
  fs::create_directory(path);
  EXPECT_NE(failure(), "no error");
  EXPECT_TRUE(fs::is_directory(path));
  EXPECT_FALSE(fs::exists(folder / "last.damaged.h5"));
}

TEST(Checkpoint, NamesFromDataAreTextNotPaths) {
  const test::TemporaryFolder folder;
  const std::string path = folder / "last.h5";
  test::FakeTask<double> a;
  CheckpointInfo info = some_info();
  info.data_state.texts["targets"] = {"E (eV/atom)", "/", "..", "a//b", ".", "\n`$(x)`\"',{}", std::string(300, 'x'), "\xC3\xA9"};
  info.data_state.texts["descriptors"] = {};
  save_checkpoint<double>(path, a.params(), nullptr, some_state(), info);
  EXPECT_EQ(read_checkpoint_header(path).info.data_state, info.data_state);
}

TEST(Checkpoint, FormatOneIsRead) {
  const test::TemporaryFolder folder;
  const std::string path = folder / "last.h5";
  write_as_checkpoint(path, 1, [](Hdf5Writer& file) {
    for (const char* name : {"/Info/system", "/Info/precision", "/Info/split_digest", "/config"}) file.write_text(name, "x");
    for (const char* name : {"epoch", "step_in_epoch", "step", "best_epoch", "epochs_since_best", "bad_in_a_row", "jsonl_bytes", "csv_bytes"}) {
      file.write_scalar<std::int64_t>(std::string("/state/") + name, 3);
    }
    for (const char* name : {"best_metric", "loss_sum", "loss_weight", "updates", "skipped"})
      file.write_scalar<double>(std::string("/state/") + name, 0.5);
    file.write<double>("/data_state/label_mean", {1.0, 2.0});
    file.write<double>("/data_state/target:E (eV/atom)", {1.0});  // its `/` made a group
    file.write<double>("/data_state/target:gap", {0.0});
    file.write<double>("/data_state/descriptor:x", {0.0});
    file.write<double>("/data_state/num_classes", {1.0});
  });
  const DataState state = read_checkpoint_header(path).info.data_state;
  EXPECT_EQ(state.text("targets"), (std::vector<std::string>{"gap", "E (eV/atom)"}));
  EXPECT_EQ(state.text("descriptors"), std::vector<std::string>{"x"});
  EXPECT_EQ(state.number("label_mean"), (std::vector<double>{1.0, 2.0}));
  EXPECT_EQ(state.number("num_classes"), std::vector<double>{1.0});
  EXPECT_EQ(state.numbers.size(), 2u);
}

TEST(Checkpoint, LastAndPreviousAreNeverOneFile) {
  const test::TemporaryFolder folder;
  const std::string path = folder / "last.h5", previous = previous_checkpoint(path);
  test::FakeTask<double> a;
  TrainState state = some_state();
  for (state.step = 1; state.step <= 3; ++state.step) save_checkpoint<double>(path, a.params(), nullptr, state, some_info());
  const auto steps = [&] { return std::pair(read_checkpoint_header(path).state.step, read_checkpoint_header(previous).state.step); };
  EXPECT_FALSE(fs::equivalent(path, previous));
  EXPECT_EQ(steps(), (std::pair<std::int64_t, std::int64_t>{3, 2}));
  // What fails its check replaces nothing.
  {
    Hdf5Writer file(path);
    file.write_text("/Info/kind", "half a checkpoint");
    EXPECT_THROW(file.commit(previous, [](const std::string& written) { read_checkpoint_header(written); }), Error);
  }
  EXPECT_FALSE(fs::equivalent(path, previous));
  EXPECT_EQ(steps(), (std::pair<std::int64_t, std::int64_t>{3, 2}));
  EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()), 2) << "no temporary file is left";
  fs::remove(path);  // nothing to keep, and nothing lost
  save_checkpoint<double>(path, a.params(), nullptr, some_state(), some_info());
  EXPECT_EQ(steps(), (std::pair<std::int64_t, std::int64_t>{31, 2}));
}

TEST(Checkpoint, TheBestFileIsTheOneWhoseHeaderSaysSo) {
  const test::TemporaryFolder folder;
  const std::string best = folder / "best.h5";
  test::FakeTask<double> a;
  TrainState state = some_state();
  const auto found = [&] {
    std::vector<std::string> warnings;
    const std::string file = find_best_checkpoint(best, state, Comm::self(), warnings);
    EXPECT_TRUE(!file.empty() || !warnings.empty()) << "it is said why";
    return file;
  };
  EXPECT_EQ(found(), "");
  state.best_epoch = 2;
  save_checkpoint<double>(best, a.params(), nullptr, state, some_info());
  EXPECT_EQ(found(), best);
  state.best_epoch = 8;
  EXPECT_EQ(found(), "") << "the file holds epoch 2";
  save_checkpoint<double>(best, a.params(), nullptr, state, some_info());
  EXPECT_EQ(found(), best);
  state.best_epoch = 2;
  EXPECT_EQ(found(), previous_checkpoint(best)) << "a run that was killed before it noted epoch 8";
  state.best_metric = 0.5;
  EXPECT_EQ(found(), "");
  state = some_state();
  state.best_epoch = 8;
  flip_byte(best, 2000);
  EXPECT_EQ(found(), "");
  EXPECT_TRUE(fs::exists(best));
}

TEST(Restart, NamesWhatChangesTheRun) {
  const std::string before =
      "system: comformer\nrun:\n  dir: a\n  seed: 1\ntrain:\n  epochs: 5\n  learning_rate: 0.001\n  checkpoint_every: 0\n"
      "model:\n  node_features: 16\n";
  const std::string after =
      "system: comformer\nrun:\n  dir: b\n  seed: 2\ntrain:\n  epochs: 5\n  learning_rate: 0.01\n  checkpoint_every: 7\n"
      "model:\n  node_features: 16\n  heads: 2\n";
  EXPECT_EQ(changed_options(before, before), std::vector<std::string>{});
  auto lines = changed_options(before, after);
  std::sort(lines.begin(), lines.end());
  EXPECT_EQ(lines, (std::vector<std::string>{"model.heads: was not set, is 2", "run.seed: was 1, is 2", "train.learning_rate: was 0.001, is 0.01"}));

  CheckpointInfo old_run = some_info(), new_run = some_info();
  EXPECT_TRUE(check_continuation("x", old_run, new_run, false).empty());
  new_run.data_state.numbers["mean"] = {1.5, 2.75};
  EXPECT_EQ(check_continuation("x", old_run, new_run, true).size(), 1u);
  EXPECT_THROW(check_continuation("x", old_run, new_run, false), Error);
  new_run.precision = "float";
  EXPECT_THROW(check_continuation("x", old_run, new_run, true), Error);
}

}  // namespace
}  // namespace gnn_hpc
