// SPDX-License-Identifier: Apache-2.0
#include "models/partoken/golden.hpp"

#include "models/partoken/codebook.hpp"
#include "verify/manifest.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace gnn_hpc::verify::partoken {

namespace {

using gnn_hpc::partoken::Codebook;
using gnn_hpc::partoken::CodebookOptions;

/// Centres of `samples` rows of the file's samples; `used` counts the samples drawn for empty centres.
template <class T>
RealTensor centres_of(GoldenFile& file, const RealTensor& samples, std::size_t count, int codes, std::int64_t& used) {
  CodebookOptions options;
  options.codes = codes;
  options.width = static_cast<int>(samples.shape[1]);
  options.cosine = file.has_attribute("config", "cosine") && file.flag_attribute("config", "cosine");
  ParamStore<T> store;
  Codebook<T> codebook(store, options);
  store.finalize(0);
  const auto all = static_cast<std::int64_t>(samples.shape[0]);
  const std::vector<int> refill = file.indices("inputs/refill", file.integers("inputs/refill", {-1}), all);
  typename Codebook<T>::Draws draws;
  draws.permutation = file.indices("inputs/perm", file.integers("inputs/perm", {all}), all);
  if (std::set<int>(draws.permutation.begin(), draws.permutation.end()).size() != draws.permutation.size()) file.fail("inputs/perm: no permutation");
  draws.refill = [&] {
    if (used == static_cast<std::int64_t>(refill.size())) file.fail("inputs/refill: more empty centres than entries");
    return refill[static_cast<std::size_t>(used++)];
  };
  codebook.start_from_samples({samples.values.begin(), samples.values.begin() + static_cast<std::ptrdiff_t>(count * samples.shape[1])}, draws);
  const TensorInfo& e = *store.find_buffer("codebook.embeddings");
  return {e.shape, store.get_buffer(e)};
}

template <class T>
void check(GoldenFile& file, Report& report) {
  const RealTensor samples = file.real("inputs/samples", {-1, -1});
  const auto all = static_cast<std::int64_t>(samples.shape[0]);
  if (all == 0 || samples.shape[1] == 0) file.fail("inputs/samples: no samples");
  const auto codes = static_cast<int>(file.integer_attribute("config", "K", 2, 1000000));
  // The permutation is one of all samples, hence the few must be fewer than the codes: they are repeated and not drawn.
  const auto few = static_cast<int>(file.integer_attribute("config", "few", 1, std::min<std::int64_t>(all, codes - 1)));
  const double allowed = Tolerances::of(std::is_same_v<T, float>).output;
  std::int64_t used = 0;
  report.compare("outputs/centres", file.real("outputs/centres"), centres_of<T>(file, samples, static_cast<std::size_t>(all), codes, used), allowed);
  report.compare("outputs/refills_used", file.scalar("outputs/refills_used"), static_cast<double>(used), 0.0);
  report.compare("outputs/few_centres", file.real("outputs/few_centres"), centres_of<T>(file, samples, static_cast<std::size_t>(few), codes, used),
                 allowed);
}

}  // namespace

void check_kmeans(GoldenFile& file, bool single_precision, Report& report) {
  Manifest(file).data({"samples", "perm", "refill"}, "inputs/").data({"centres", "refills_used", "few_centres"}, "outputs/").finish();
  single_precision ? check<float>(file, report) : check<double>(file, report);
}

}  // namespace gnn_hpc::verify::partoken
