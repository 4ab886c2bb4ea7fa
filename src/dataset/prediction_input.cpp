// SPDX-License-Identifier: Apache-2.0
#include "dataset/prediction_input.hpp"

#include "base/yaml_tree.hpp"

namespace gnn_hpc {

std::vector<std::string> labelled_prediction_input(const std::string& path) {
  return {"data.train=[]", "data.validation=[]", "data.test=[]", "data.path=" + yaml_scalar(path)};  // a file may be called [x].csv
}

}  // namespace gnn_hpc
