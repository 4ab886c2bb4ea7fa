// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/partoken/model.hpp"
#include "models/protein/task.hpp"

#include <array>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace gnn_hpc::partoken {

/// What a phase may say of ParToken (specification spec/partoken.md, section 6).
inline constexpr std::array<PhaseFlag, 3> kPhaseFlags{
    {{"bypass_codebook", 0.0, true, "no codes, no presence: the loss is that of the classes"},
     {"kmeans_init", 1.0, true, "codes begin as the centres of clusters of the first training batches (model.kmeans_batches)"},
     {"freeze_codebook_last", 0.0, false, "epochs at the end of the phase in which codes stay as they are"}}};
inline constexpr std::array<std::string_view, 3> kLossParts{"vq", "psc", "card"};

/// ParToken on protein chains. Beside the metrics of the classes: coverage, clusters, cluster_size, importance_max, importance_entropy (means over
/// chains), perplexity of the codebook. Tables of evaluations: residues (cluster, token, importance), clusters, codebook.
template <class T>
class PartokenTask final : public protein::ProteinTask<T>, public AuxiliaryLoss, public LossParts, public ItemTable {
 public:
  PartokenTask(ProteinDataOptions data, const ModelOptions& model, std::uint64_t seed)
      : protein::ProteinTask<T>("partoken", std::move(data), model.protein, seed), options_(model) {}

  std::string variant() const override;
  bool begin_phase(const PhaseStart<T>& start) override;
  void forward(Step<T>& step) override;
  View1<double> loss(Step<T>& step, double divisor) override;
  void backward(Step<T>& step) override;
  void measure(const HostBatch& batch, Step<T>& step, Measures& measures) override;
  std::vector<std::pair<std::string, double>> metrics(const Measures& reduced) const override;

  bool has_auxiliary_loss() const override { return options_.loss != LossKind::ce; }
  View1<double> target_loss() override { return class_loss_; }
  std::vector<std::string> loss_parts() const override { return {kLossParts.begin(), kLossParts.end()}; }
  View1<double> part_losses() override { return model_->part_losses(); }

  std::string table_name() const override { return "residues"; }
  std::string item_word() const override { return "residue"; }
  std::vector<std::string> table_columns() const override { return {"cluster", "token", "importance"}; }
  std::vector<std::string> item_names(std::int64_t sample) const override { return this->dataset().residue_names(sample); }
  std::map<std::string, std::string> summaries(const std::vector<std::string>& ids, const std::vector<Prediction>& rows) const override;

  Model<T>& model() { return *model_; }
  const ModelOptions& model_options() const { return options_; }
  /// What `upload` brought.
  const ResidueInput<T>& input() const { return this->batch(); }

 protected:
  void make_model(ParamStore<T>& store) override;
  View2<T> residue_features() const override { return model_->saved().partition.x; }
  std::string component(const std::string& parameter) const override;

 private:
  bool bypass() const { return phase_.flag("bypass_codebook") != 0.0; }
  LossWeights weights(std::int64_t phase_epoch) const;
  /// Clusters of the first batches, gathered, as the start of the codebook. False: stopped.
  bool start_codebook(const PhaseStart<T>& start);
  /// That an update has reached the codes, or k-means did: before, tokens mean nothing.
  bool codebook_is_trained();

  ModelOptions options_;
  Phase phase_;  ///< under way; without flags in a prediction
  std::optional<Model<T>> model_;
  View1<double> class_loss_;
};

/// Reads the blocks `data`, `graph` and `model`; weights are drawn from the seed.
template <class T>
std::unique_ptr<Task<T>> make_task(Config& root, std::uint64_t seed);

}  // namespace gnn_hpc::partoken
