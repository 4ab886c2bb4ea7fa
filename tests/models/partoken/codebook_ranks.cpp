// SPDX-License-Identifier: Apache-2.0
// The codebook over ranks: each with its share of the chains, the last one without any, gives what one rank gives with all.
#include "models/partoken/codebook.hpp"
#include "support/views.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace gnn_hpc::partoken {
namespace {

using Values = std::vector<double>;
constexpr std::size_t kChains = 7, kClusters = 3, kWidth = 6;

struct Numbers {
  Values buffers, losses, dz;  ///< after all steps; commit and psc of each step, and dz of the last, of these chains
};

/// Three training steps with chains [begin, end) of the batch.
Numbers run(const Comm& comm, std::size_t begin, std::size_t end, bool cosine) {
  CodebookOptions o;
  o.codes = 9;
  o.width = static_cast<int>(kWidth);
  o.cosine = cosine;
  o.decay = 0.6;
  o.psc_temp = 2.0;
  o.revive_below = 0.3;
  ParamStore<double> store;
  Codebook<double> book(store, o);
  store.finalize(3);
  book.begin(Exec());
  const std::size_t rows = (end - begin) * kClusters;
  const auto share = [&](const Values& all, std::size_t columns) {
    const auto from = all.begin() + static_cast<std::ptrdiff_t>(begin * kClusters * columns);
    return Values(from, from + static_cast<std::ptrdiff_t>(rows * columns));
  };
  Arena arena;
  Numbers out;
  for (std::uint64_t turn = 0; turn < 3; ++turn) {
    arena.reset();
    Step<double> step{Exec(), arena, Mode::train, RandomKey{5, turn}, comm};
    Values members(kChains * kClusters, 1.0);
    for (std::size_t r = turn; r < members.size(); r += 4) members[r] = 0.0;
    const auto z = test::matrix_of<double>(rows, kWidth, share(test::random_values(kChains * kClusters * kWidth, 40 + turn), kWidth));
    const View2<double> dz("gnn_hpc::test::dz", rows, kWidth);
    Codebook<double>::Saved s;
    book.quantise(step, z, test::array_of<int>(share(members, 1)), true, s);
    book.presence(step, end - begin, test::array_of<double>({static_cast<double>(kChains)}), s);
    book.commit_backward(step, s, 1.0, dz);
    book.presence_backward(step, s, 0.5, dz);
    step.exec.fence();
    for (const auto& loss : {s.commit, s.psc}) out.losses.push_back(test::values_of(loss)[0]);
    out.dz = test::values_of(dz);
  }
  out.buffers = test::values_of(store.buffers());
  return out;
}

TEST(MpiCodebook, RanksAgreeWithOne) {
  const Comm world = Comm::world();
  const auto size = static_cast<std::size_t>(world.size()), rank = static_cast<std::size_t>(world.rank()), parts = std::max<std::size_t>(1, size - 1),
             begin = kChains * std::min(rank, parts) / parts, end = kChains * std::min(rank + 1, parts) / parts;
  for (const bool cosine : {false, true}) {
    const Numbers one = run(Comm::self(), 0, kChains, cosine);
    Numbers many = run(world, begin, end, cosine);
    world.sum(std::span<double>(many.losses));
    EXPECT_LT(test::relative_difference(many.buffers, one.buffers), 1e-14);
    EXPECT_LT(test::relative_difference(many.losses, one.losses), 1e-14);
    const std::size_t row = kClusters * kWidth;
    const auto from = one.dz.begin() + static_cast<std::ptrdiff_t>(begin * row);
    EXPECT_LT(test::relative_difference(many.dz, Values(from, from + static_cast<std::ptrdiff_t>((end - begin) * row))), 1e-13);
    // Bit for bit the same on all ranks, or they would part.
    Values first = many.buffers, last = many.buffers;
    for (double& x : first) x = -x;
    world.max(std::span<double>(first));
    world.max(std::span<double>(last));
    for (double& x : first) x = -x;
    EXPECT_EQ(first, last);
  }
}

}  // namespace
}  // namespace gnn_hpc::partoken
