// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace gnn_hpc {

/// What to do here about a key that other programs of this field know (chemprop, ALIGNN, ComFormer, common trainers of language
/// models): the key that stands for it, or that there is no such thing. Empty: not a known name. `-` and `_`, capitals and small
/// letters are the same. Asked only for keys that are unknown where they stand; better than the nearest spelling, which for
/// `weights` is an option of something else.
std::string foreign_key_advice(std::string_view key);

}  // namespace gnn_hpc
