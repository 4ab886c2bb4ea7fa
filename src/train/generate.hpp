// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace gnn_hpc {

/// A language model token by token.
class Decoder {
 public:
  virtual ~Decoder() = default;
  /// Longest sequence, prompt included, and number of different tokens.
  virtual int longest() const = 0;
  virtual int vocabulary() const = 0;
  /// Appends tokens to the sequence; returns the logits [V] of what follows the last one. Fences.
  /// Throws Error(Exit::usage) for a token outside the vocabulary or more tokens than `longest`.
  virtual std::vector<double> append(std::span<const int> tokens) = 0;
};

/// How the next token is chosen from logits z.
struct Sampling {
  double temperature = 0.7;  ///< 0: the most likely token (lowest id on ties)
  int top_k = 50;            ///< keep this many of the largest; 0: all; 1: the most likely token
  double top_p = 0.9;        ///< nucleus, if in (0, 1)
  bool greedy() const { return temperature == 0.0 || top_k == 1; }
};

/// z / temperature (temperatures 0 and 1: z itself), with -infinity for every token that is left out:
///   top_k  all but the k largest (equal ones: lowest id first)
///   top_p  sorted by falling z (equal ones: lowest id first), every token before which softmax has put more than top_p of mass; so the
///          first always stays, and the one that crosses top_p, too
std::vector<double> filter_logits(std::span<const double> logits, const Sampling& sampling);

/// The index of the largest entry, the lowest one on ties. Throws Error(Exit::data) if no logit is a number.
int most_likely(std::span<const double> logits);

/// Draws from softmax(filter_logits(z)) by inversion of u in [0, 1); greedy settings take the most likely token instead.
int choose_token(std::span<const double> logits, const Sampling& sampling, double u);

struct GenerateOptions {
  Sampling sampling;
  int max_new_tokens = 100;
  int eos = -1;            ///< a token that ends the text; -1: none
  std::uint64_t seed = 0;  ///< token i of the text is chosen with number i of a counter-based stream: equal seeds, equal texts
};

enum class GenerateEnd { tokens, length, eos };

struct Generated {
  std::vector<int> ids;  ///< prompt included
  GenerateEnd end = GenerateEnd::tokens;
};

/// Continues the prompt until `max_new_tokens` are added, the sequence has the model's length, or `eos` was chosen.
/// @param sink  called with every new token as soon as it is chosen, after its logits; false ends the text. May be empty.
/// Throws Error(Exit::usage) for an empty prompt, one longer than the model's sequences, an id outside the vocabulary, or sampling
/// numbers out of range.
Generated generate(Decoder& decoder, std::span<const int> prompt, const GenerateOptions& options,
                   const std::function<bool(int token, std::span<const double> logits)>& sink = {});

}  // namespace gnn_hpc
