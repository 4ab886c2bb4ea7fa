// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace gnn_hpc {

/// 0 .. n-1 in the order of Python's `random.seed(seed); random.shuffle(list(range(n)))` (CPython 3.2 and later): MT19937 seeded by
/// `init_by_array`, Fisher-Yates from the end, draws by rejection of the top bits. Reproduces published splits.
std::vector<std::int64_t> python_shuffled(std::int64_t n, std::int64_t seed);

/// 0 .. n-1 in the order of NumPy's `RandomState(seed).permutation(n)`, with which scikit-learn splits: words of std::mt19937(seed),
/// Fisher-Yates from the end, draws below 2^32 by rejection of the low bits.
std::vector<std::int64_t> numpy_permutation(std::int64_t n, std::uint32_t seed);

/// Indices of the samples that train, validate and test: disjoint, together all.
struct SampleParts {
  std::vector<std::int64_t> train, validation, test;
};

/// As scikit-learn's ShuffleSplit twice with one seed: p = permutation(n); test = the first ceil(test n) of p, rest = the others;
/// q = permutation(|rest|) of a fresh generator; validation = the first ceil(|rest| validation / (1 - test)) of rest[q] (of 0.1 and 0.1 a
/// ninth), training the others in this order.
///
/// @param classes [n] labels for a stratified split; empty: none. Stratified: the same sizes, but test and validation take
/// members at equal distances of the permuted samples sorted (stably) by class, so that every part has its share of each class to
/// within one; all orders stay those of the permutations.
/// @param validation, test  shares; 0: that part stays empty
SampleParts holdout_parts(std::int64_t n, std::uint32_t seed, std::span<const std::int64_t> classes = {}, double validation = 0.1, double test = 0.1);

/// Cross-validation as scikit-learn's KFold(folds, shuffle) and train_test_split(0.1): consecutive folds of permutation(n), the first
/// n mod folds are one longer; test = fold, ascending; rest ascending, permuted by a fresh generator: its first ceil(0.1 |rest|)
/// validate, the others train. Stratified: member i of the permutation sorted by class is in fold i mod folds.
/// @param fold 0 .. folds-1  @param folds at least 2
SampleParts kfold_parts(std::int64_t n, std::uint32_t seed, int folds, int fold, std::span<const std::int64_t> classes = {});

}  // namespace gnn_hpc
