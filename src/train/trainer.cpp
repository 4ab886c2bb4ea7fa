// SPDX-License-Identifier: Apache-2.0
#include "train/trainer.hpp"

#include "base/log.hpp"
#include "base/signals.hpp"
#include "base/text.hpp"
#include "train/average_buffers.hpp"
#include "train/batch_check.hpp"
#include "train/batch_feed.hpp"
#include "train/beginning.hpp"
#include "train/capabilities.hpp"
#include "train/final_weights.hpp"
#include "train/item_tables.hpp"
#include "train/metrics_log.hpp"
#include "train/prediction_table.hpp"
#include "train/repeated_inputs.hpp"
#include "train/run_folder.hpp"
#include "train/step_speed.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <limits>
#include <optional>
#include <type_traits>
#include <utility>

namespace gnn_hpc {

namespace {

using Clock = std::chrono::steady_clock;
/// `epochs_since_best` of a run that stopped because its validation loss was no number.
constexpr std::int64_t kGivenUp = std::numeric_limits<std::int64_t>::max();

/// The first run of a process counts from the start of the process; the next points of a sweep from theirs.
Clock::time_point begin_of_run() {
  static bool first = true;
  const auto running = std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds_running()));
  return std::exchange(first, false) ? Clock::now() - running : Clock::now();
}

double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

/// The ids of the first samples, and how many more there are.
template <class T>
std::string named_samples(const Task<T>& task, std::span<const std::int64_t> samples) {
  constexpr std::size_t kNamed = 8;
  std::string ids;
  for (std::size_t i = 0; i < std::min(samples.size(), kNamed); ++i) ids += (i > 0 ? ", " : "") + printable_name(task.sample_id(samples[i]));
  if (samples.size() > kNamed) ids += fmt::format(" and {} more", samples.size() - kNamed);
  return ids;
}

template <class T>
class Trainer {
 public:
  Trainer(Task<T>& task, const RunOptions& run, const std::vector<Phase>& phases, const Comm& comm, const std::string& resolved_yaml,
          const TrainHooks& hooks)
      : task_(task),
        run_(run),
        phases_(phases),
        options_(phases.front().options),
        comm_(comm),
        resolved_yaml_(resolved_yaml),
        hooks_(hooks),
        folder_(run.dir, comm),
        runner_(task, comm, static_cast<std::uint64_t>(run.seed)) {
    options_.epochs = 0;
    for (const Phase& phase : phases) options_.epochs += phase.options.epochs;
  }

  TrainResult run() {
    open_data();
    say_what_is_trained();
    start_or_continue();
    do {
      if (!begin_phase()) return stop_with_checkpoint();
      while (phase_epoch() < phase().options.epochs && !out_of_patience()) {
        if (!run_steps() || !finish_epoch()) return stop_with_checkpoint();
      }
    } while (next_phase());
    return finish();
  }

 private:
  /// True if the task has quantities to list by sample. One without (a language model) needs no test part, its training set is not run once
  /// more at the end, and the final table shows the metrics.
  bool predicts() const { return offered<LabelledRecords>(task_) != nullptr; }

  // --- beginning -----------------------------------------------------------------------------------------------------

  void open_data() {
    task_.open_data(comm_, DataUse::training);
    const Splits& splits = task_.splits();
    for (const auto& [name, part] : {std::pair{"training", &splits.train}, {"validation", &splits.validation}, {"test", &splits.test}}) {
      if (part->empty() && (part != &splits.test || predicts())) {
        throw Error(Exit::data, fmt::format("the {} part has no samples ({} training, {} validation, {} test); use more data or other "
                                            "split ratios",
                                            name, splits.train.size(), splits.validation.size(), splits.test.size()));
      }
    }
    check_batches(task_, options_);
    check_freezes();
    steps_per_epoch_ = BatchPlan::count_training(static_cast<std::int64_t>(splits.train.size()), options_.batches());
    info_ = {task_.name(), std::is_same_v<T, float> ? "float" : "double", resolved_yaml_, split_digest(task_), task_.data_state()};
  }

  /// One line before any work is done: who left a choice to its default sees here what was chosen.
  void say_what_is_trained() {
    const auto count = [](std::size_t n) { return format_count(static_cast<long long>(n)); };
    const Splits& s = task_.splits();
    std::string text = fmt::format("training {}: ", task_.name());
    if (const auto* description = offered<Description>(task_); description != nullptr && !description->variant().empty()) {
      text += description->variant() + "; ";
    }
    if (predicts()) text += fmt::format("{} target(s), ", labelled_records(task_).target_names().size());
    text += fmt::format("{} parameters in {}; ", count(task_.params().num_parameters()), info_.precision);
    text += fmt::format("at most {} epoch(s) of {} step(s) of {} samples; ", options_.epochs, format_count(steps_per_epoch_), options_.batch_size);
    log_info("{}{} training, {} validation, {} test samples", text, count(s.train.size()), count(s.validation.size()), count(s.test.size()));
    on_root(comm_, [&] { repeated_ = repeated_inputs(task_); });
    if (!repeated_ || !repeated_->any()) return;
    if (repeated_->many()) {
      log_warning(
          "{}: the scores of these parts are for inputs already seen. To judge new ones, keep equal inputs in one part (data.group_by: input)",
          repeated_->text());
    } else {
      log_info("{}", repeated_->text());
    }
  }

  BatchPlan plan_of(std::int64_t epoch) const {
    return BatchPlan::training(task_.splits().train, options_.batches(), static_cast<std::uint64_t>(run_.seed), epoch);
  }

  void start_or_continue() {
    const Beginning from = find_beginning(folder_, run_, info_, comm_);
    state_.phase = first_phase(0);
    if (!from.checkpoint.empty()) {
      state_ = from.header.state;
      if (state_.phase >= static_cast<std::int64_t>(phases_.size()))
        state_.phase = static_cast<std::int64_t>(phases_.size()) - 1;  // fewer were allowed
      set_up_phase();
      load_checkpoint(from.checkpoint, task_.params(), &*optimizer_);
      state_.step_in_epoch = std::min(state_.step_in_epoch, steps_per_epoch_);  // another batch size was allowed
      saved_ = state_;
      earlier_seconds_ = from.header.info.seconds;
      log_info("continuing from {}: {}epoch {}, step {}", from.checkpoint, phase_text(), state_.epoch + 1, state_.step);
    } else {
      set_up_phase();
    }
    log_.emplace(folder_, comm_.is_root(), state_);
    on_root(comm_, [&] {
      folder_.write("resolved.yaml", resolved_yaml_);
      folder_.write("ids_train_val_test.json", splits_json(task_));
      folder_.write("skipped.csv", skipped_csv(task_.skipped()));
    });
    if (from.checkpoint.empty()) save_last();  // metrics never stand there without a checkpoint: see find_beginning
  }

  // --- phases --------------------------------------------------------------------------------------------------------

  const Phase& phase() const { return phases_[static_cast<std::size_t>(state_.phase)]; }
  std::int64_t phase_epoch() const { return state_.epoch - state_.phase_first_epoch; }
  /// "phase joint, ", or nothing.
  std::string phase_text() const { return phase().name.empty() ? std::string() : fmt::format("phase {}, ", phase().name); }

  /// The first phase from `from` on that has an epoch; the last one if none has.
  std::int64_t first_phase(std::int64_t from) const {
    const auto last = static_cast<std::int64_t>(phases_.size()) - 1;
    while (from < last && phases_[static_cast<std::size_t>(from)].options.epochs == 0) ++from;
    return from;
  }

  /// A typing error in `freeze` would train everything.
  void check_freezes() const {
    const auto& tensors = task_.params().tensors();
    for (const Phase& p : phases_) {
      for (const std::string& part : p.freeze) {
        const bool known =
            part == "all" || std::any_of(tensors.begin(), tensors.end(), [&](const TensorInfo& t) { return t.name.find(part) != std::string::npos; });
        if (!known || part.empty()) {
          throw Error(Exit::usage,
                      fmt::format("phase {}: freeze: no parameter's name contains '{}'; gnn_hpc train --dry-run lists them", p.name, part));
        }
      }
    }
  }

  /// Optimiser and schedule of the present phase, which a checkpoint may then be read into.
  void set_up_phase() {
    schedule_.emplace(phase().options, steps_per_epoch_);
    optimizer_.emplace(task_.params(), phase().options);  // a model may take its shape from the data
    std::vector<std::string> frozen = phase().freeze;
    for (const TensorInfo& t : task_.params().tensors()) {
      if (phase().freezes_all()) frozen.push_back(t.name);
    }
    optimizer_->freeze(frozen);
    runner_.set_learning(!phase().freezes_all());
  }

  /// What the task does before the first step, or again after a restart. False: stopped, and nothing is remembered of it.
  bool begin_phase() {
    const bool resumed = state_.phase_begun != 0;
    if (!phase().name.empty() && !resumed)
      log_info("phase {}: {} epoch(s), learning rate {:.3g}", phase().name, phase().options.epochs, phase().options.learning_rate);
    place_steps();
    const RandomKey key = RandomKey{static_cast<std::uint64_t>(run_.seed), fnv1a64("phase")}.fold(static_cast<std::uint64_t>(state_.phase));
    const PhaseStart<T> start{phase(), state_.phase, resumed,
                              comm_,   key,          [this](std::int64_t count, const auto& use) { return each_batch(count, use); }};
    if (!task_.begin_phase(start)) return false;
    if (!resumed) {
      state_.phase_begun = 1;
      if (!phase().name.empty()) save_last();
    }
    return true;
  }

  bool each_batch(std::int64_t count, const std::function<void(const HostBatch&, Step<T>&)>& use) {
    const BatchPlan plan = plan_of(state_.epoch);
    const auto batch = task_.new_batch();
    for (std::int64_t b = 0; b < std::min(count, plan.num_batches()); ++b) {
      if (comm_.max(static_cast<std::int64_t>(stop_wanted())) != 0) return false;
      collate_share(task_, comm_, plan, b, *batch);
      runner_.run_forward(*batch, use);
    }
    return true;
  }

  /// True if another phase follows: its optimiser, schedule and best weights start anew. Without an end of its own a crash here repeats the
  /// step from the checkpoint that closed the phase before.
  bool next_phase() {
    const std::int64_t next = first_phase(state_.phase + 1 < static_cast<std::int64_t>(phases_.size()) ? state_.phase + 1 : state_.phase);
    if (next == state_.phase || phases_[static_cast<std::size_t>(next)].options.epochs == 0 || state_.epochs_since_best == kGivenUp) return false;
    on_root(comm_, [&] { folder_.keep_phase(phase().name, state_); });
    if (phases_[static_cast<std::size_t>(next)].start_from == "best") load_final_weights(task_.params(), true, folder_.best(), state_, comm_);
    state_.phase = next;
    state_.phase_begun = 0;
    state_.phase_first_epoch = state_.epoch;
    state_.phase_first_step = state_.step;
    state_.best_metric = std::numeric_limits<double>::quiet_NaN();
    state_.best_epoch = state_.epochs_since_best = 0;
    state_.updates = 0.0;  // of the new optimiser; what was skipped is counted over the run
    set_up_phase();
    optimizer_->set_counters(state_.updates, state_.skipped);
    warm_ = false;
    return true;
  }

  void place_steps() { runner_.set_position(state_.phase, state_.epoch, phase_epoch()); }

  // --- steps ---------------------------------------------------------------------------------------------------------

  /// This rank's own wish, with its cause: what the message says, whoever else is stopped by it.
  bool stop_wanted() {
    if (!stop_cause_.empty()) return true;
    if (hooks_.stop && hooks_.stop(state_))
      stop_cause_ = "asked to stop";
    else if (gnn_hpc::stop_wanted(1.5 * checkpoint_seconds_ + longest_step_)) {
      const std::string reason = stop_reason_name(stop_reason());
      stop_cause_ = reason.empty() ? "run.walltime" : reason;  // near the limit, not over it: what is still needed counts
    }
    return !stop_cause_.empty();
  }
  /// Collective.
  std::string cause_of_stop() const { return stop_text(comm_.gather(stop_cause_)); }

  bool checkpoint_due() const { return options_.checkpoint_minutes > 0.0 && seconds_since(last_save_) > 60.0 * options_.checkpoint_minutes; }

  /// The rest of the epoch's steps. False: stopped before one of them.
  bool run_steps() {
    step_seconds_ = 0.0;
    place_steps();
    if (state_.step_in_epoch == steps_per_epoch_) return true;
    const bool whole = state_.step_in_epoch == 0;
    if (!std::exchange(warm_, true)) warm_up();
    if (!feed_) {
      if (const auto* description = offered<Description>(task_)) {
        for (const std::string& line : description->describe()) log_info("{}", line);
      }
      feed_.emplace(task_, comm_, options_.batches(), static_cast<std::uint64_t>(run_.seed), options_.epochs,
                    state_.epoch * steps_per_epoch_ + state_.step_in_epoch);
    }
    const std::int64_t graphs = options_.batch_size;
    Progress progress("graphs", options_.epochs * steps_per_epoch_ * graphs, state_.step * graphs);
    const auto epoch_begin = Clock::now();
    speed_ = {};
    while (state_.step_in_epoch < steps_per_epoch_) {
      if (evaluation_due() && !evaluate_midway()) return false;
      const auto begin = Clock::now();
      const HostBatch& share = feed_->next();
      std::array<double, 5> sums{share.loss_weight, stop_wanted() ? 1.0 : 0.0, comm_.is_root() && checkpoint_due() ? 1.0 : 0.0,
                                 work_ != nullptr ? work_->tokens(share) : 0.0, work_ != nullptr ? work_->flops(share) : 0.0};
      comm_.sum(std::span<double>(sums));
      if (sums[1] > 0.0) return false;
      if (sums[2] > 0.0) save_last();
      const StepRate rate = schedule_->at(state_.step - state_.phase_first_step);
      const StepResult result = runner_.train(share, sums[0], *optimizer_, rate, state_.step);
      record_step(result, sums[0], rate);
      speed_.add(seconds_since(begin), sums[3], sums[4]);
      if (runner_.arena().num_chunks() > chunks_) {
        chunks_ = runner_.arena().num_chunks();
        log_debug("step {}: the memory of a step grew to {}", state_.step, format_bytes(static_cast<double>(runner_.arena().capacity())));
      }
      if (progress.due()) {
        progress.show(state_.step * graphs, fmt::format("{}epoch {}/{}  loss {:.4g}  rate {:.2e}{} ", phase_text(), state_.epoch + 1, options_.epochs,
                                                        result.target_loss, rate.learning_rate, speed_text()));
      }
      longest_step_ = std::max(longest_step_, seconds_since(begin));
      const bool more = state_.step_in_epoch < steps_per_epoch_;
      if (more && options_.checkpoint_every > 0 && state_.step % options_.checkpoint_every == 0) save_last();
    }
    graphs_per_second_ = progress.rate();
    if (whole) step_seconds_ = seconds_since(epoch_begin);
    progress.finish();
    return true;
  }

  TrainLoss parts_of(double target, double auxiliary) const {
    return {target, has_auxiliary_loss(task_) ? std::optional<double>(auxiliary) : std::nullopt, {}};
  }
  /// Of the epoch that ends.
  TrainLoss epoch_loss() const {
    TrainLoss out = parts_of(state_.loss_sum / state_.loss_weight, state_.auxiliary_sum / state_.loss_weight);
    if (const auto* named = offered<LossParts>(task_)) {
      const std::vector<std::string> names = named->loss_parts();
      for (std::size_t i = 0; i < std::min(names.size(), state_.part_sums.size()); ++i) {
        out.parts.emplace_back(names[i], state_.part_sums[i] / state_.loss_weight);
      }
    }
    return out;
  }

  /// Counts the step, judges it, writes its line. Throws Error(Exit::diverged).
  void record_step(const StepResult& result, double divisor, StepRate rate) {
    const bool bad = result.skipped > state_.skipped;  // by the optimiser's own word, so that message and update agree
    if (divisor <= 0.0 && !warned_of_no_target_) {
      warned_of_no_target_ = true;
      log_warning("step {}: none of its samples has a target: loss 0, no gradient; such steps teach nothing", state_.step + 1);
    }
    state_.updates = result.updates;
    state_.skipped = result.skipped;
    ++state_.step;
    ++state_.step_in_epoch;
    state_.bad_in_a_row = bad ? state_.bad_in_a_row + 1 : 0;
    log_->step(state_.epoch + 1, state_.step, rate.learning_rate, parts_of(result.target_loss, result.loss - result.target_loss),
               result.gradient_norm, bad);
    if (!bad) {
      state_.loss_sum += result.target_loss * divisor;
      state_.auxiliary_sum += (result.loss - result.target_loss) * divisor;
      state_.loss_weight += divisor;
      state_.part_sums.resize(result.parts.size(), 0.0);
      for (std::size_t i = 0; i < result.parts.size(); ++i) state_.part_sums[i] += result.parts[i] * divisor;
      return;
    }
    const BatchPlan plan = plan_of(state_.epoch);
    const auto samples = plan.batch(state_.step_in_epoch - 1);
    const std::string what = fmt::format("step {} (epoch {}): loss {}, gradient norm {}; samples: {}", state_.step, state_.epoch + 1, result.loss,
                                         result.gradient_norm, named_samples(task_, samples));
    if (state_.bad_in_a_row < options_.max_bad_steps) {
      log_warning("{}: not finite, this step changes nothing ({} in a row)", what, state_.bad_in_a_row);
      return;
    }
    log_->flush(state_);
    throw Error(Exit::diverged, fmt::format("{}: {} steps in a row were not finite; checkpoints are untouched. Try a smaller "
                                            "train.learning_rate, train.clip_norm, or look at these samples",
                                            what, state_.bad_in_a_row));
  }

  /// Takes the memory of the epoch's costliest batch before the first step.
  void warm_up() {
    const BatchPlan plan = plan_of(state_.epoch);
    const auto batch = task_.new_batch();
    collate_share(task_, comm_, plan, costliest_batch(task_, plan), *batch);
    runner_.warm_up(*batch, comm_.sum(batch->loss_weight), *optimizer_);
    // All ranks at once, as in a step; here and not at the first progress line, which only the root may print.
    if (hooks_.gemm_rate && gemm_rate_ == 0.0 && work_ != nullptr && comm_.sum(work_->flops(*batch)) > 0.0) {
      gemm_rate_ = comm_.sum(hooks_.gemm_rate());
      log_info("matrix products: {:.0f} GFLOP/s measured on this machine", 1e-9 * gemm_rate_);
    }
    chunks_ = runner_.arena().num_chunks();
    log_debug("memory of a step: {}", format_bytes(static_cast<double>(runner_.arena().high_water())));
  }

  // --- epochs --------------------------------------------------------------------------------------------------------

  std::optional<Evaluation> evaluate_part(const std::vector<std::int64_t>& samples, Keep keep) {
    return evaluate(task_, runner_, comm_, samples, options_.evaluation_batch(), keep, [this] { return stop_wanted(); });
  }

  bool is_better(double value) const {
    if (!std::isfinite(value)) return false;
    if (std::isnan(state_.best_metric)) return true;
    return task_.deciding().larger_is_better ? value > state_.best_metric : value < state_.best_metric;
  }

  bool out_of_patience() const {
    const int patience = phase().options.early_stopping;
    return state_.epochs_since_best == kGivenUp || (patience > 0 && state_.epochs_since_best >= patience);
  }

  bool evaluation_due() const {
    return options_.eval_every > 0 && state_.step > 0 && state_.step % options_.eval_every == 0 && state_.evaluated_step != state_.step;
  }

  /// Validation within an epoch, with a checkpoint. False: stopped during validation, which then happens again.
  bool evaluate_midway() {
    require_equal_parameters(task_.params(), comm_);
    average_buffers(task_.params(), comm_);
    const auto validation = evaluate_part(task_.splits().validation, Keep::sums);
    if (!validation) return false;
    const bool best = note_validation(*validation, state_.epoch + 1);
    const double rate = schedule_->at(state_.step - 1 - state_.phase_first_step).learning_rate;
    log_->evaluation(state_.epoch + 1, state_.step, rate, *validation, best);
    std::string text = fmt::format("step {}  val loss {:.5g}", state_.step, validation->loss);
    for (const auto& [name, value] : validation->metrics) text += fmt::format("  val {} {:.5g}", printable_name(name), value);
    log_info("{}{}{}", text, speed_text(), best ? "  best" : "");
    report_parameters();
    if (best) {
      best_weights_.take(runner_.exec(), task_.params());
      best_state_ = state_;
    }
    save_last();
    return true;
  }

  /// Notes that the present weights were validated in this epoch (from 1); true if no earlier ones were as good.
  bool note_validation(const Evaluation& validation, std::int64_t epoch) {
    GNN_HPC_REQUIRE(!validation.metrics.empty(), "task {} has no metric", task_.name());
    state_.evaluated_step = state_.step;
    const double value = task_.deciding().loss ? validation.loss : validation.metrics.front().second;
    if (!is_better(value)) return false;
    state_.best_metric = value;
    state_.best_epoch = epoch;
    return true;
  }

  void report_parameters() {
    auto* const description = offered<Description>(task_);
    if (description == nullptr) return;
    const auto values = description->report();
    log_->report(state_.step, values);
    for (const auto& [name, numbers] : values) {
      std::string text;
      for (const double x : numbers) text += fmt::format(" {:.3f}", x);
      log_info("  {}:{}", name, text);
    }
  }

  /// Weights whose validation loss is no number will not recover: training ends with the best ones, if there are any.
  void give_up(double loss) {
    const std::string what = fmt::format("epoch {}: validation loss {}", state_.epoch, loss);
    if (state_.best_epoch == 0) {
      log_->flush(state_);
      throw Error(Exit::diverged, what + " and no better epoch before; try a smaller train.learning_rate or train.clip_norm");
    }
    log_warning("{}: training ends here, the weights of epoch {} stand", what, state_.best_epoch);
    state_.epochs_since_best = kGivenUp;
  }

  /// Validation, metrics, best and last checkpoint. False: stopped during validation, which then happens again.
  bool finish_epoch() {
    const auto epoch_end = Clock::now();
    require_equal_parameters(task_.params(), comm_);
    average_buffers(task_.params(), comm_);
    const auto validation = evaluate_part(task_.splits().validation, Keep::sums);
    if (!validation) return false;
    std::optional<Evaluation> training;
    const bool wanted = options_.train_metrics_every > 0 && (state_.epoch + 1) % options_.train_metrics_every == 0;
    if (wanted) {
      training = evaluate_part(task_.splits().train, Keep::sums);
      if (!training) return false;
    }
    const bool best = note_validation(*validation, state_.epoch + 1);
    const TrainLoss train_loss = epoch_loss();
    ++state_.epoch;
    state_.step_in_epoch = 0;
    state_.loss_sum = state_.loss_weight = state_.auxiliary_sum = 0.0;
    state_.part_sums.clear();
    state_.epochs_since_best = state_.best_epoch == state_.epoch ? 0 : state_.epochs_since_best + 1;
    if (validation->weight > 0.0 && !std::isfinite(validation->loss)) give_up(validation->loss);
    const double rate = schedule_->at(state_.step - 1 - state_.phase_first_step).learning_rate;
    log_->epoch(state_.epoch, state_.step, phase().name, rate, train_loss, *validation, training ? &*training : nullptr, best);
    log_->flush(state_);
    if (best) {
      best_weights_.take(runner_.exec(), task_.params());
      best_state_ = state_;
    }
    // Where epochs take less time than a checkpoint is worth, not every one is saved: at most a twentieth of the time goes there.
    const bool last_one = phase_epoch() >= phase().options.epochs || out_of_patience();
    const bool due = comm_.is_root() && (options_.eval_every > 0 || seconds_since(last_save_) > 20.0 * checkpoint_seconds_);
    if (comm_.max(static_cast<std::int64_t>(due || last_one)) != 0) save_last();
    evaluation_seconds_ = seconds_since(epoch_end);
    report_epoch(train_loss, *validation, training ? &*training : nullptr, rate, best);
    report_parameters();
    log_->flush(state_);
    return true;
  }

  void report_epoch(const TrainLoss& train_loss, const Evaluation& validation, const Evaluation* training, double rate, bool best) {
    std::string text = fmt::format("{}epoch {}/{}  train loss {:.5g}", phase_text(), state_.epoch, options_.epochs, train_loss.target);
    if (train_loss.auxiliary) text += fmt::format(" (+ auxiliary {:.5g})", *train_loss.auxiliary);
    for (const auto& [name, value] : train_loss.parts) text += fmt::format("  {} {:.4g}", name, value);
    text += fmt::format("  val loss {:.5g}", validation.loss);
    for (const auto& [name, value] : validation.metrics) text += fmt::format("  val {} {:.5g}", printable_name(name), value);
    if (training != nullptr)
      text += fmt::format("  train {} {:.5g}", printable_name(training->metrics.front().first), training->metrics.front().second);
    text += fmt::format("  rate {:.2e}", rate);
    const std::string speed = speed_text();
    if (!speed.empty())
      text += speed;
    else if (graphs_per_second_ > 0.0)
      text += fmt::format("  {:.0f} graphs/s", graphs_per_second_);
    log_info("{}{}{}", text, time_text(), best ? "  best" : "");
  }

  /// "  0.82 s/epoch, 3m40s left": steps and validation of the last whole epoch, and the epochs that may still come.
  std::string time_text() const {
    if (step_seconds_ <= 0.0) return {};
    const double epoch = step_seconds_ + evaluation_seconds_;
    return fmt::format("  {:.3g} s/epoch, {} left", epoch, format_duration(epoch * static_cast<double>(options_.epochs - state_.epoch)));
  }

  /// Writes `last.h5`, and before it `best.h5` if a better one than that file's is in memory: what `last.h5` says of the best epoch is
  /// then true at any moment the process may end.
  void save_last() {
    const auto begin = Clock::now();
    log_->flush(state_);
    info_.seconds = run_seconds();
    on_root(comm_, [&] {
      if (best_state_) save_checkpoint<T>(folder_.best(), task_.params(), best_weights_, *best_state_, info_);
      save_checkpoint<T>(folder_.last(), task_.params(), &*optimizer_, state_, info_);
    });
    best_state_.reset();
    saved_ = state_;
    last_save_ = Clock::now();
    checkpoint_seconds_ = std::max(checkpoint_seconds_, seconds_since(begin));
  }

  // --- end -----------------------------------------------------------------------------------------------------------

  TrainResult stop_with_checkpoint() {
    const bool saved = saved_ && saved_->step == state_.step && saved_->epoch == state_.epoch;
    if (!saved) save_last();
    note_stop();
    log_info("stopped ({}) at epoch {}, step {}; the same command continues from {}", cause_of_stop(), state_.epoch + 1, state_.step, folder_.last());
    return {Exit::stopped, "stopped", state_, {}, runner_.arena().high_water()};
  }

  void note_stop() {
    on_root(comm_, [&] { Requeue::note(folder_, run_, "stopped", JobStart::of_environment()); });
  }

  /// Wall time of the run: of this process, and of those before it up to their last checkpoints.
  double run_seconds() const { return earlier_seconds_ + seconds_since(begin_); }

  TrainResult finish() {
    TrainResult result{Exit::ok, phase_epoch() < phase().options.epochs ? "early_stopped" : "finished", state_, {}, 0};
    if (result.status == "early_stopped")
      log_info("no better validation {} for {} epochs: stopping early", task_.deciding().loss ? "loss" : "metric", phase().options.early_stopping);
    const FinalWeights weights = load_final_weights(task_.params(), options_.final_weights == "best", folder_.best(), state_, comm_);
    const Splits& splits = task_.splits();
    const LabelledRecords& records = labelled_records(task_);
    const std::vector<std::string> targets = records.target_names();
    std::vector<std::pair<std::string, std::vector<Prediction>>> rows;
    std::string deciding;
    const std::array<std::pair<const char*, const std::vector<std::int64_t>*>, 3> parts{
        {{"train", &splits.train}, {"validation", &splits.validation}, {"test", &splits.test}}};
    for (const auto& [part, samples] : parts) {
      if (!predicts() && (samples->empty() || samples == &splits.train)) continue;
      auto evaluation = evaluate_part(*samples, Keep::predictions);
      if (!evaluation) {  // the checkpoint at the end of training stands
        note_stop();
        log_info("stopped ({}) during the final evaluation; the same command repeats it", cause_of_stop());
        return {Exit::stopped, "stopped", state_, {}, runner_.arena().high_water()};
      }
      deciding = task_.deciding().loss ? "loss" : evaluation->metrics.front().first;
      if (!comm_.is_root()) continue;
      result.parts.push_back(score_part(part, *evaluation, records.target_kind(), targets.size(), records.num_classes()));
      const bool listed = std::find(options_.predictions.begin(), options_.predictions.end(), part) != options_.predictions.end();
      if (listed) rows.emplace_back(part, std::move(evaluation->predictions));
    }
    result.arena_bytes = runner_.arena().high_water();
    on_root(comm_, [&] {
      if (predicts()) {
        folder_.write("predictions.csv", predictions_csv(task_, rows));
        folder_.write("results.csv", results_csv(result.parts, targets, records.target_kind(), records.split_number()));
        for (const auto& [name, text] : item_tables(task_, rows)) folder_.write("tables/" + name, text);
      }
      const SummaryInfo info{task_.name(),
                             result.status,
                             weights.name,
                             weights.epoch,
                             deciding,
                             options_.epochs,
                             static_cast<std::int64_t>(task_.params().num_parameters()),
                             comm_.size(),
                             static_cast<std::int64_t>(task_.skipped().size()),
                             run_seconds(),
                             repeated_,
                             !task_.deciding().loss && task_.deciding().larger_is_better};
      folder_.write("summary.json", summary_json(info, state_, result.parts, targets, records.target_kind()));
      Requeue::forget(folder_);
    });
    if (comm_.is_root()) {
      log_info("errors with the {} weights (of epoch {}{}):\n{}", weights.name, weights.epoch, weights.note,
               score_table(result.parts, targets, records.target_kind()));
      if (repeated_ && repeated_->many()) log_info("{}", repeated_->text());
    }
    return result;
  }

  std::string speed_text() const { return speed_.text(gemm_rate_, work_ != nullptr ? work_->token_name() : "tokens"); }

  const Clock::time_point begin_ = begin_of_run();
  Task<T>& task_;
  const WorkCount* const work_ = offered<WorkCount>(task_);  ///< null: the task counts nothing
  const RunOptions& run_;
  const std::vector<Phase>& phases_;
  TrainOptions options_;  ///< what all phases share; epochs: of all
  const Comm& comm_;
  const std::string& resolved_yaml_;
  const TrainHooks& hooks_;
  RunFolder folder_;
  std::optional<Optimizer<T>> optimizer_;
  StepRunner<T> runner_;
  std::optional<Schedule> schedule_;
  std::optional<MetricsLog> log_;
  CheckpointInfo info_;
  TrainState state_;
  std::optional<TrainState> saved_;  ///< as it stands in last.h5
  WeightSnapshot<T> best_weights_;
  std::optional<TrainState> best_state_;    ///< of `best_weights_`, until they are written
  std::optional<RepeatedInputs> repeated_;  ///< on the root
  std::string stop_cause_;                  ///< of this rank; empty: it has no wish to stop
  std::int64_t steps_per_epoch_ = 0;
  std::size_t chunks_ = 0;  ///< of the arena, to notice when it grows
  std::optional<TrainingFeed<T>> feed_;
  StepSpeed speed_;         ///< of the epoch under way
  double gemm_rate_ = 0.0;  ///< of all ranks together; 0: not measured
  bool warned_of_no_target_ = false, warm_ = false;
  double longest_step_ = 0.0, checkpoint_seconds_ = 0.0, graphs_per_second_ = 0.0;
  double earlier_seconds_ = 0.0;                          ///< of the processes before this one
  double step_seconds_ = 0.0, evaluation_seconds_ = 0.0;  ///< of the last epoch; 0: it was not a whole one
  Clock::time_point last_save_ = Clock::now();
};

}  // namespace

template <class T>
TrainResult train(Task<T>& task, const RunOptions& run, const std::vector<Phase>& phases, const Comm& comm, const std::string& resolved_yaml,
                  const TrainHooks& hooks) {
  GNN_HPC_REQUIRE(!phases.empty(), "no phase to train");
  const TimeLimit limit(run.walltime);
  return Trainer<T>(task, run, phases, comm, resolved_yaml, hooks).run();
}

template TrainResult train<float>(Task<float>&, const RunOptions&, const std::vector<Phase>&, const Comm&, const std::string&, const TrainHooks&);
template TrainResult train<double>(Task<double>&, const RunOptions&, const std::vector<Phase>&, const Comm&, const std::string&, const TrainHooks&);

}  // namespace gnn_hpc
