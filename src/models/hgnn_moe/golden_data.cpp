// SPDX-License-Identifier: Apache-2.0
#include "models/hgnn_moe/golden.hpp"

#include "io/tokens.hpp"
#include "verify/manifest.hpp"

namespace gnn_hpc::verify::hgnn_moe {

namespace {

/// Sequences as tables [N,L], padded with 0 at the end.
struct Tables {
  IntegerTensor ids, mask;
};

Tables padded(const std::vector<TokenSequence>& sequences, int length) {
  const auto columns = static_cast<std::size_t>(length);
  Tables out;
  out.ids.shape = out.mask.shape = {sequences.size(), columns};
  for (const TokenSequence& s : sequences) {
    for (std::size_t c = 0; c < columns; ++c) {
      const bool real = c < s.ids.size();
      out.ids.values.push_back(real ? s.ids[c] : 0);
      out.mask.values.push_back(real ? 1 : 0);
    }
  }
  return out;
}

void check_text(GoldenFile& file, const std::string& name, Report& report) {
  const IntegerTensor raw = file.integers(name + "/raw", {-1});
  std::string text;
  for (const std::int64_t byte : raw.values) {
    if (byte < 0 || byte > 255) file.fail(fmt::format("{}/raw holds {}, expected bytes", name, byte));
    text.push_back(static_cast<char>(static_cast<unsigned char>(byte)));
  }
  TextCut cut;
  cut.length = static_cast<int>(file.integer_attribute(name, "max_seq_length", 1, 1 << 20));
  cut.min_chars = static_cast<int>(file.integer_attribute(name, "min_chars", 0, 1 << 20));
  const auto exact = [&](const std::string& what, const IntegerTensor& actual) {
    report.compare_exact(name + what, file.integers(name + what), actual);
  };
  const std::string source = file.path() + ": " + name + "/raw";
  cut.mode = TextMode::lines;
  const Tables lines = padded(cut_text(text, source, cut), cut.length);
  exact("/line_input_ids", lines.ids);
  exact("/line_attention_mask", lines.mask);
  cut.mode = TextMode::stream;
  exact("/stream_input_ids", padded(cut_text(text, source, cut), cut.length).ids);
}

}  // namespace

void check_data(GoldenFile& file, bool /*single_precision: nothing but integers*/, Report& report) {
  Manifest manifest(file);
  for (const std::string& name : file.groups_in("")) {
    manifest.data({"raw", "line_input_ids", "line_attention_mask", "stream_input_ids"}, name + "/");
  }
  manifest.finish();
  for (const std::string& name : file.groups_in("")) check_text(file, name, report);
}

}  // namespace gnn_hpc::verify::hgnn_moe
