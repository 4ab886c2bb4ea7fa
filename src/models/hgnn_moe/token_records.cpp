// SPDX-License-Identifier: Apache-2.0
#include "models/hgnn_moe/token_records.hpp"

#include "base/digest.hpp"
#include "base/error.hpp"

#include <algorithm>
#include <filesystem>
#include <utility>

namespace gnn_hpc::hgnn_moe {

namespace {

/// Raise it when reading gives other samples from the same input.
constexpr int kSchemaVersion = 2;

struct SequenceWorkspace : RecordSource::Workspace {
  std::vector<std::uint8_t> ones;
};

}  // namespace

Schema token_schema() {
  return {"token",
          kSchemaVersion,
          {{"id", Domain::node, DType::i32, 1},
           {"mask", Domain::node, DType::u8, 1},
           {"cut", Domain::graph, DType::i64, 1},
           {"passed", Domain::graph, DType::i64, 1},
           {"digest", Domain::graph, DType::i64, 1}}};
}

struct TokenRecords::SequenceRecord : Record {
  TokenSequence sequence;
  std::string id;
};

TokenRecords::TokenRecords(std::vector<std::string> paths, const TextCut& cut, int vocabulary)
    : paths_(std::move(paths)), cut_(cut), vocabulary_(vocabulary), ahead_(std::make_unique<SequenceRecord>()) {
  open_next();
}

void TokenRecords::open_next() {
  table_.reset();
  cutter_.reset();
  text_.reset();
  pending_ = false;
  if (file_ == paths_.size()) return;
  const std::string& path = paths_[file_++];
  if (TokenTable::is_one(path)) {
    table_ = std::make_unique<TokenTable>(path, cut_.length, vocabulary_);
    return;
  }
  if (vocabulary_ < kByteVocabulary) {
    throw Error(Exit::usage,
                fmt::format("model.vocab_size={}, but the tokens of a text are its bytes: it must be at least {}", vocabulary_, kByteVocabulary));
  }
  text_ = std::make_unique<TextSource>(path, /*keep_mark=*/true);
  cutter_ = std::make_unique<TextCutter>(
      [this] {
        if (pending_) text_->consume(text_->peek().size());
        const std::string_view block = text_->peek();
        pending_ = !block.empty();
        return block;
      },
      path, cut_);
}

void TokenRecords::refuse_empty() const {
  std::string what = "no row of tokens";
  if (!TokenTable::is_one(paths_.front())) {
    what = cut_.mode == TextMode::lines
               ? fmt::format("no line of more than {} characters (data.min_chars; blanks at both ends do not count)", cut_.min_chars)
               : fmt::format("no {} bytes, the length of a sequence (model.max_seq_length)", cut_.length);
  }
  throw Error(Exit::data, fmt::format("{}: {} in it: there is nothing to learn", join_names(paths_, 3), what));
}

std::unique_ptr<RecordSource::Record> TokenRecords::new_record() const { return std::make_unique<SequenceRecord>(); }
std::unique_ptr<RecordSource::Workspace> TokenRecords::new_workspace() const { return std::make_unique<SequenceWorkspace>(); }

TokenRecords::~TokenRecords() = default;

bool TokenRecords::next(Record& record) {
  auto& r = static_cast<SequenceRecord&>(record);
  if (!std::exchange(begun_, true)) has_ahead_ = read(*ahead_);
  if (!has_ahead_) {
    if (found_ == 0) refuse_empty();
    return false;
  }
  std::swap(r.sequence, ahead_->sequence);
  std::swap(r.id, ahead_->id);
  has_ahead_ = read(*ahead_);
  r.sequence.passed += std::exchange(left_over_, 0);
  return true;
}

bool TokenRecords::read(SequenceRecord& r) {
  while (table_ || cutter_) {
    if (table_ ? table_->next(r.sequence) : cutter_->next(r.sequence)) {
      const std::string& path = paths_[file_ - 1];
      const char between = table_ || cut_.mode == TextMode::stream ? '@' : ':';
      r.id = fmt::format("{}{}{}", std::filesystem::path(path).filename().string(), between, r.sequence.place);
      ++found_;
      return true;
    }
    if (cutter_) left_over_ += cutter_->left_over();
    open_next();
  }
  return false;
}

double TokenRecords::fraction_read() const {
  const double done = table_ ? table_->fraction_read() : text_ ? text_->fraction_read() : 1.0;
  const double before = static_cast<double>(file_) - (table_ || text_ ? 1.0 : 0.0);
  return std::min(1.0, (before + (table_ || text_ ? done : 0.0)) / static_cast<double>(paths_.size()));
}

void TokenRecords::convert(std::int64_t index, const Record& record, Workspace& workspace, SampleBlock& out) const {
  const auto& r = static_cast<const SequenceRecord&>(record);
  auto& ones = static_cast<SequenceWorkspace&>(workspace).ones;
  const TokenSequence& s = r.sequence;
  out.begin(index, r.id, static_cast<std::int64_t>(s.ids.size()), 0);
  out.put<std::int32_t>(kIds, s.ids);
  if (s.mask.empty()) ones.assign(s.ids.size(), 1);
  out.put<std::uint8_t>(kMask, s.mask.empty() ? ones : s.mask);
  out.put<std::int64_t>(kCut, std::span<const std::int64_t>(&s.cut, 1));
  out.put<std::int64_t>(kPassed, std::span<const std::int64_t>(&s.passed, 1));
  std::uint64_t digest = s.ids.size();
  for (const std::int32_t id : s.ids) digest = digest_with(digest, static_cast<std::uint64_t>(id));
  const auto stored = static_cast<std::int64_t>(digest);
  out.put<std::int64_t>(kDigest, std::span<const std::int64_t>(&stored, 1));
  out.end();
}

CacheKey TokenRecords::key() const {
  CacheKey key(token_schema());
  const bool lines = cut_.mode == TextMode::lines;
  key.field("data.mode", lines ? "lines" : "stream");
  key.field("data.min_chars", std::int64_t{lines ? cut_.min_chars : 0});
  key.field("model.max_seq_length", std::int64_t{cut_.length});
  key.field("model.vocab_size", std::int64_t{TokenTable::is_one(paths_.front()) ? vocabulary_ : kByteVocabulary});
  key.files("data.files", paths_);
  return key;
}

}  // namespace gnn_hpc::hgnn_moe
