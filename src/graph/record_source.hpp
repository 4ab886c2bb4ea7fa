// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "graph/sample_block.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace gnn_hpc {

/// Where the samples of a cache come from: a stream of records that one thread reads and many threads convert.
class RecordSource {
 public:
  struct Record {
    virtual ~Record() = default;
  };
  struct Workspace {
    virtual ~Workspace() = default;
  };
  virtual ~RecordSource() = default;

  virtual std::unique_ptr<Record> new_record() const = 0;
  /// Next record in order; false at the end. One thread.
  virtual bool next(Record& record) = 0;
  /// Share of the input consumed, 0..1.
  virtual double fraction_read() const = 0;
  /// What of the input no record stands for, for warnings.
  virtual std::vector<std::string> notes() const { return {}; }
  virtual std::unique_ptr<Workspace> new_workspace() const = 0;
  /// Adds one sample, or one skipped record with its reason, to `out`. Any number of threads; a pure function of the record.
  virtual void convert(std::int64_t index, const Record& record, Workspace& workspace, SampleBlock& out) const = 0;
};

}  // namespace gnn_hpc
