// SPDX-License-Identifier: Apache-2.0
// The codebook against plain loops of its definition, its gradients against differences, its start and its revival.
#include "models/partoken/codebook.hpp"

#include "base/error.hpp"
#include "nn/traced_tensor.hpp"
#include "support/gradcheck.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace gnn_hpc::partoken {
namespace {

using test::TestStep;
using Values = std::vector<double>;

std::size_t size(int n) { return static_cast<std::size_t>(n); }

CodebookOptions options(int codes, int width, bool cosine = false, double temperature = 2.0) {
  CodebookOptions o;
  o.codes = codes;
  o.width = width;
  o.cosine = cosine;
  o.psc_temp = temperature;
  return o;
}

/// A codebook in use: codes as far apart as the clusters are, counts 1, 2, 3, 1 ...
template <class T>
struct Book {
  ParamStore<T> store;
  Codebook<T> book;

  explicit Book(const CodebookOptions& o, bool used = true) : book(store, o) {
    store.finalize(3);
    book.begin(Exec());
    if (!used) return;
    const Values e = test::random_values(size(o.codes * o.width), 21);
    Values counts(size(o.codes)), sums = e;
    for (std::size_t k = 0; k < counts.size(); ++k) counts[k] = static_cast<double>(1 + k % 3);
    for (std::size_t i = 0; i < sums.size(); ++i) sums[i] *= counts[i / size(o.width)];
    set("embeddings", e);
    set("ema_counts", counts);
    set("ema_sums", sums);
  }
  Values get(const std::string& name) const { return store.get_buffer(*store.find_buffer("codebook." + name)); }
  void set(const std::string& name, const Values& values) { store.set_buffer(*store.find_buffer("codebook." + name), values); }
};

double distance(const CodebookOptions& o, const double* z, const double* e) {
  double squares = 0.0, product = 0.0, zz = 0.0, ee = 0.0;
  for (int c = 0; c < o.width; ++c) {
    squares += (z[c] - e[c]) * (z[c] - e[c]);
    product += z[c] * e[c];
    zz += z[c] * z[c];
    ee += e[c] * e[c];
  }
  return o.cosine ? 1.0 - product / (std::max(std::sqrt(zz), 1e-12) * std::max(std::sqrt(ee), 1e-12)) : squares;
}

/// One training step of the codebook in plain loops.
struct Plain {
  CodebookOptions o;
  Values e, counts, sums, picked;
  std::vector<int> code;
  double commit = 0.0;

  void quantise(const Values& z, const std::vector<int>& members) {
    const auto rows = members.size(), width = size(o.width);
    const Values before = e;
    Values seen(counts.size(), 0.0), seen_sums(e.size(), 0.0);
    code.assign(rows, -1);
    picked.assign(z.size(), 0.0);
    double clusters = 0.0;
    commit = 0.0;
    for (std::size_t r = 0; r < rows; ++r) {
      if (members[r] == 0) continue;
      const double* row = &z[r * width];
      const auto far = [&](int k) { return distance(o, row, &before[size(k) * width]); };
      int best = 0;
      for (int k = 1; k < o.codes; ++k) best = far(k) < far(best) ? k : best;
      code[r] = best;
      clusters += 1.0;
      seen[size(best)] += 1.0;
      for (std::size_t c = 0; c < width; ++c) {
        picked[r * width + c] = before[size(best) * width + c];
        commit += (row[c] - picked[r * width + c]) * (row[c] - picked[r * width + c]);
        seen_sums[size(best) * width + c] += row[c];
      }
    }
    if (clusters > 0.0) commit /= clusters * static_cast<double>(width);
    for (std::size_t k = 0; k < counts.size(); ++k) counts[k] = o.decay * counts[k] + (1.0 - o.decay) * seen[k];
    for (std::size_t i = 0; i < e.size(); ++i) {
      sums[i] = o.decay * sums[i] + (1.0 - o.decay) * seen_sums[i];
      e[i] = sums[i] / (counts[i / width] + o.epsilon);
    }
  }

  /// [B,K] from the codes as they are now.
  Values presence(const Values& z, const std::vector<int>& members, int graphs) const {
    const std::size_t width = size(o.width), codes = size(o.codes), clusters = members.size() / size(graphs);
    Values logs(size(graphs) * codes, 0.0);
    for (std::size_t r = 0; r < members.size(); ++r) {
      Values far(codes);
      for (std::size_t k = 0; k < codes; ++k) {
        for (std::size_t c = 0; c < width; ++c) far[k] += std::pow(z[r * width + c] - e[k * width + c], 2);
      }
      const double least = *std::min_element(far.begin(), far.end());
      double sum = 0.0;
      for (double& d : far) sum += d = std::exp(-(d - least) / o.psc_temp);
      for (std::size_t k = 0; k < codes; ++k) {
        const double share = members[r] > 0 ? far[k] / sum : 0.0;
        logs[r / clusters * codes + k] += std::log1p(-std::clamp(share, 1e-6, 1.0 - 1e-6));
      }
    }
    for (double& x : logs) x = 1.0 - std::exp(x);
    return logs;
  }
};

template <class T>
Plain plain_of(const Book<T>& b) {
  return {b.book.options(), b.get("embeddings"), b.get("ema_counts"), b.get("ema_sums"), {}, {}, 0.0};
}

View1<int> device(const std::vector<int>& values) { return test::array_of<int>({values.begin(), values.end()}); }
template <class T>
double number(const View1<T>& x) {
  return test::values_of(x).at(0);
}

/// Two chains of three clusters and one without any; the fourth row is the zero vector.
const std::vector<int> kMembers{3, 0, 1, 2, 1, 5, 0, 0, 0};
Values some_clusters(int width, std::uint64_t seed = 4) {
  Values z = test::random_values(kMembers.size() * size(width), seed);
  for (std::size_t r = 0; r < kMembers.size(); ++r) {
    if (kMembers[r] == 0 || r == 3) std::fill_n(z.begin() + static_cast<std::ptrdiff_t>(r * size(width)), width, 0.0);
  }
  return z;
}

template <class T>
void expect_plain(const CodebookOptions& o, double allowed) {
  Book<T> b(o);
  Plain plain = plain_of(b);
  TestStep<T> step;
  const View1<int> members = device(kMembers);
  for (const std::uint64_t seed : {4, 5, 6}) {
    const Values z = some_clusters(o.width, seed);
    plain.quantise(z, kMembers);
    step.arena.reset();
    step.poison();
    typename Codebook<T>::Saved s;
    b.book.quantise(step, test::matrix_of<T>(kMembers.size(), size(o.width), z), members, true, s);
    b.book.presence(step, 3, test::array_of<double>({7.0}), s);
    step.exec.fence();
    EXPECT_EQ(host_ints(s.code), plain.code);
    EXPECT_LT(test::relative_difference(test::values_of(s.picked), plain.picked), allowed);
    EXPECT_NEAR(number(s.commit), plain.commit, allowed * plain.commit);
    EXPECT_EQ(number(s.rows), 5.0);
    EXPECT_LT(test::relative_difference(b.get("ema_counts"), plain.counts), allowed);
    EXPECT_LT(test::relative_difference(b.get("ema_sums"), plain.sums), allowed);
    EXPECT_LT(test::relative_difference(b.get("embeddings"), plain.e), allowed);
    const Values presence = plain.presence(z, kMembers, 3);
    Values ours = test::values_of(s.absent);
    for (double& x : ours) x = 1.0 - x;
    EXPECT_LT(test::relative_difference(ours, presence), allowed) << "after the update";
    double psc = 0.0;
    for (std::size_t g = 0; g < 3; ++g) {
      double product = 1.0;
      for (std::size_t k = 0; k < size(o.codes); ++k) product *= 1.0 - presence[g * size(o.codes) + k];
      psc -= (1.0 - product) / 7.0;
    }
    EXPECT_NEAR(number(s.psc), psc, allowed);
  }
}

TEST(Codebook, StepsAreThoseOfPlainLoops) {
  for (const bool cosine : {false, true}) {
    for (const int codes : {1, 4, 37}) {
      SCOPED_TRACE(testing::Message() << (cosine ? "cosine " : "squared ") << codes);
      expect_plain<double>(options(codes, 6, cosine), 1e-12);
      expect_plain<float>(options(codes, 6, cosine), 1e-5);
    }
  }
}

TEST(Codebook, WithoutAnUpdateNothingMoves) {
  Book<double> b(options(5, 4));
  const Plain before = plain_of(b);
  TestStep<double> step;
  Codebook<double>::Saved s;
  b.book.quantise(step, test::matrix_of<double>(9, 4, some_clusters(4)), device(kMembers), false, s);
  step.exec.fence();
  EXPECT_EQ(b.get("embeddings"), before.e);
  EXPECT_EQ(b.get("ema_counts"), before.counts);
  EXPECT_EQ(b.get("ema_sums"), before.sums);
}

TEST(Codebook, OfEqualCodesTheFirstIsTaken) {
  for (const bool cosine : {false, true}) {
    Book<double> b(options(4, 2, cosine));
    b.set("embeddings", {5.0, 5.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0});
    TestStep<double> step;
    Codebook<double>::Saved s;
    b.book.quantise(step, test::matrix_of<double>(2, 2, {1.0, 0.1, 0.0, 0.0}), device({1, 1}), false, s);
    step.exec.fence();
    // All cosines with the zero vector are 0: the first of all; its nearest is the first of three.
    EXPECT_EQ(host_ints(s.code), (std::vector<int>{1, cosine ? 0 : 1}));
  }
}

TEST(Codebook, CodesWithoutClustersStayOrVanishAsPublished) {
  for (const bool corrected : {true, false}) {
    CodebookOptions o = options(3, 2);
    o.corrected = corrected;
    Book<double> b(o, false);
    const Values e = b.get("embeddings");
    EXPECT_EQ(b.get("ema_counts"), Values(3, corrected ? 1.0 : 0.0));
    EXPECT_EQ(b.get("ema_sums"), corrected ? e : Values(6, 0.0));
    EXPECT_GT(test::norm(e), 0.0);
    TestStep<double> step;
    Codebook<double>::Saved s;
    b.book.quantise(step, test::matrix_of<double>(2, 2, Values(4, 1.0)), device({0, 0}), true, s);
    step.exec.fence();
    EXPECT_EQ(number(s.commit), 0.0);
    Values expected = e;
    for (double& x : expected) x *= corrected ? 0.99 / (0.99 + o.epsilon) : 0.0;
    EXPECT_LT(test::relative_difference(b.get("embeddings"), expected), 1e-14);
  }
}

TEST(Codebook, ARankWithoutChainsTakesTheSameSteps) {
  Book<double> b(options(4, 3));
  Plain plain = plain_of(b);
  TestStep<double> step;
  const auto nothing = test::nan_matrix<double>(0, 3);
  Codebook<double>::Saved s;
  b.book.quantise(step, nothing, View1<int>(), true, s);
  b.book.presence(step, 0, test::array_of<double>({0.0}), s);
  b.book.commit_backward(step, s, 1.0, nothing);
  b.book.presence_backward(step, s, 1.0, nothing);
  step.exec.fence();
  plain.quantise({}, {});
  EXPECT_LT(test::relative_difference(b.get("embeddings"), plain.e), 1e-14);
  EXPECT_EQ(number(s.commit), 0.0);
  EXPECT_EQ(number(s.psc), 0.0);
}

struct Gradients {
  const char* name;
  CodebookOptions options;
  std::vector<int> members;
  int graphs;
};
void PrintTo(const Gradients& g, std::ostream* os) { *os << g.name; }

class CodebookGradients : public testing::TestWithParam<Gradients> {
 protected:
  /// @param loss  [1] from what the forward pass saved  @param back  adds weight times its gradient
  void expect_match(const std::function<View1<double>(const Codebook<double>::Saved&)>& loss,
                    const std::function<void(TestStep<double>&, const Codebook<double>::Saved&, double, View2<double>)>& back) {
    const Gradients& p = GetParam();
    const std::size_t rows = p.members.size(), width = size(p.options.width);
    TestStep<double> step;
    const auto z = test::random_matrix<double>(rows, width, 8), dz = test::nan_matrix<double>(rows, width);
    const View1<int> members = device(p.members);
    const auto chains = test::array_of<double>({p.graphs + 2.0});
    test::GradientCase c;
    c.forward = [&] {
      b_.book.quantise(step, z, members, false, saved_);
      b_.book.presence(step, size(p.graphs), chains, saved_);
      return View2<double>(loss(saved_).data(), 1, 1);
    };
    c.backward = [&](View2<double> dy) { back(step, saved_, test::values_of(dy).at(0), dz); };
    c.inputs = {{"z", z, dz, true}};
    c.h = 1e-4;  // codes and limits of shares stay what they are
    test::expect_gradients(step, c);
  }
  Book<double> b_{GetParam().options};
  Codebook<double>::Saved saved_;
};

TEST_P(CodebookGradients, OfTheCommitment) {
  expect_match([](const auto& s) { return s.commit; }, [&](TestStep<double>& step, const auto& s, double w,
                                                           View2<double> dz) { b_.book.commit_backward(step, s, w / GetParam().options.beta, dz); });
}
TEST_P(CodebookGradients, OfThePresence) {
  expect_match([](const auto& s) { return s.psc; },
               [&](TestStep<double>& step, const auto& s, double w, View2<double> dz) { b_.book.presence_backward(step, s, w, dz); });
}
INSTANTIATE_TEST_SUITE_P(Cases, CodebookGradients,
                         testing::Values(Gradients{"plain", options(6, 5), std::vector<int>(12, 1), 3},
                                         Gradients{"absent", options(6, 5), kMembers, 3}, Gradients{"cosine", options(6, 5, true), kMembers, 3},
                                         Gradients{"one_chain", options(6, 5), {1, 2, 0, 1}, 1},
                                         Gradients{"one_cluster", options(6, 5), {1, 1, 0}, 3}, Gradients{"one_code", options(1, 5), kMembers, 3},
                                         Gradients{"many_codes", options(40, 5), kMembers, 3},
                                         Gradients{"sharp", options(6, 5, false, 0.1), kMembers, 3},
                                         Gradients{"none", options(6, 5), std::vector<int>(6, 0), 2}),
                         [](const auto& one) { return std::string(one.param.name); });

TEST(Codebook, FiguresOfUse) {
  Book<double> b(options(4, 2));
  b.set("ema_counts", {6.0, 0.0, 3.0, 1.0});
  const double total = 10.0 + 1e-5;
  const Values usage{6.0 / total, 1e-5, 3.0 / total, 1.0 / total};
  double logs = 0.0, entropy = 0.0;
  for (const double u : usage) {
    logs += u * std::log(u + 1e-5);
    entropy += u * std::log(u / (0.25 + 1e-5));
  }
  EXPECT_EQ(b.book.usage(), usage);
  EXPECT_DOUBLE_EQ(b.book.perplexity(), std::exp(-logs));
  EXPECT_DOUBLE_EQ(b.book.entropy(), entropy);
}

/// Four codes of which only the first has clusters, after two steps that halve the counts.
Values revived(double below, std::uint64_t seed, Values* counts = nullptr) {
  CodebookOptions o = options(4, 3);
  o.decay = 0.5;
  o.revive_below = below;
  Book<double> b(o);
  Values e(12, -9.0);
  std::fill_n(e.begin(), 3, 2.0);
  b.set("embeddings", e);
  b.set("ema_sums", e);
  b.set("ema_counts", Values(4, 1.0));
  TestStep<double> step;
  step.key.seed = seed;
  Codebook<double>::Saved s;
  for (int turn = 0; turn < 2; ++turn) b.book.quantise(step, test::matrix_of<double>(2, 3, Values(6, 2.0)), device({1, 1}), true, s);
  step.exec.fence();
  if (counts != nullptr) *counts = b.get("ema_counts");
  return b.get("embeddings");
}

TEST(Codebook, CodesOutOfUseStartAnewBesideOneInUse) {
  Values counts;
  const Values e = revived(0.4, 1, &counts);
  EXPECT_EQ(counts, (Values{1.75, 1.0, 1.0, 1.0}));
  for (std::size_t i = 0; i < e.size(); ++i) EXPECT_NEAR(e[i], 2.0, 0.5) << i;
  EXPECT_EQ(e, revived(0.4, 1)) << "a function of seed and step";
  EXPECT_NE(e, revived(0.4, 2));
  EXPECT_NE(Values(e.begin() + 3, e.begin() + 6), Values(e.begin() + 6, e.begin() + 9));
  revived(0.2, 1, &counts);
  EXPECT_EQ(counts, (Values{1.75, 0.25, 0.25, 0.25})) << "none is below";
  revived(0.0, 1, &counts);
  EXPECT_EQ(counts, (Values{1.75, 0.25, 0.25, 0.25})) << "off";
}

/// Centres after the start, sorted nowhere; `refills` says how many samples took an empty centre's place.
Values started(const CodebookOptions& o, const Values& samples, const std::vector<int>& permutation, const std::vector<int>& refill,
               std::size_t* used) {
  Book<float> b(o);
  *used = 0;
  b.book.start_from_samples(samples, {permutation, [&] { return refill.at((*used)++); }});
  EXPECT_EQ(b.get("ema_counts"), Values(size(o.codes), 1.0));
  EXPECT_EQ(b.get("ema_sums"), b.get("embeddings"));
  return b.get("embeddings");
}

TEST(CodebookStart, EmptyCentresBecomeSamplesInTheOrderOfCodes) {
  std::size_t used = 0;
  // Codes 1 and 2 coincide with 0 and lose everything to it, they start again at 10 and 8. These take all from code 3, at 9 by then, which
  // becomes the first sample and stays without any: two more rounds see no centre move.
  EXPECT_EQ(started(options(4, 1), {0.0, 0.0, 0.0, 8.0, 10.0}, {0, 1, 2, 3, 4}, {4, 3, 0, 0, 0}, &used), (Values{0.0, 10.0, 8.0, 0.0}));
  EXPECT_EQ(used, 5U);
}

TEST(CodebookStart, FewerSamplesThanCodesAreRepeated) {
  std::size_t used = 0;
  EXPECT_EQ(started(options(5, 2), {1.0, 2.0, 3.0, 4.0}, {}, {}, &used), (Values{1.0, 2.0, 3.0, 4.0, 1.0, 2.0, 3.0, 4.0, 1.0, 2.0}));
  EXPECT_EQ(used, 0U);
}

TEST(CodebookStart, UsesTheDistanceOfTheCodebook) {
  std::size_t used = 0;
  const Values samples{10.0, 0.0, 0.0, 1.0, 2.0, 1.0};
  EXPECT_EQ(started(options(2, 2), samples, {0, 1, 2}, {}, &used), (Values{10.0, 0.0, 1.0, 1.0}));
  EXPECT_EQ(started(options(2, 2, true), samples, {0, 1, 2}, {}, &used), (Values{6.0, 0.5, 0.0, 1.0}));
}

TEST(CodebookStart, WithoutSamplesIsRefused) {
  Book<double> b(options(2, 2));
  EXPECT_THROW(b.book.start_from_samples({}, {}), Error);
}

}  // namespace
}  // namespace gnn_hpc::partoken
