// SPDX-License-Identifier: Apache-2.0
#include "nn/param.hpp"

#include "base/error.hpp"
#include "support/views.hpp"

#include <gtest/gtest.h>

namespace gnn_hpc {
namespace {

using test::values_of;

TEST(ParamStore, PlacesTensorsInOneArray) {
  ParamStore<double> store;
  const auto a = store.add("a", {3, 5}, Init::constant(2.0));
  const auto b = store.add("b", {64}, Init::constant(-1.0));
  const auto c = store.add("c", {2, 3, 11}, Init::constant(0.5), false);
  const auto mean = store.add_buffer("mean", {7}, 0.25);
  store.finalize(1);
  EXPECT_EQ(a.info().offset, 0U);
  EXPECT_EQ(b.info().offset, 64U);
  EXPECT_EQ(c.info().offset, 128U);
  EXPECT_EQ(store.values().size(), 256U);
  EXPECT_EQ(store.gradients().size(), 256U);
  EXPECT_EQ(store.buffers().size(), 64U);
  EXPECT_EQ(store.num_parameters(), 15U + 64U + 66U);
  EXPECT_EQ(a.value().extent(0), 3U);
  EXPECT_EQ(a.value().extent(1), 5U);
  EXPECT_EQ(b.value().extent(0), 1U);  // a 1-d tensor is one row
  EXPECT_EQ(c.value().extent(0), 6U);
  EXPECT_FALSE(c.info().used);
  EXPECT_EQ(b.grad1().extent(0), 64U);
  EXPECT_EQ(values_of(mean.value1()), std::vector<double>(7, 0.25));
  const auto flat = values_of(store.values());
  for (std::size_t i = 0; i < flat.size(); ++i) {
    const double expected = i < 15 ? 2.0 : i < 64 ? 0.0 : i < 128 ? -1.0 : i < 128 + 66 ? 0.5 : 0.0;  // padding is zero
    EXPECT_EQ(flat[i], expected) << i;
  }
}

TEST(ParamStore, HandlesAreWindows) {
  ParamStore<float> store;
  const auto a = store.add("a", {2, 3}, Init::constant(0.0));
  store.finalize(1);
  store.set(*store.find("a"), {1, 2, 3, 4, 5, 6});
  EXPECT_EQ(values_of(a.value()), (std::vector<double>{1, 2, 3, 4, 5, 6}));
  test::assign(a.grad(), {6, 5, 4, 3, 2, 1});
  EXPECT_EQ(store.get_gradient(a.info()), (std::vector<double>{6, 5, 4, 3, 2, 1}));
  store.zero_gradients(Exec());
  Kokkos::fence();
  EXPECT_EQ(values_of(store.gradients()), std::vector<double>(64, 0.0));
  EXPECT_EQ(store.get(a.info()), (std::vector<double>{1, 2, 3, 4, 5, 6}));
  EXPECT_THROW(store.set(a.info(), {1, 2}), Error);
}

std::vector<double> first_values(std::uint64_t seed, bool other_order) {
  ParamStore<double> store;
  if (other_order) store.add("b", {10}, Init::normal(1.0));
  store.add("a", {50, 40}, Init::uniform(0.5));
  if (!other_order) store.add("b", {10}, Init::normal(1.0));
  store.finalize(seed);
  return store.get(*store.find("a"));
}

TEST(ParamStore, FirstValuesDependOnSeedAndNameOnly) {
  EXPECT_EQ(first_values(1, false), first_values(1, true));
  EXPECT_NE(first_values(1, false), first_values(2, false));
}

TEST(ParamStore, FirstValuesFollowTheirDistribution) {
  ParamStore<double> store;
  store.add("uniform", {100, 100}, Init::uniform(0.5));
  store.add("normal", {100, 100}, Init::normal(2.0));
  store.finalize(3);
  const auto moments = [&](const char* name) {
    const auto v = store.get(*store.find(name));
    double mean = 0.0, squares = 0.0;
    for (const double x : v) mean += x / 1e4;
    for (const double x : v) squares += x * x / 1e4;
    return std::pair(mean, squares);
  };
  EXPECT_NEAR(moments("uniform").first, 0.0, 4.0 * 0.2887 / 100.0);
  EXPECT_NEAR(moments("uniform").second, 1.0 / 12.0, 0.004);
  EXPECT_NEAR(moments("normal").first, 0.0, 4.0 * 2.0 / 100.0);
  EXPECT_NEAR(moments("normal").second, 4.0, 4.0 * 4.0 * std::sqrt(2.0) / 100.0);
  for (const double x : store.get(*store.find("uniform"))) {
    EXPECT_LE(std::abs(x), 0.5);
  }
}

TEST(ParamStore, RefusesWhatWouldGoUnnoticed) {
  ParamStore<double> store;
  store.add("a", {2}, Init::constant(0.0));
  store.add_buffer("m", {2}, 0.0);
  EXPECT_THROW(store.add("a", {3}, Init::constant(0.0)), Error);
  EXPECT_THROW(store.add_buffer("m", {3}, 0.0), Error);
  store.finalize(1);
  EXPECT_THROW(store.add("late", {2}, Init::constant(0.0)), Error);
  EXPECT_THROW(store.add_buffer("late", {2}, 0.0), Error);
  EXPECT_THROW(store.finalize(1), Error);
  EXPECT_EQ(store.find("none"), nullptr);
  EXPECT_EQ(store.find_buffer("a"), nullptr);
}

}  // namespace
}  // namespace gnn_hpc
