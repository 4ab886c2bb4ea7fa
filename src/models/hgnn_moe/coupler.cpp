// SPDX-License-Identifier: Apache-2.0
#include "models/hgnn_moe/coupler.hpp"

#include "models/hgnn_moe/gnn_coupler.hpp"
#include "models/hgnn_moe/hgnn_coupler.hpp"

#include <algorithm>

namespace gnn_hpc::hgnn_moe {

RowPieces::RowPieces(int num_rows, int most) : rows(num_rows) {
  if (rows == 0) return;
  const long lanes = num_lanes();
  const long wanted = ((static_cast<long>(rows) + most - 1) / most + lanes - 1) / lanes * lanes;
  piece = static_cast<int>((rows + wanted - 1) / wanted);
  count = (rows + piece - 1) / piece;
}

template <class T>
std::unique_ptr<Coupler<T>> make_coupler(ParamStore<T>& store, const std::string& name, const ModelOptions& options) {
  if (options.coupler_type == CouplerType::gnn) return std::make_unique<GnnCoupler<T>>(store, name, options);
  return std::make_unique<HgnnCoupler<T>>(store, name, options, options.num_experts);
}

template std::unique_ptr<Coupler<float>> make_coupler<float>(ParamStore<float>&, const std::string&, const ModelOptions&);
template std::unique_ptr<Coupler<double>> make_coupler<double>(ParamStore<double>&, const std::string&, const ModelOptions&);

}  // namespace gnn_hpc::hgnn_moe
