// SPDX-License-Identifier: Apache-2.0
#include "train/phase.hpp"

#include "base/text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace gnn_hpc {

namespace {

/// `part: 0.1`, or `part: {from: 0.1, to: 1, epochs: 5}`.
void parse_weights(Config node, const PhaseVocabulary& vocabulary, Phase& phase) {
  for (const std::string_view part : vocabulary.loss_parts) {
    if (!node.has(part)) continue;
    LossWeight w;
    if (node.is_block(part)) {
      Config ramp = node.block(part, "ramp of the weight");
      ramp.number("from", w.first, non_negative, "in the first epoch");
      ramp.number("to", w.last, non_negative, "at the end of the ramp and from then on");
      ramp.number("epochs", w.ramp_epochs, at_least_one, "of the ramp");
      ramp.done();
    } else {
      node.number(part, w.last, non_negative, "weight of this part of the loss");
      w.first = w.last;
    }
    phase.loss_weights.emplace(part, w);
  }
  node.done();
}

Phase parse_phase(Config node, const TrainOptions& train, const PhaseVocabulary& vocabulary) {
  Phase phase;
  phase.options = train;
  TrainOptions& o = phase.options;
  node.text("name", phase.name, "of the phase, in messages and names of files");
  node.number("epochs", o.epochs, non_negative, "passes over the training set; 0 = the phase is left out");
  node.number("learning_rate", o.learning_rate, positive, "as in train");
  node.choice("schedule", o.schedule, schedule_names(), "as in train");
  node.number("warmup_epochs", o.warmup_epochs, non_negative, "as in train");
  node.number("weight_decay", o.weight_decay, non_negative, "as in train");
  node.number("clip_norm", o.clip_norm, non_negative, "as in train");
  node.number("early_stopping", o.early_stopping, non_negative, "as in train, ends the phase");
  node.list("freeze", phase.freeze, "parameters whose name contains one of these stay as they are; all = every parameter");
  node.choice("start_from", phase.start_from, {"last", "best"}, "weights of the phase before");
  if (!vocabulary.loss_parts.empty()) parse_weights(node.block("loss_weights", "of parts of the loss"), vocabulary, phase);
  for (const PhaseFlag& f : vocabulary.flags) {
    double value = f.value;
    if (f.is_bool) {
      bool on = value != 0.0;
      node.flag(f.name, on, f.doc);
      value = on ? 1.0 : 0.0;
    } else {
      node.number(f.name, value, non_negative, f.doc);
    }
    phase.flags.emplace(f.name, value);
  }
  node.done();
  return phase;
}

/// Names of files are made of it, among them none that checkpoints have anyway.
bool is_file_name(const std::string& name) {
  return name != "prev" && name != "damaged" && !name.empty() && name.size() <= 64 &&
         std::all_of(name.begin(), name.end(), [](unsigned char c) { return std::isalnum(c) != 0 || c == '_' || c == '-'; });
}

}  // namespace

double LossWeight::at(std::int64_t epoch) const {
  if (ramp_epochs == 0 || epoch >= ramp_epochs) return last;
  const double share = static_cast<double>(epoch) / ramp_epochs;
  return (1.0 - share) * first + share * last;
}

bool Phase::freezes_all() const { return std::find(freeze.begin(), freeze.end(), "all") != freeze.end(); }

double Phase::flag(std::string_view flag_name) const {
  const auto found = flags.find(flag_name);
  return found == flags.end() ? 0.0 : found->second;
}

double Phase::loss_weight(std::string_view part, std::int64_t epoch, double otherwise) const {
  const auto found = loss_weights.find(part);
  return found == loss_weights.end() ? otherwise : found->second.at(epoch);
}

std::vector<Phase> one_phase(const TrainOptions& train, const PhaseVocabulary& vocabulary) {
  Phase phase;
  phase.options = train;
  for (const PhaseFlag& f : vocabulary.flags) phase.flags.emplace(f.name, f.value);
  return {phase};
}

std::vector<Phase> parse_phases(Config root, TrainOptions& train, const PhaseVocabulary& vocabulary) {
  const std::vector<Config> blocks =
      root.blocks("phases", "stages of training one after the other, each {name, epochs, learning_rate, schedule, freeze, ...}; see docs/phases.md");
  if (blocks.empty()) return one_phase(train, vocabulary);
  const bool epochs_given = root.block("train", "training").has("epochs");
  std::vector<Phase> phases;
  std::set<std::string> names;
  int epochs = 0;
  for (Config node : blocks) {
    phases.push_back(parse_phase(node, train, vocabulary));
    const Phase& phase = phases.back();
    if (!node.has("epochs")) node.problem("epochs", "every phase needs a number of epochs");
    if (!is_file_name(phase.name))
      node.problem("name", fmt::format("\"{}\": a phase needs a name of letters, digits, _ and -, neither prev nor damaged", phase.name));
    if (!names.insert(phase.name).second) node.problem("name", fmt::format("two phases are called {}", phase.name));
    epochs += phase.options.epochs;
  }
  if (epochs == 0) root.problem("phases", "no phase has an epoch");
  if (epochs_given && train.epochs != epochs) {  // resolved options have the sum
    root.problem("phases", fmt::format("train.epochs is given, too, and is not the sum of the phases' epochs, {}; leave it out", epochs));
  }
  train.epochs = std::max(1, epochs);
  root.block("train", "training").number("epochs", train.epochs, at_least_one, "passes over the training set");  // what resolved options say
  return phases;
}

}  // namespace gnn_hpc
