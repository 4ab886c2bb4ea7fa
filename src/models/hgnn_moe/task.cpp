// SPDX-License-Identifier: Apache-2.0
#include "models/hgnn_moe/task.hpp"

#include "base/digest.hpp"
#include "base/error.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "models/hgnn_moe/decoder.hpp"

#include <cmath>
#include <limits>
#include <numbers>

namespace gnn_hpc::hgnn_moe {

template <class T>
LanguageTask<T>::LanguageTask(DataOptions data, const ModelOptions& model, std::uint64_t seed) : dataset_(std::move(data)), model_(store_, model) {
  store_.finalize(seed);
}

template <class T>
bool LanguageTask<T>::open_data(const Comm& comm, DataUse use) {
  if (use == DataUse::prediction) {
    throw Error(Exit::usage,
                "system hgnn_moe is a language model: it has no values to predict by sample; continue a text with "
                "gnn_hpc generate RUN --prompt TEXT");
  }
  return dataset_.open(comm, use);
}

template <class T>
DataState LanguageTask<T>::data_state() const {
  return {{{"data_digest", digest_numbers(dataset_.digest())}}, {}};
}

template <class T>
void LanguageTask<T>::set_data_state(const DataState& state) {
  const auto digest = state.numbers.find("data_digest");
  if (digest != state.numbers.end() && digest->second != digest_numbers(dataset_.digest())) {
    throw Error(Exit::data,
                "the text or the way it is cut changed since the checkpoint was written; restore it, or start anew in another "
                "run.dir (restart: never)");
  }
}

template <class T>
void LanguageTask<T>::collate(std::span<const std::int64_t> samples, HostBatch& batch) const {
  dataset_.collate(samples, model_.may_pack(), static_cast<HostTokenBatch&>(batch));
}

template <class T>
BatchSize LanguageTask<T>::upload(const HostBatch& batch, Step<T>& step) {
  const auto& tokens = static_cast<const HostTokenBatch&>(batch);
  batch_.upload(tokens, step.exec);
  return {tokens.num_sequences, static_cast<std::int64_t>(tokens.tokens), 0};
}

template <class T>
View1<double> LanguageTask<T>::loss(Step<T>& step, double divisor) {
  loss_ = model_.loss(step, batch_, divisor);
  // Evaluation is about the text alone; training minimises the specialisation losses as well.
  return step.training() ? loss_ : View1<double>(Kokkos::subview(loss_, Kokkos::make_pair(1, 3)));
}

template <class T>
void LanguageTask<T>::measure(const HostBatch& batch, Step<T>& step, Measures& measures) {
  step.exec.fence("gnn_hpc::LanguageTask::measure");
  const auto host = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), loss_);  // with divisor 1: the sum
  measures.add("loss", host(1), batch.loss_weight);
  if (!measures.keep_predictions) return;
  for (const std::int64_t sample : batch.samples) {
    measures.predictions.emplace_back();
    measures.predictions.back().sample = sample;
  }
}

template <class T>
std::vector<std::pair<std::string, double>> LanguageTask<T>::metrics(const Measures& reduced) const {
  const auto [sum, count] = reduced.sum_of("loss");
  const double loss = count > 0.0 ? sum / count : std::numeric_limits<double>::quiet_NaN();
  return {{"bits_per_byte", loss / std::numbers::ln2}, {"perplexity", std::exp(std::fmin(loss, 20.0)) + 0.0 * loss}};
}

template <class T>
double LanguageTask<T>::flops(const HostBatch& batch) const {
  return model_.flops(static_cast<const HostTokenBatch&>(batch).seq_ptr);
}

template <class T>
std::vector<std::pair<std::string, std::vector<double>>> LanguageTask<T>::report() {
  if (!warned_of_degrees_) {
    for (const std::string& message : model_.degree_warnings()) {
      warned_of_degrees_ = true;
      log_warning("{}", message);
    }
  }
  return model_.report();
}

template <class T>
std::string LanguageTask<T>::variant() const {
  const ModelOptions& o = model_.options();
  return fmt::format("{} coupler, {} expert(s), {} layer(s), width {}, sequences of {} tokens at most",
                     o.coupler_type == CouplerType::hgnn ? "HGNN" : "GNN", o.num_experts, o.num_layers, o.embed_dim, o.max_seq_length);
}

template <class T>
std::vector<std::string> LanguageTask<T>::describe() const {
  const ParameterCounts n = model_.parameter_counts(store_);
  return {fmt::format("parameters: {} ({} experts, {} couplers, {} the rest)", format_count(static_cast<long long>(store_.num_parameters())),
                      format_count(static_cast<long long>(n.experts)), format_count(static_cast<long long>(n.couplers)),
                      format_count(static_cast<long long>(n.rest)))};
}

template <class T>
std::unique_ptr<Decoder> LanguageTask<T>::new_decoder() {
  return std::make_unique<TokenDecoder<T>>(model_);
}

template <class T>
std::unique_ptr<Task<T>> make_task(Config& root, std::uint64_t seed) {
  DataOptions data = DataOptions::parse(root.block("data", "text"));
  ModelOptions model = ModelOptions::parse(root.block("model", "language model with graph-coupled experts"));
  if (!model.problems().empty()) model = ModelOptions{};  // already reported; the task must still be built
  data.cut.length = model.max_seq_length;
  data.vocabulary = model.vocab_size;
  return std::make_unique<LanguageTask<T>>(std::move(data), model, seed);
}

template class LanguageTask<float>;
template class LanguageTask<double>;
template std::unique_ptr<Task<float>> make_task<float>(Config&, std::uint64_t);
template std::unique_ptr<Task<double>> make_task<double>(Config&, std::uint64_t);

}  // namespace gnn_hpc::hgnn_moe
