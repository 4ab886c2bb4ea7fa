// SPDX-License-Identifier: Apache-2.0
// What the program knows of this system.
#include "models/system.hpp"

#include "dataset/prediction_input.hpp"
#include "models/comformer/golden.hpp"
#include "models/comformer/task.hpp"

namespace gnn_hpc::comformer {

namespace {

constexpr verify::GoldenCheck kGolden[] = {
    {"comformer", "model", verify::comformer::check_model},
    {"comformer", "graphs", verify::comformer::check_graphs},
    {"comformer", "other", verify::comformer::check_other},
};

std::vector<std::string> prediction_input(const std::string& path) {
  std::vector<std::string> out = labelled_prediction_input(path);
  out.insert(out.end(), {"data.format=auto", "data.index="});
  return out;
}

}  // namespace

const System& system() {
  static const System row{
      .name = "comformer",
      .summary = "crystals: iComFormer and eComFormer, edge transformers on periodic graphs",
      .make_float = make_task<float>,
      .make_double = make_task<double>,
      .train_defaults = [] { return TrainOptions{}; },
      .prediction_input = prediction_input,
      .continues_texts = false,
      .golden_checks = kGolden,
      .part_benches = {},
  };
  return row;
}

}  // namespace gnn_hpc::comformer
