// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "graph/cache_key.hpp"
#include "graph/record_source.hpp"
#include "io/text_source.hpp"
#include "io/token_table.hpp"
#include "io/tokens.hpp"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace gnn_hpc::hgnn_moe {

/// Columns of a sequence in the cache, in this order: a sequence is a graph, a token a node. Padding at its end is not stored.
/// `kCut`, `kPassed`: bytes of text left out for and before it (io/tokens.hpp; what stands behind the last sequence counts to that one), so
/// that every run can say what share of the text is used; `kDigest`: of its ids, to find equal ones.
enum TokenColumn { kIds, kMask, kCut, kPassed, kDigest };

Schema token_schema();

/// Sequences of several files, one file after the other; a window or line never spans two. Throws Error(Exit::data) at the end of
/// files that hold no sequence at all, saying what one is.
class TokenRecords final : public RecordSource {
 public:
  /// @param vocabulary  of the model
  TokenRecords(std::vector<std::string> paths, const TextCut& cut, int vocabulary);
  ~TokenRecords() override;

  std::unique_ptr<Record> new_record() const override;
  bool next(Record& record) override;
  double fraction_read() const override;
  std::unique_ptr<Workspace> new_workspace() const override;
  void convert(std::int64_t index, const Record& record, Workspace& workspace, SampleBlock& out) const override;

  /// Everything that decides the samples: how the text is cut, every input byte.
  CacheKey key() const;

 private:
  struct SequenceRecord;
  void open_next();
  bool read(SequenceRecord& out);
  [[noreturn]] void refuse_empty() const;

  std::vector<std::string> paths_;
  TextCut cut_;
  int vocabulary_;
  std::size_t file_ = 0;  ///< files opened so far
  std::int64_t found_ = 0;
  std::unique_ptr<SequenceRecord> ahead_;  ///< read before it is asked for, to know what is left over behind the one before
  bool begun_ = false, has_ahead_ = false;
  std::int64_t left_over_ = 0;  ///< bytes behind the last sequence of a file, not yet told
  bool pending_ = false;        ///< bytes of `text_` handed out, not yet consumed
  std::unique_ptr<TextSource> text_;
  std::unique_ptr<TextCutter> cutter_;
  std::unique_ptr<TokenTable> table_;
};

}  // namespace gnn_hpc::hgnn_moe
