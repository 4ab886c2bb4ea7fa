// SPDX-License-Identifier: Apache-2.0
#include "models/hgnn_moe/model.hpp"

#include "base/error.hpp"

namespace gnn_hpc::hgnn_moe {

namespace {

using Shape = std::vector<std::size_t>;
using Values = std::vector<double>;

/// rows of hat (or (x - mean) r) times gamma plus beta
template <class T>
Values affine(const LayerNorm<T>& norm, Values hat) {
  const Values gamma = host_values(norm.weight.value1()), beta = host_values(norm.bias.value1());
  for (std::size_t i = 0; i < hat.size(); ++i) hat[i] = hat[i] * gamma[i % gamma.size()] + beta[i % gamma.size()];
  return hat;
}

template <class T>
class Tracer {
 public:
  Tracer(const Model<T>& model, Step<T>& step, const TokenBatch& batch)
      : model_(model),
        step_(step),
        batch_(batch),
        sequences_(static_cast<std::size_t>(batch.num_sequences)),
        length_(sequences_ > 0 ? static_cast<std::size_t>(batch.num_rows) / sequences_ : 0),
        width_(static_cast<std::size_t>(model.options().embed_dim)) {
    GNN_HPC_REQUIRE(sequences_ * length_ == static_cast<std::size_t>(batch.num_rows) && batch.longest == static_cast<int>(length_),
                    "a trace of {} rows in {} sequences: the batch is packed", batch.num_rows, batch.num_sequences);
  }

  std::vector<TracedTensor> run() {
    step_.exec.fence("gnn_hpc::hgnn_moe::trace");
    const auto& s = model_.saved();
    add("embedding", rows_shape(), host_values(s.embedding));
    for (std::size_t l = 0; l < model_.layers().size(); ++l) layer(l);
    add("output_norm", rows_shape(), affine(model_.output_norm(), host_values(s.output_hat)));
    if (!saturation_.empty()) add("saturation", {saturation_.size()}, saturation_);
    return std::move(out_);
  }

 private:
  Shape rows_shape() const { return {sequences_, length_, width_}; }
  void add(const std::string& name, Shape shape, Values values) { out_.push_back({name, std::move(shape), std::move(values)}); }

  void layer(std::size_t l) {
    const Layer<T>& layer = *model_.layers()[l];
    const std::string prefix = "layer" + std::to_string(l) + ".";
    for (const auto& [name, bank] : layer.banks()) {
      const Values outputs = host_values(layer.outputs(name));
      for (int e = 0; e < bank->size(); ++e) expert(prefix + name + std::to_string(e) + ".", *bank, e, outputs);
    }
    for (CouplerTap& tap : layer.taps(step_)) {
      if (tap.name == "saturation") {
        saturation_.push_back(tap.values[0]);
      } else {
        add(prefix + tap.name, tap.shape, std::move(tap.values));
      }
    }
    const Values in = host_values(model_.saved().x[l]), out = host_values(model_.saved().x[l + 1]);
    Values coupled(out.size());
    for (std::size_t i = 0; i < out.size(); ++i) coupled[i] = out[i] - in[i];
    add(prefix + "coupled", rows_shape(), std::move(coupled));
    add(prefix + "output", rows_shape(), out);
  }

  void expert(const std::string& prefix, const ExpertBank<T>& bank, int e, const Values& outputs) {
    const auto& saved = bank.saved();
    const auto& mine = saved.expert[static_cast<std::size_t>(e)];
    const Values after = host_values(mine.after), mean = host_values(mine.mean), rdev = host_values(mine.rdev);
    Values hat(after.size()), output(after.size());
    for (std::size_t i = 0; i < after.size(); ++i) {
      const std::size_t r = i / width_, c = i % width_;
      hat[i] = (after[i] - mean[r]) * rdev[r];
      output[i] = outputs[(r * static_cast<std::size_t>(bank.size()) + static_cast<std::size_t>(e)) * width_ + c];
    }
    add(prefix + "norm1", rows_shape(), affine(bank.expert(e).norm1, host_values(saved.hat)));
    probabilities(prefix, bank, e);
    add(prefix + "attention_context", rows_shape(), host_values(mine.context));
    add(prefix + "after_attention", rows_shape(), after);
    add(prefix + "norm2", rows_shape(), affine(bank.expert(e).norm2, std::move(hat)));
    add(prefix + "output", rows_shape(), std::move(output));
  }

  void probabilities(const std::string& prefix, const ExpertBank<T>& bank, int e) {
    ArenaFrame frame(step_.arena);
    const auto heads = static_cast<std::size_t>(bank.heads());
    const CausalAttention<T> attention(step_.arena, batch_.longest, bank.width() / bank.heads(), false);
    const auto p = step_.arena.template matrix<T>(length_, length_);
    Values out;
    for (int q = 0; q < batch_.num_sequences; ++q) {
      const auto sequence = bank.sequence(batch_, q, e);
      for (int h = 0; h < bank.heads(); ++h) {
        for_each_chunk(step_.exec, 1, [&](int lane, const ChunkExec& exec, int) {
          attention.probabilities(lane, exec, sequence.qkv, sequence.bias, sequence.key, h, bank.heads(), sequence.lse, p);
        });
        step_.exec.fence("gnn_hpc::hgnn_moe::trace");
        const Values one = host_values(p);
        out.insert(out.end(), one.begin(), one.end());
      }
    }
    add(prefix + "attention_probs", {sequences_, heads, length_, length_}, std::move(out));
  }

  const Model<T>& model_;
  Step<T>& step_;
  const TokenBatch& batch_;
  std::size_t sequences_, length_, width_;
  std::vector<TracedTensor> out_;
  Values saturation_;
};

}  // namespace

template <class T>
std::vector<TracedTensor> trace(const Model<T>& model, Step<T>& step, const TokenBatch& batch) {
  return Tracer<T>(model, step, batch).run();
}

template std::vector<TracedTensor> trace<float>(const Model<float>&, Step<float>&, const TokenBatch&);
template std::vector<TracedTensor> trace<double>(const Model<double>&, Step<double>&, const TokenBatch&);

}  // namespace gnn_hpc::hgnn_moe
