// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace gnn_hpc {

/// A stochastic polymer in text: `F1.F2...|w1|w2|...|<i-j:wij:wji<...~Xn`, e.g. `[*:1]CCO[*:2].[*:3]CC(CC)[*:4]|0.62|0.38|<1-2:1:1<3-4:1:1~45`
/// (Aldeghi and Coley, Chem. Sci. 13, 10486 (2022); specification, section 2.3). Fragments F carry labelled wildcards `[*:i]`.
struct PolymerText {
  struct Rule {
    std::int64_t from = 0, to = 0;         ///< labels i and j of attachment points
    double forward = 0.0, backward = 0.0;  ///< w_ij of the bond as it leads into j, w_ji as it leads into i: probabilities
  };
  std::vector<std::string> fragments;
  std::vector<double> weights;  ///< [fragments] share of each fragment, >= 0
  std::vector<Rule> rules;
  double degree_of_polymerisation = 1.0;  ///< 1 + log10(Xn); Xn = 1 where the text has no `~`
};

/// Blanks around numbers are allowed. Throws Error(Exit::data): other numbers of weights than fragments, a malformed number or rule,
/// negative weights, Xn <= 0, weights into an attachment point that do not add up to 1 within 1e-5 (a rule i-i counts once).
PolymerText parse_polymer_text(std::string_view text);

}  // namespace gnn_hpc
