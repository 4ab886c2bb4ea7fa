// SPDX-License-Identifier: Apache-2.0
#include <limits>
#include <tuple>

#include "base/error.hpp"
#include "io/crystal_sources.hpp"
#include "io/extxyz.hpp"

namespace gnn_hpc {
namespace {

/// Frames of one or several extended XYZ files; `index` selects from the frames of all of them in order.
class ExtxyzSource final : public CrystalSource {
 public:
  explicit ExtxyzSource(CrystalSourceOptions options) : CrystalSource(std::move(options)), slice_(FrameSlice::parse(options_.index)) {
    std::int64_t length = std::numeric_limits<std::int64_t>::max();
    if (slice_.needs_length()) {
      length = 0;
      for (const std::string& path : options_.paths) {
        ExtxyzReader reader(path);
        while (reader.next(nullptr)) ++length;
      }
    }
    std::tie(begin_, end_) = slice_.range(length);
    wanted_ = begin_;
    open_file(0);
  }

  bool next(RawRecord& record) override {
    while (position_ < end_) {
      const bool take = position_ == wanted_;
      if (!reader_->next(take ? &frame_ : nullptr)) {
        if (file_ + 1 == options_.paths.size()) return false;
        open_file(file_ + 1);
        continue;
      }
      ++position_;
      const std::int64_t in_file = frame_in_file_++;
      if (!take) continue;
      wanted_ += slice_.step;
      record.index = index_++;
      record.file = reader_->path();
      record.line = frame_.line;
      record.format = CrystalFormat::extxyz;
      record.frame_has_targets = true;
      record.path.clear();
      record.targets.clear();
      record.id = fmt::format("{}_{}", file_stem(reader_->path()), in_file);
      record.text.swap(frame_.text);
      record.problem.swap(frame_.problem);
      return true;
    }
    return false;
  }

  std::vector<std::string> files() const override { return options_.paths; }
  double fraction_read() const override {
    if (position_ >= end_) return 1;
    return (static_cast<double>(file_) + reader_->fraction_read()) / static_cast<double>(options_.paths.size());
  }

 private:
  void open_file(std::size_t file) {
    file_ = file;
    frame_in_file_ = 0;
    reader_ = std::make_unique<ExtxyzReader>(options_.paths[file]);
  }

  FrameSlice slice_;
  std::unique_ptr<ExtxyzReader> reader_;
  ExtxyzReader::Frame frame_;
  std::size_t file_ = 0;
  std::int64_t begin_ = 0, end_ = 0, wanted_ = 0, position_ = 0, index_ = 0, frame_in_file_ = 0;
};

}  // namespace

std::unique_ptr<CrystalSource> open_extxyz_source(CrystalSourceOptions options) { return std::make_unique<ExtxyzSource>(std::move(options)); }

}  // namespace gnn_hpc
