// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "nn/gvp_layer.hpp"
#include "nn/part_clock.hpp"

#include <optional>
#include <string>
#include <vector>

namespace gnn_hpc {

/// Widths of the encoder.
struct GvpEncoderOptions {
  int node_scalars = 100, node_vectors = 16;
  int edge_scalars = 32, edge_vectors = 1;
  int num_layers = 3;
  bool seq_in = false;       ///< a learned vector of the residue's type beside its angles
  bool vector_gate = false;  ///< gates from scalars in messages and feed-forward parts
};

/// Names of its parts in checkpoints; by default those of the published GVP.
struct GvpEncoderNames {
  std::string residue_type = "W_s", nodes = "W_v", edges = "W_e", layers = "layers", read_out = "W_out";
};

/// Residue graphs -> invariant features of residues [N,ns] (specification spec/gvp.md, section 3, Model without pooling and classifier): W_v and
/// W_e embed nodes and edges, L layers pass messages, W_out reads out.
template <class T>
class GvpEncoder {
 public:
  GvpEncoder() = default;
  GvpEncoder(ParamStore<T>& store, const GvpEncoderOptions& options, const GvpEncoderNames& names = {});

  const GvpEncoderOptions& options() const { return options_; }
  /// Null: nobody measures.
  void measure_parts(PartClock* clock) { clock_ = clock; }
  /// Activations stay in the step's arena for `backward`.
  View2<T> forward(Step<T>& step, const ResidueInput<T>& graph, const RowDropout<T>& dropout);
  /// dout [N,ns] is used up.
  void backward(Step<T>& step, const ResidueInput<T>& graph, View2<T> dout);

  /// A normalisation and a perceptron that is not activated, or only for scalars.
  struct Read {
    GvpNorm<T> norm;
    Gvp<T> gvp;
    Read() = default;
    Read(ParamStore<T>& store, const std::string& name, const GvpShape& shape) : norm(store, name + ".0", shape.si), gvp(store, name + ".1", shape) {}
  };
  struct ReadSaved {
    typename GvpNorm<T>::Saved norm;
    typename Gvp<T>::Saved gvp;
    GvpState<T> out;
    ReadSaved rows(int begin, int end) const { return {norm.rows(begin, end), gvp.rows(begin, end), out}; }
  };
  struct Saved {
    ReadSaved node, read_out;
    typename GvpNorm<T>::Saved edge_norm;
    GvpState<T> edge_input;  ///< v normalised; s is made again
    GvpState<T> edges;       ///< embedded
    std::vector<typename GvpLayer<T>::Saved> layers;
  };
  const Saved& saved() const { return saved_; }

 private:
  void embed_nodes(Step<T>& step, const ResidueInput<T>& graph);
  void embed_edges(Step<T>& step, const ResidueInput<T>& graph);
  void embed_edges_backward(Step<T>& step, const ResidueInput<T>& graph, const GvpState<T>& dedges);
  ReadSaved allocate(Step<T>& step, const Read& read, std::size_t rows) const;
  /// Rows of `s.norm` -> `s.out`.
  void read(Step<T>& step, const Read& layer, const ReadSaved& s, int rows) const;
  /// dout is used up; din (empty: not wanted) is overwritten.
  void read_backward(Step<T>& step, const Read& layer, const ReadSaved& s, const GvpState<T>& dout, const GvpState<T>& din) const;

  GvpEncoderOptions options_;
  Embedding<T> residue_type_;
  Read node_, edge_, out_;
  std::vector<GvpLayer<T>> layers_;
  Saved saved_;
  PartClock* clock_ = nullptr;
};

}  // namespace gnn_hpc
