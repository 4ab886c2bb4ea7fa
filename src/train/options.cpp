// SPDX-License-Identifier: Apache-2.0
#include "train/options.hpp"

#include <algorithm>
#include <charconv>

namespace gnn_hpc {

RunOptions RunOptions::parse(Config node) {
  RunOptions o;
  node.text("dir", o.dir, "folder of this run: metrics, checkpoints, predictions");
  node.number("seed", o.seed, any_number, "seed of weights, batch order and dropout");
  node.choice("precision", o.precision, {"float", "double"}, "precision of parameters and activations");
  std::string walltime;
  node.text("walltime", walltime,
            "time limit (seconds, MM:SS, HH:MM:SS or D-HH:MM:SS): a checkpoint is written in time and the exit code is 5; empty = none");
  o.walltime = parse_duration(walltime);
  if (o.walltime < 0) {
    node.problem("walltime", "\"" + walltime + "\" is no duration (write seconds, MM:SS, HH:MM:SS or D-HH:MM:SS)");
    o.walltime = 0.0;
  }
  node.choice("restart", o.restart, {"auto", "never", "require"},
              "auto: continue from the newest checkpoint of run.dir if there is one, and refuse where an earlier run left none that can be "
              "read; never: start anew (old results are moved to previous.N), but go on after exit code 5 or a requeue of the same job; "
              "require: an error without a checkpoint");
  node.flag("restart_allow_change", o.restart_allow_change,
            "continue although options that change the meaning of the run differ from those of the checkpoint");
  node.flag("flush_subnormals", o.flush_subnormals,
            "threads of the processor take numbers below 1e-38 (float), 1e-308 (double) for zero: much faster on many processors");
  if (o.dir.empty()) node.problem("dir", "must not be empty");
  node.done();
  return o;
}

TrainOptions TrainOptions::parse(Config node, TrainOptions o) {
  node.number("epochs", o.epochs, at_least_one, "passes over the training set");
  node.number("batch_size", o.batch_size, at_least_one, "samples of one optimiser step, over all ranks");
  node.number("learning_rate", o.learning_rate, positive, "step size; the peak where the schedule has one");
  node.number("weight_decay", o.weight_decay, non_negative, "decay of parameters, see no_decay; adam ignores it");
  node.list("no_decay", o.no_decay, "parameters whose name contains one of these do not decay");
  node.choice("optimizer", o.optimizer, {"adamw", "adam", "sgd"}, "update rule (sgd: momentum 0.9)");
  node.number("beta1", o.beta1, below_one, "average of gradients (one_cycle replaces it by 0.95 ... 0.85 ... 0.95)");
  node.number("beta2", o.beta2, below_one, "average of squared gradients");
  node.number("epsilon", o.epsilon, positive, "added to the root of the second moment");
  node.choice("schedule", o.schedule, schedule_names(), "learning rate by step");
  node.number("minimum_learning_rate", o.minimum_learning_rate, non_negative, "cosine: rate at the end");
  node.number("initial_learning_rate", o.initial_learning_rate, positive, "warmup_exponential: rate of the first step");
  node.number("final_learning_rate", o.final_learning_rate, positive, "warmup_exponential: rate at the end");
  node.number("warmup_epochs", o.warmup_epochs, non_negative, "warmup_exponential, warmup_cosine: epochs until the peak");
  node.number("clip_norm", o.clip_norm, non_negative, "largest global L2 norm of the gradients; 0 = no clipping");
  node.number("early_stopping", o.early_stopping, non_negative, "stop after this many epochs without a better deciding validation value; 0 = off");
  node.number("max_bad_steps", o.max_bad_steps, at_least_one,
              "steps in a row with a loss or gradient that is not finite before the run ends (exit code 4)");
  node.number("train_metrics_every", o.train_metrics_every, non_negative, "epochs between evaluations of the training set; 0 = never");
  node.number("evaluate_batch_size", o.evaluate_batch_size, non_negative, "samples of one evaluation batch; 0 = min(4 batch_size, 128)");
  node.number("checkpoint_every", o.checkpoint_every, non_negative, "steps between checkpoints, besides one an epoch; 0 = off");
  node.number("checkpoint_minutes", o.checkpoint_minutes, non_negative, "minutes between checkpoints, besides one an epoch; 0 = off");
  node.number("eval_every", o.eval_every, non_negative,
              "steps between validations, each with a checkpoint, besides those at the end of an epoch; 0 = off");
  node.number("max_batches_per_epoch", o.max_batches_per_epoch, Range{-1.0, kInfinity}, "end an epoch after so many steps; -1 = all samples");
  node.flag("keep_last_batch", o.keep_last_batch, "train on the last incomplete batch of an epoch, too");
  node.number("smallest_last_batch", o.smallest_last_batch, at_least_one, "keep_last_batch: leave it out all the same if it holds fewer samples");
  node.choice("final_weights", o.final_weights, {"best", "last"}, "weights of the final evaluation and of predictions.csv");
  node.list("predictions", o.predictions, "parts listed in predictions.csv: train, validation, test");
  for (const std::string& part : o.predictions) {
    if (part != "train" && part != "validation" && part != "test") {
      node.problem("predictions", "\"" + part + "\" is no part of the data (train, validation, test)");
    }
  }
  node.done();
  return o;
}

const std::vector<std::string>& schedule_names() {
  static const std::vector<std::string> names{"one_cycle", "none", "step", "polynomial", "cosine", "warmup_exponential", "warmup_cosine"};
  return names;
}

BatchRule TrainOptions::batches() const {
  BatchRule rule(batch_size, keep_last_batch, max_batches_per_epoch);
  rule.smallest = smallest_last_batch;
  return rule;
}

int TrainOptions::evaluation_batch() const {
  if (evaluate_batch_size > 0) return evaluate_batch_size;
  return std::max(1, std::min(batch_size <= 32 ? 4 * batch_size : 128, 128));
}

double parse_duration(const std::string& text) {
  if (text.empty()) return 0.0;
  std::string rest = text;
  double days = 0.0;
  const auto number = [](const std::string& s, double& out) {
    const auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), out);
    return error == std::errc() && end == s.data() + s.size() && out >= 0.0 && out < 1e12;
  };
  if (const auto dash = rest.find('-'); dash != std::string::npos) {
    if (!number(rest.substr(0, dash), days)) return -1.0;
    rest = rest.substr(dash + 1);
    if (rest.find(':') == std::string::npos) rest += ":00:00";  // D-HH
  }
  double seconds = 0.0;
  int fields = 0;
  for (std::size_t at = 0; at <= rest.size(); ++fields) {
    const auto colon = std::min(rest.find(':', at), rest.size());
    double part = 0.0;
    if (!number(rest.substr(at, colon - at), part)) return -1.0;
    seconds = 60.0 * seconds + part;
    at = colon + 1;
  }
  return fields <= 3 ? 86400.0 * days + seconds : -1.0;
}

}  // namespace gnn_hpc
