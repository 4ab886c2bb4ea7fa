// SPDX-License-Identifier: Apache-2.0
#include "models/hgnn_moe/golden_inputs.hpp"

#include "base/error.hpp"
#include "base/text.hpp"

#include <map>

namespace gnn_hpc::verify::hgnn_moe {

using gnn_hpc::hgnn_moe::Aggregation;
using gnn_hpc::hgnn_moe::CouplerType;
using gnn_hpc::hgnn_moe::HyperedgeStrategy;
using gnn_hpc::hgnn_moe::HypergraphNorm;
using gnn_hpc::hgnn_moe::ModelOptions;
using gnn_hpc::hgnn_moe::OrthogonalityType;
using gnn_hpc::hgnn_moe::WeightTarget;
using gnn_hpc::hgnn_moe::WeightTransform;

namespace {

/// One group of attributes.
class Attributes {
 public:
  Attributes(const GoldenFile& file, const std::string& group) : file_(file), group_(group) {}

  template <class Integer>
  void integer(const char* name, Integer& value, std::int64_t low) const {
    if (file_.has_attribute(group_, name)) value = static_cast<Integer>(file_.integer_attribute(group_, name, low, 1 << 24));
  }
  void number(const char* name, double& value) const {
    if (file_.has_attribute(group_, name)) value = file_.number_attribute(group_, name);
  }
  void flag(const char* name, bool& value) const {
    if (file_.has_attribute(group_, name)) value = file_.flag_attribute(group_, name);
  }
  template <class Word>
  void word(const char* name, Word& value, const std::map<std::string, Word>& allowed) const {
    if (!file_.has_attribute(group_, name)) return;
    const std::string text = file_.text_attribute(group_, name);
    const auto found = allowed.find(text);
    if (found != allowed.end()) {
      value = found->second;
      return;
    }
    std::vector<std::string> words;
    for (const auto& entry : allowed) words.push_back(entry.first);
    file_.fail(fmt::format("{}/{} is '{}', allowed are {}", group_, name, text, join(words, ", ")));
  }

 private:
  const GoldenFile& file_;
  const std::string& group_;
};

}  // namespace

ModelOptions read_options(const GoldenFile& file, const std::string& group) {
  ModelOptions o;
  const Attributes a(file, group);
  a.integer("vocab_size", o.vocab_size, 1);
  a.integer("max_seq_length", o.max_seq_length, 1);
  a.integer("embed_dim", o.embed_dim, 1);
  a.integer("num_layers", o.num_layers, 0);
  o.num_heads = 0;
  a.integer("num_heads", o.num_heads, 0);
  if (o.num_heads == 0) o.num_heads = gnn_hpc::hgnn_moe::default_num_heads(o.embed_dim);
  a.number("dropout_rate", o.dropout_rate);
  a.integer("num_experts", o.num_experts, 1);
  a.integer("gnn_layers", o.gnn_layers, 0);
  a.word<CouplerType>("coupler_type", o.coupler_type, {{"GNN", CouplerType::gnn}, {"HGNN", CouplerType::hgnn}});
  a.word<HyperedgeStrategy>(
      "static_hyperedge_strategy", o.strategy,
      {{"all_pairs", HyperedgeStrategy::all_pairs}, {"all_triplets", HyperedgeStrategy::all_triplets}, {"all", HyperedgeStrategy::all}});
  a.flag("hgnn_learnable_edge_weights", o.learnable_edge_weights);
  a.word<HypergraphNorm>("hgnn_norm", o.norm, {{"pyg", HypergraphNorm::pyg}, {"paper", HypergraphNorm::paper}});
  a.word<WeightTransform>("hgnn_weight_transform", o.weight_transform, {{"none", WeightTransform::none}, {"softplus", WeightTransform::softplus}});
  a.flag("apply_orthogonality_loss", o.orthogonality.outputs);
  a.number("orthogonality_loss_weight", o.orthogonality.output_weight);
  a.word<Aggregation>("orthogonality_aggregation", o.orthogonality.aggregation, {{"mean", Aggregation::mean}, {"pool", Aggregation::pool}});
  a.word<OrthogonalityType>("orthogonality_loss_type", o.orthogonality.type,
                            {{"gram_identity", OrthogonalityType::gram_identity}, {"cosine_similarity", OrthogonalityType::cosine_similarity}});
  a.integer("orthogonality_warmup_steps", o.orthogonality.warmup_steps, 0);
  a.flag("apply_weight_orthogonality_loss", o.orthogonality.weights);
  a.number("weight_orthogonality_loss_weight", o.orthogonality.weight_weight);
  a.word<WeightTarget>("weight_orthogonality_target_layer", o.orthogonality.weight_target,
                       {{"ffn_input", WeightTarget::ffn_input},
                        {"ffn_output", WeightTarget::ffn_output},
                        {"attention", WeightTarget::attention},
                        {"combined", WeightTarget::combined}});
  a.integer("num_ghost_experts", o.num_ghost_experts, 0);
  a.number("ghost_activation_threshold", o.ghost_activation_threshold);
  for (const auto& problem : o.problems()) file.fail(fmt::format("{}/{}: {}", group, problem.option, problem.message));
  return o;
}

template <class T>
void load_parameters(GoldenFile& file, const std::string& group, ParamStore<T>& store) {
  for (const TensorInfo& tensor : store.tensors()) {
    const std::string name = group + "/" + tensor.name;
    store.set(tensor, file.finite(name, {tensor.shape.begin(), tensor.shape.end()}).values);
  }
  for (const std::string& name : file.names_under(group)) {
    if (store.find(name.substr(group.size() + 1)) == nullptr) file.fail(fmt::format("{} is no parameter of the model that config describes", name));
  }
}

template void load_parameters<float>(GoldenFile&, const std::string&, ParamStore<float>&);
template void load_parameters<double>(GoldenFile&, const std::string&, ParamStore<double>&);

}  // namespace gnn_hpc::verify::hgnn_moe
