// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/error.hpp"
#include "base/random.hpp"
#include "graph/cache_build.hpp"
#include "io/checksum.hpp"

#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

namespace gnn_hpc::test {

/// Samples made of numbers: record i has a size and values that follow from (seed, i); every record with i % bad_every ==
/// bad_every - 1 is bad. The file named is only there to be hashed.
struct NumberOptions {
  std::int64_t count = 3000;
  std::int64_t seed = 1;
  std::int64_t bad_every = 50;
  std::function<void(std::int64_t)> hook;  ///< called for every record converted
};

inline Schema number_schema() {
  return {"number",
          1,
          {{"target", Domain::graph, DType::f64, 2, true},
           {"frame", Domain::graph, DType::f64, 9, false},
           {"z", Domain::node, DType::u8, 1, false},
           {"position", Domain::node, DType::f64, 3, false},
           {"u", Domain::edge, DType::i32, 1, false},
           {"image", Domain::edge, DType::i16, 3, false}}};
}

struct NumberSample {
  std::vector<double> target, frame, position;
  std::vector<std::uint8_t> z;
  std::vector<std::int32_t> u;
  std::vector<std::int16_t> image;
};

inline NumberSample number_sample(std::int64_t seed, std::int64_t i) {
  const RandomKey key = RandomKey{static_cast<std::uint64_t>(seed), 77}.fold(static_cast<std::uint64_t>(i));
  std::uint64_t counter = 0;
  const auto next = [&](int bound) { return static_cast<int>(key.uniform(counter++) * bound); };
  NumberSample s;
  const int nodes = 1 + next(6), edges = next(40);
  for (int k = 0; k < 2; ++k) s.target.push_back(key.normal(counter++));
  for (int k = 0; k < 9; ++k) s.frame.push_back(key.normal(counter++));
  for (int n = 0; n < nodes; ++n) s.z.push_back(static_cast<std::uint8_t>(1 + next(90)));
  for (int n = 0; n < 3 * nodes; ++n) s.position.push_back(key.uniform(counter++));
  for (int e = 0; e < edges; ++e) s.u.push_back(next(nodes) + (i == 1234 ? 70000 : 0));  // one sample needs 32 bits
  for (int e = 0; e < 3 * edges; ++e) s.image.push_back(static_cast<std::int16_t>(next(7) - 3));
  return s;
}

class NumberSource final : public RecordSource {
 public:
  explicit NumberSource(NumberOptions options) : options_(std::move(options)) {}
  struct Number : Record {
    std::int64_t value = 0;
  };
  std::unique_ptr<Record> new_record() const override { return std::make_unique<Number>(); }
  bool next(Record& record) override {
    if (next_ >= options_.count) return false;
    static_cast<Number&>(record).value = next_++;
    return true;
  }
  double fraction_read() const override { return options_.count ? static_cast<double>(next_) / static_cast<double>(options_.count) : 1.0; }
  std::unique_ptr<Workspace> new_workspace() const override { return std::make_unique<Workspace>(); }
  void convert(std::int64_t index, const Record& record, Workspace&, SampleBlock& out) const override {
    const std::int64_t i = static_cast<const Number&>(record).value;
    GNN_HPC_REQUIRE(i == index, "record {} came as {}", i, index);
    if (options_.hook) options_.hook(i);
    if (i % options_.bad_every == options_.bad_every - 1) {
      out.skip(i, {"n" + std::to_string(i), "numbers.txt", i + 1, "made to be bad"});
      return;
    }
    const NumberSample s = number_sample(options_.seed, i);
    out.begin(i, "n" + std::to_string(i), static_cast<std::int64_t>(s.z.size()), static_cast<std::int64_t>(s.u.size()));
    out.put<double>(0, s.target);
    out.put<double>(1, s.frame);
    out.put<std::uint8_t>(2, s.z);
    out.put<double>(3, s.position);
    out.put<std::int32_t>(4, s.u);
    out.put<std::int16_t>(5, s.image);
    out.end();
  }

 private:
  NumberOptions options_;
  std::int64_t next_ = 0;
};

/// `log`, if given, receives the messages, and "built" once for every source opened.
inline CacheRequest number_request(const std::filesystem::path& folder, const NumberOptions& options, std::vector<std::string>* log = nullptr) {
  CacheRequest request;
  request.schema = number_schema();
  request.folder = folder.string();
  request.source_name = "numbers";
  request.threads = 2;
  request.key = [options] {
    CacheKey key(number_schema());
    key.field("count", options.count);
    key.field("seed", options.seed);
    key.field("bad_every", options.bad_every);
    return key;
  };
  request.open_source = [options, log] {
    if (log) log->push_back("built");
    return std::make_unique<NumberSource>(options);
  };
  if (log) request.message = [log](const std::string& text) { log->push_back(text); };
  return request;
}

/// Hash of everything the cache says about its samples, provenance apart.
inline std::string content_of(const GraphCache& cache) {
  Digest digest;
  const auto& schema = cache.schema();
  digest.text(schema.text());
  digest.text(cache.key().hex());
  std::vector<std::int64_t> all;
  for (std::int64_t s = 0; s < cache.num_samples(); ++s) {
    digest.text(cache.id(s));
    digest.number(cache.record(s));
    digest.number(cache.num_nodes(s));
    digest.number(cache.num_edges(s));
    all.push_back(s);
  }
  for (std::size_t c = 0; c < schema.columns.size(); ++c) {
    const auto& column = schema.columns[c];
    if (column.resident) {
      for (const double x : cache.resident(static_cast<int>(c))) digest.number(x);
      continue;
    }
    const std::int64_t rows = column.domain == Domain::graph  ? cache.num_samples()
                              : column.domain == Domain::node ? cache.total_nodes()
                                                              : cache.total_edges();
    std::vector<double> values(static_cast<std::size_t>(rows * column.width));
    cache.read<double>(static_cast<int>(c), all, values);
    digest.bytes(values.data(), values.size() * sizeof(double));
  }
  for (const auto& s : cache.skipped()) {
    digest.number(s.record);
    digest.text(s.bad.id);
    digest.text(s.bad.file);
    digest.number(s.bad.line);
    digest.text(s.bad.reason);
  }
  return digest.hex();
}

}  // namespace gnn_hpc::test
