// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/comm.hpp"
#include "support/paths.hpp"
#include "support/trained_numbers.hpp"
#include "support/views.hpp"

#include <gtest/gtest.h>

#include <cstdio>
#include <functional>
#include <string>
#include <vector>

namespace gnn_hpc::test {

/// A training that is run on one rank and on all.
struct RankCase {
  std::string name;
  std::function<TrainedNumbers(const std::string& folder, const std::string& run_name, const Comm& comm)> train;
  std::size_t validations = 1;  ///< numbers of validation that are there at least
};

/// Every case gives, on all ranks together, the numbers that one rank alone gives: losses, norms, validation, parameters, running
/// statistics within 1e-10 (1e-9 for norms and parameters of tensors with next to no gradient: `loose`). Collective.
/// @param prepare  puts the input files into a folder
inline void expect_ranks_agree(const std::vector<RankCase>& cases, const std::function<void(const std::string& folder)>& prepare,
                               bool loose = false) {
  const TemporaryFolder mine;
  const Comm world = Comm::world();
  std::string shared = mine.path().string();
  world.broadcast(shared);
  const std::string own = mine.path().string();
  prepare(own);
  world.barrier();
  for (const RankCase& c : cases) {
    SCOPED_TRACE(c.name);
    const TrainedNumbers one = c.train(own, "alone_" + c.name, Comm::self());
    const TrainedNumbers many = c.train(shared, "together_" + c.name, world);
    ASSERT_GE(one.losses.size(), 20U);
    ASSERT_GE(one.validation.size(), c.validations);
    struct Line {
      const char* what;
      double difference, allowed;
    };
    const auto difference = [](const std::vector<double>& a, const std::vector<double>& b) { return b.empty() ? 0.0 : relative_difference(a, b); };
    const double further = loose ? 1e-9 : 1e-10;
    const Line lines[] = {{"losses", difference(many.losses, one.losses), 1e-10},
                          {"gradient norms", difference(many.gradient_norms, one.gradient_norms), 1e-9},
                          {"validation", difference(many.validation, one.validation), 1e-10},
                          {"parameters", difference(many.parameters, one.parameters), further},
                          {"running statistics", difference(many.buffers, one.buffers), 1e-10}};
    if (world.is_root()) std::printf("%d ranks, %s, %zu steps:", world.size(), c.name.c_str(), one.losses.size());
    for (const Line& line : lines) {
      if (world.is_root()) std::printf(" %s %.1e", line.what, line.difference);
      EXPECT_LT(line.difference, line.allowed) << line.what;
    }
    if (world.is_root()) std::printf("\n");
    world.barrier();
  }
}

}  // namespace gnn_hpc::test
