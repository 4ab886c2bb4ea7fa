// SPDX-License-Identifier: Apache-2.0
#include "io/token_table.hpp"

#include "base/error.hpp"
#include "io/text_source.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

namespace gnn_hpc {

namespace {

constexpr std::int64_t kBlockIds = 1 << 20;

bool is_integer(DType type) { return type != DType::f32 && type != DType::f64; }

}  // namespace

bool TokenTable::is_one(const std::string& path) {
  return ends_with_any_case(path, ".h5") || ends_with_any_case(path, ".hdf5") || ends_with_any_case(path, ".hdf");
}

void TokenTable::fail(const std::string& message) const { throw Error(Exit::data, file_.path() + ": " + message); }

TokenTable::TokenTable(const std::string& path, int length, int vocabulary) : file_(path), vocabulary_(vocabulary) {
  const auto attribute = [&](const char* name, double low, double high) {
    const double value = file_.attribute_number("/", name);
    if (!(value >= low && value <= high) || value != std::floor(value)) {
      fail(fmt::format("attribute {} is {}, allowed: an integer in [{}, {}]", name, value, low, high));
    }
    return static_cast<std::int64_t>(value);
  };
  if (file_.has_attribute("/", "vocab_size")) {
    vocabulary_ = attribute("vocab_size", 1.0, 2147483647.0);
    if (vocabulary_ > vocabulary) {
      fail(fmt::format("its vocabulary has {} tokens (attribute vocab_size), the model's {}; set model.vocab_size={}", vocabulary_, vocabulary,
                       vocabulary_));
    }
  }
  const double last = static_cast<double>(vocabulary_ - 1);
  if (file_.has_attribute("/", "pad_id")) attribute("pad_id", 0.0, last);
  if (file_.has_attribute("/", "eos_id")) attribute("eos_id", 0.0, last);

  const bool table = file_.exists("/input_ids");
  if (!table && !file_.exists("/tokens")) {
    fail(fmt::format("neither input_ids [N,L] nor tokens [T] is in it; it has {}", fmt::join(file_.datasets(), ", ")));
  }
  dataset_ = table ? "/input_ids" : "/tokens";
  const Shape shape = file_.shape(dataset_);
  if (file_.is_text(dataset_) || !is_integer(file_.dtype(dataset_))) fail(dataset_.substr(1) + " must hold integers");
  if (shape.size() != (table ? 2U : 1U)) {
    fail(fmt::format("{} has shape [{}], expected [{}]", dataset_.substr(1), fmt::join(shape, ","), table ? "N,L" : "T"));
  }
  columns_ = table ? shape[1] : length;
  rows_ = table ? shape[0] : shape[0] / length;
  if (columns_ > length) {
    fail(fmt::format("rows of {} tokens, longer than model.max_seq_length={}; set that to {}, or cut the rows", columns_, length, columns_));
  }
  if (table && file_.exists("/attention_mask")) {
    has_mask_ = true;
    const Shape mask = file_.shape("/attention_mask");
    if (mask != shape) fail(fmt::format("attention_mask has shape [{}], input_ids [{}]", fmt::join(mask, ","), fmt::join(shape, ",")));
    if (file_.is_text("/attention_mask") || !is_integer(file_.dtype("/attention_mask"))) fail("attention_mask must hold integers");
  }
}

void TokenTable::load() {
  const std::int64_t rows = std::min(rows_ - next_, std::max<std::int64_t>(1, kBlockIds / std::max<std::int64_t>(1, columns_)));
  block_begin_ = next_;
  block_end_ = next_ + rows;
  const auto count = static_cast<std::size_t>(rows * columns_);
  ids_.resize(count);
  // A row of `tokens` is one number.
  file_.read_rows<std::int64_t>(dataset_, dataset_ == "/tokens" ? block_begin_ * columns_ : block_begin_, std::span<std::int64_t>(ids_));
  if (has_mask_) {
    mask_.resize(count);
    file_.read_rows<std::int64_t>("/attention_mask", block_begin_, std::span<std::int64_t>(mask_));
  }
}

bool TokenTable::next(TokenSequence& out) {
  out.ids.clear();
  out.mask.clear();
  if (next_ >= rows_) return false;
  if (next_ >= block_end_) load();
  const auto first = static_cast<std::size_t>((next_ - block_begin_) * columns_);
  std::size_t used = 0;  // up to the last real token
  for (std::size_t c = 0; c < static_cast<std::size_t>(columns_); ++c) {
    const std::int64_t id = ids_[first + c];
    if (id < 0 || id >= vocabulary_) {
      const std::string where = dataset_ == "/tokens" ? fmt::format("position {}", next_ * columns_ + static_cast<std::int64_t>(c))
                                                      : fmt::format("row {}, column {}", next_, c);
      fail(fmt::format("{}: {} (counted from 0): id {} is outside the vocabulary [0, {})", dataset_.substr(1), where, id, vocabulary_));
    }
    const std::int64_t mask = has_mask_ ? mask_[first + c] : 1;
    if (mask != 0 && mask != 1) {
      fail(fmt::format("attention_mask: row {}, column {} (counted from 0) is {}, allowed: 0 or 1", next_, c, mask));
    }
    out.ids.push_back(static_cast<std::int32_t>(id));
    if (has_mask_) out.mask.push_back(static_cast<std::uint8_t>(mask));
    if (mask == 1) used = c + 1;
  }
  out.ids.resize(used);
  if (has_mask_) out.mask.resize(used);
  out.place = next_++;
  return true;
}

}  // namespace gnn_hpc
