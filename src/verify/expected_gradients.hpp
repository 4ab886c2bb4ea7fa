// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "nn/param.hpp"
#include "verify/comparison.hpp"
#include "verify/golden_file.hpp"
#include "verify/trajectory.hpp"

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace gnn_hpc::verify {

/// A tensor whose gradient a golden file may hold.
struct GradientName {
  std::string name;  ///< behind `grads/`
  std::vector<std::size_t> shape;
  bool used = true;        ///< false: takes no part in the model; its gradient is exactly zero
  bool cancels = false;    ///< its gradient may be a sum of terms that cancel, so that an exact zero of the file is noise elsewhere
  bool saturates = false;  ///< it feeds a softmax, of which saturated rows leave the difference of two nearly equal numbers
  std::size_t size() const;
};

/// One per tensor of a store; what `strip` says is cut off the front of the names.
std::vector<GradientName> gradient_names(const std::deque<TensorInfo>& tensors, const std::string& strip = {});

/// The gradients of a golden file and what it allows them to differ by. The file alone decides, never what this program computes:
///   m = largest entry of the file's tensor, G = largest entry of all gradients of the file
///   allowed difference of an entry = rtol m + noise, where noise is
///     the attribute `noise` (double) or `noise_single` of the data set where the file carries them: the rounding, absolute, that
///     the reference measured; of `noise` alone, single precision takes 2^29 times as much, the ratio of the roundings; else, if m
///     <= kZeroGradient G (class zero: what the file holds is itself rounding), z G with z = 3e-13 in double, 1e-6 in single, and
///     no less than 4 m, in single 4 * 2^29 m: the noise that the file itself shows;
///     else, of tensors that feed a softmax, 64 u G, u the rounding of one operation, but no more than m / 2: the gradient of a
///     logit is S_k (dS_k - sum_j S_j dS_j), and next to S_k = 1 its rounding is that of dS, which no digit of the difference
///     survives; else 0
///   tensors that are not used, or all zeros in the file: exactly zero on both sides (unless they `cancel`, then class zero)
/// Gradients may be stored whole (`grads`), or as digests there (`config` says grads = digest), as fingerprints (`grads_fingerprint`), as norms
/// (`grads_norm`), as their first rows (`grads_head`); of a tensor that is not whole, m is what the file proves: max(stored entries, norm /
/// sqrt(size)). Norms may differ by rtol norm + noise sqrt(size), sums and projections by sqrt(size) times that (Cauchy and Schwarz).
class ExpectedGradients {
 public:
  /// Reads the gradient groups below `prefix` ("" or "group/"). Throws Error(Exit::data) for tensors that are no numbers.
  ExpectedGradients(GoldenFile& file, const std::string& prefix, std::vector<GradientName> names, const Tolerances& allowed);

  /// Names without any gradient in the file, of which every entry or the norm must be known to count. `unused_too`: also of those
  /// not used.
  std::vector<std::string> missing(bool unused_too) const;

  /// Compares every form the file has of this gradient; a tensor that is not used, and not stored, with zeros.
  void compare(const std::string& name, const RealTensor& ours, const std::string& suffix, Report& report) const;
  /// A failing line for every stored gradient that no tensor has.
  void report_unknown(Report& report) const;

  double largest() const { return largest_; }  ///< G; NaN if one entry is
  /// L2 norm of all gradients, as the file tells it.
  double norm() const;
  /// What the file allows an entry of this gradient to differ by.
  double allowed(const std::string& name) const;
  /// How far apart rounding may carry the L2 norms of two copies of this parameter; see docs/verification.md for the derivation.
  /// Adam moves an entry by at most eta |m| / (sqrt(v) + eps), m a mean and sqrt(v) a quadratic mean of the clipped gradients c g
  /// so far. If these are off by c n, both means are, and the quotient by no more than 2 c n / (c |g| + c n + eps); all steps
  /// together, and the norm by no more than the vector of entries (triangle inequality):
  ///   walk = 2 sum(eta) sqrt(sum_i (c n_i / (c |g_i| + c n_i + eps))^2),   eps = 1e-8
  /// n_i = noise of the tensor (see above), plus 16 u min(largest of its row, largest of its column). Entries of class zero have
  /// the noise of that class, no more than 16 times the largest that the file shows; of vectors single entries may be of it (the
  /// bias of the keys, which no softmax feels). An entry that is exactly zero does not move.
  double walk(const std::string& name, const Steps& steps) const;

 private:
  struct Stored {
    GradientName tensor;
    std::optional<RealTensor> whole, digest, fingerprint, norm, head;
    double largest = 0.0, two_norm = 0.0;  ///< m and the L2 norm
    std::optional<double> noise;           ///< as the file says, of the precision at hand
    bool any() const { return whole || digest || fingerprint || norm || head; }
  };
  void read(GoldenFile& file, Stored& stored) const;
  const Stored& at(const std::string& name) const;
  bool is_zero(const Stored& stored) const;
  double noise_of(const Stored& stored) const;
  double zero_noise(double largest) const;  ///< of class zero with this largest entry
  double walk_noise(double largest) const;

  std::string prefix_;
  Tolerances tolerances_;
  std::map<std::string, Stored> tensors_;
  std::vector<std::string> unknown_;
  double largest_ = 0.0;
};

}  // namespace gnn_hpc::verify
