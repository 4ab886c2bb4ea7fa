// SPDX-License-Identifier: Apache-2.0
#pragma once

// The smallest system that there can be, a linear model on columns of numbers: what a new one has to write, and nothing else.
#include "base/error.hpp"
#include "dataset/prediction_input.hpp"
#include "dataset/split_policy.hpp"
#include "dataset/target_measures.hpp"
#include "io/csv.hpp"
#include "models/system.hpp"
#include "nn/linear.hpp"
#include "nn/target_losses.hpp"
#include "nn/traced_tensor.hpp"
#include "train/capabilities.hpp"

namespace gnn_hpc::toy {

struct DataOptions : SplitOptions {
  std::vector<std::string> paths, columns, targets;
  static DataOptions parse(Config node) {
    DataOptions o;
    node.paths("path", o.paths, "CSV files");
    node.list("columns", o.columns, "inputs");
    node.list("targets", o.targets, "columns to learn");
    o.parse_split(node, "rows", o.paths);
    node.done();
    return o;
  }
};

struct Batch final : HostBatch {
  std::vector<double> x, y;
};

template <class T>
class Task final : public gnn_hpc::Task<T>, public LabelledRecords {
 public:
  Task(DataOptions o, std::uint64_t seed)
      : o_(std::move(o)),
        slices_(o_.targets.size()),
        scaler_(LabelScaler::identity(slices_.size())),
        layer_(store_, "linear", static_cast<int>(o_.columns.size()), num_columns(slices_)) {
    store_.finalize(seed);
  }
  const std::string& name() const override { return name_; }
  ParamStore<T>& params() override { return store_; }
  bool open_data(const Comm&, DataUse use) override {
    x_.clear(), y_.clear(), bad_.clear(), records_.clear();
    for (const std::string& path : o_.paths) read(path);
    if (use == DataUse::prediction) return true;
    splits_ = random_parts(o_, num_samples(), {}, {}, true, true);
    scaler_ = LabelScaler::fit(y_, splits_.train, o_.targets);
    return true;
  }
  const Splits& splits() const override { return splits_; }
  std::string sample_id(std::int64_t s) const override { return fmt::format("row {}", s + 1); }
  std::vector<BadRecord> skipped() const override { return bad_; }
  DataState data_state() const override { return {{{"mean", scaler_.mean}, {"std", scaler_.std}}, {{"targets", o_.targets}}}; }
  void set_data_state(const DataState& state) override { scaler_ = {state.number("mean"), state.number("std")}; }
  std::vector<std::string> target_names() const override { return o_.targets; }
  std::vector<InputRecord> records() const override { return records_; }
  std::int64_t cost(std::int64_t) const override { return 1; }

  std::unique_ptr<HostBatch> new_batch() const override { return std::make_unique<Batch>(); }
  void collate(std::span<const std::int64_t> samples, HostBatch& any) const override {
    auto& batch = static_cast<Batch&>(any);
    batch.samples.assign(samples.begin(), samples.end());
    batch.x.clear(), batch.y.clear();
    for (const std::int64_t s : samples) {
      const auto x = row(x_, o_.columns.size(), s), y = row(y_, o_.targets.size(), s);
      batch.x.insert(batch.x.end(), x.begin(), x.end());
      for (std::size_t k = 0; k < y.size(); ++k) batch.y.push_back(scaler_.scale(y[k], k));
    }
    batch.loss_weight = static_cast<double>(batch.y.size());
  }
  BatchSize upload(const HostBatch& any, Step<T>& step) override {
    const auto& batch = static_cast<const Batch&>(any);
    const std::size_t rows = batch.samples.size();
    in_ = to_device<T>(step, batch.x, rows, o_.columns.size());
    wanted_ = to_device<double>(step, batch.y, rows, slices_.size());
    out_ = step.arena.template matrix<T>(rows, slices_.size());
    dout_ = step.arena.template matrix<T>(rows, slices_.size());
    return {static_cast<std::int64_t>(rows), static_cast<std::int64_t>(rows), 0};
  }
  void forward(Step<T>& step) override { layer_.forward(step, in_, out_); }
  View1<double> loss(Step<T>& step, double divisor) override { return target_loss<T>(step, slices_, out_, wanted_, divisor, dout_); }
  void backward(Step<T>& step) override { layer_.backward_parameters(step, in_, dout_); }
  void measure(const HostBatch& batch, Step<T>& step, Measures& m) override {
    step.exec.fence();
    measures().add(
        batch.samples, host_values(out_), [this](std::int64_t s) { return row(y_, o_.targets.size(), s); }, {}, m);
  }
  std::vector<std::pair<std::string, double>> metrics(const Measures& m) const override { return {{"mae", measures().mae(m, 0)}}; }

 private:
  std::int64_t num_samples() const { return static_cast<std::int64_t>(x_.size() / o_.columns.size()); }
  static std::span<const double> row(const std::vector<double>& table, std::size_t width, std::int64_t s) {
    return std::span(table).subspan(static_cast<std::size_t>(s) * width, width);
  }
  TargetMeasures measures() const { return {TargetKind::number, o_.targets.size(), 1, classes_, scaler_}; }
  void read(const std::string& path) {
    CsvReader file(path);
    CsvReader::Row fields;
    file.next(fields);
    const auto names = column_names(fields);
    while (file.next(fields)) {
      std::vector<double> values;
      for (const auto* list : {&o_.columns, &o_.targets}) {
        for (const std::string& name : *list) {
          const auto number = parse_number(fields.fields[need_column(names, name, path, "set data.columns, data.targets")]);
          if (number) values.push_back(*number);
        }
      }
      const bool good = values.size() == o_.columns.size() + o_.targets.size();
      records_.push_back({fmt::format("line {}", fields.line), good ? num_samples() : -1});
      if (!good) bad_.push_back({records_.back().id, path, fields.line, "not a number"});
      const auto middle = values.begin() + static_cast<std::ptrdiff_t>(good ? o_.columns.size() : 0);
      if (good) x_.insert(x_.end(), values.begin(), middle), y_.insert(y_.end(), middle, values.end());
    }
  }
  template <class U>
  static View2<U> to_device(Step<T>& step, const std::vector<double>& values, std::size_t rows, std::size_t width) {
    const auto out = step.arena.template matrix<U>(rows, width);
    const auto host = Kokkos::create_mirror_view(out);
    for (std::size_t i = 0; i < values.size(); ++i) host.data()[i] = static_cast<U>(values[i]);
    Kokkos::deep_copy(out, host);
    return out;
  }

  std::string name_ = "toy";
  DataOptions o_;
  std::vector<TargetSlice> slices_;
  LabelScaler scaler_;
  std::vector<std::vector<std::string>> classes_;
  std::vector<double> x_, y_;
  std::vector<InputRecord> records_;
  std::vector<BadRecord> bad_;
  Splits splits_;
  ParamStore<T> store_;
  Linear<T> layer_;
  View2<T> in_, out_, dout_;
  View2<double> wanted_;
};

}  // namespace gnn_hpc::toy
