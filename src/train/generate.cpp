// SPDX-License-Identifier: Apache-2.0
#include "train/generate.hpp"

#include "base/error.hpp"
#include "base/random.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace gnn_hpc {

namespace {

constexpr double kDropped = -std::numeric_limits<double>::infinity();

/// Tokens by falling logit, the lowest id first among equal ones.
std::vector<int> by_rank(std::span<const double> z) {
  std::vector<int> order(z.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return z[static_cast<std::size_t>(a)] > z[static_cast<std::size_t>(b)]; });
  return order;
}

void require_numbers(std::span<const double> logits) {
  const bool none = std::none_of(logits.begin(), logits.end(), [](double z) { return std::isfinite(z); });
  const bool any_nan = std::any_of(logits.begin(), logits.end(), [](double z) { return std::isnan(z); });
  if (none || any_nan) throw Error(Exit::data, "the model gives logits that are not numbers: its weights are damaged or its training diverged");
}

void check(const Sampling& s) {
  if (!(s.temperature >= 0.0) || !std::isfinite(s.temperature)) {
    throw Error(Exit::usage, fmt::format("temperature {}: allowed is a number >= 0 (0: the most likely token)", s.temperature));
  }
  if (s.top_k < 0) throw Error(Exit::usage, fmt::format("top_k {}: allowed is an integer >= 0 (0: off)", s.top_k));
  if (!(s.top_p >= 0.0 && s.top_p <= 1.0)) throw Error(Exit::usage, fmt::format("top_p {}: allowed is a number in [0, 1] (0 and 1: off)", s.top_p));
}

}  // namespace

std::vector<double> filter_logits(std::span<const double> logits, const Sampling& sampling) {
  std::vector<double> z(logits.begin(), logits.end());
  if (sampling.temperature != 0.0 && sampling.temperature != 1.0) {
    for (double& x : z) x /= sampling.temperature;
  }
  const bool nucleus = sampling.top_p > 0.0 && sampling.top_p < 1.0;
  const bool cut = sampling.top_k > 0 && static_cast<std::size_t>(sampling.top_k) < z.size();
  if (z.empty() || (!nucleus && !cut)) return z;
  const std::vector<int> order = by_rank(z);
  const std::size_t kept = cut ? static_cast<std::size_t>(sampling.top_k) : z.size();
  for (std::size_t i = kept; i < z.size(); ++i) z[static_cast<std::size_t>(order[i])] = kDropped;
  if (!nucleus) return z;
  const double largest = z[static_cast<std::size_t>(order.front())];
  double sum = 0.0;
  for (std::size_t i = 0; i < kept; ++i) sum += std::exp(z[static_cast<std::size_t>(order[i])] - largest);
  double before = 0.0;
  for (std::size_t i = 0; i < kept; ++i) {
    double& x = z[static_cast<std::size_t>(order[i])];
    const double p = std::exp(x - largest) / sum;
    if (before > sampling.top_p) x = kDropped;
    before += p;
  }
  return z;
}

int most_likely(std::span<const double> logits) {
  require_numbers(logits);
  return static_cast<int>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

int choose_token(std::span<const double> logits, const Sampling& sampling, double u) {
  check(sampling);
  const int first = most_likely(logits);
  if (sampling.greedy()) return first;
  const std::vector<double> z = filter_logits(logits, sampling);
  const double largest = z[static_cast<std::size_t>(first)];
  double sum = 0.0;
  for (const double x : z) sum += std::exp(x - largest);
  double rest = u * sum;
  int last = first;
  for (std::size_t v = 0; v < z.size(); ++v) {
    const double p = std::exp(z[v] - largest);
    if (p == 0.0) continue;
    last = static_cast<int>(v);
    rest -= p;
    if (rest < 0.0) break;
  }
  return last;
}

Generated generate(Decoder& decoder, std::span<const int> prompt, const GenerateOptions& options,
                   const std::function<bool(int, std::span<const double>)>& sink) {
  check(options.sampling);
  if (prompt.empty()) throw Error(Exit::usage, "the prompt is empty: the model continues a text, so it needs at least one token");
  if (static_cast<int>(prompt.size()) > decoder.longest()) {
    throw Error(Exit::usage, fmt::format("the prompt has {} tokens, the model's sequences {} at most (model.max_seq_length); shorten it",
                                         prompt.size(), decoder.longest()));
  }
  for (std::size_t i = 0; i < prompt.size(); ++i) {
    if (prompt[i] < 0 || prompt[i] >= decoder.vocabulary()) {
      throw Error(Exit::usage,
                  fmt::format("token {} of the prompt (counted from 0) is {}, outside the vocabulary [0, {})", i, prompt[i], decoder.vocabulary()));
    }
  }
  if (options.eos >= decoder.vocabulary()) {
    throw Error(Exit::usage, fmt::format("eos {}: outside the vocabulary [0, {})", options.eos, decoder.vocabulary()));
  }
  Generated out;
  out.ids.assign(prompt.begin(), prompt.end());
  const RandomKey key{options.seed, fnv1a64("generate")};
  std::vector<int> fresh = out.ids;
  for (int i = 0; i < options.max_new_tokens; ++i) {
    if (static_cast<int>(out.ids.size()) >= decoder.longest()) {
      out.end = GenerateEnd::length;
      return out;
    }
    const std::vector<double> logits = decoder.append(fresh);
    const int token = choose_token(logits, options.sampling, key.uniform(out.ids.size()));
    out.ids.push_back(token);
    fresh.assign(1, token);
    const bool stop = sink && !sink(token, logits);
    if (options.eos >= 0 && token == options.eos) {
      out.end = GenerateEnd::eos;
      return out;
    }
    if (stop) return out;
  }
  return out;
}

}  // namespace gnn_hpc
