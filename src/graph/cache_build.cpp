// SPDX-License-Identifier: Apache-2.0
#include "graph/cache_build.hpp"

#include "base/error.hpp"
#include "base/provenance.hpp"
#include "base/signals.hpp"
#include "base/text.hpp"
#include "base/threads.hpp"
#include "base/together.hpp"
#include "graph/cache_lock.hpp"
#include "graph/cache_parts.hpp"
#include "graph/part_pipeline.hpp"
#include "io/atomic_file.hpp"

#include <chrono>
#include <ctime>
#include <filesystem>
#include <optional>
#include <thread>

namespace gnn_hpc {

namespace fs = std::filesystem;

namespace {

constexpr const char* kPartsStay = "the parts done so far are kept, the same command goes on from there";

void say(const CacheRequest& request, const std::string& text) {
  if (request.message) request.message(text);
}

std::string utc_time() {
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
  return text;
}

/// What the key of the most similar cache in the folder says about why this one is missing.
std::string why_missing(const CacheRequest& request, const CacheKey& key) {
  std::string nearest;
  std::size_t fewest = 0;
  CacheKey best;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(request.folder, ignored)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with("graphs-" + request.schema.kind + "-") || entry.path().extension() != ".h5") continue;
    try {
      const CacheKey other = GraphCache::read_key(entry.path().string());
      const std::size_t different = key.count_different(other);
      const bool closer = key.same_files(other) != key.same_files(best) ? key.same_files(other) : different < fewest;
      if (nearest.empty() || closer) {
        nearest = name;
        fewest = different;
        best = other;
      }
    } catch (const Error& error) {  // a damaged neighbour explains nothing
      if (error.code() == Exit::stopped) throw;
    }
  }
  // Another input with other options is just another data set; what is worth telling is what changed between two runs.
  if (nearest.empty() || (fewest > 1 && !key.same_files(best))) return fmt::format("no cache of this input in {}", request.folder);
  return fmt::format("no cache of this key in {}; {} differs: {}", request.folder, nearest, key.difference(best));
}

/// The cache if it is there and whole. A damaged one is reported; `read_only` makes that an error.
std::shared_ptr<const GraphCache> try_open(const CacheRequest& request, const CacheKey& key, const std::string& path, bool tell) {
  if (!fs::exists(path)) return nullptr;
  try {
    auto cache = std::make_shared<GraphCache>(path);
    if (cache->key().hex() == key.hex()) return cache;
    if (tell) say(request, fmt::format("warning: {} was made for another key ({}); building it again", path, key.difference(cache->key())));
  } catch (const Error& error) {
    if (request.read_only || error.code() == Exit::stopped) throw;
    if (tell) say(request, fmt::format("warning: {}; building it again", error.what()));
  }
  return nullptr;
}

/// What the root found: a cache to open, or the duty to build (with the lock held).
struct Plan {
  CacheKey key;
  std::string path, parts;
  std::unique_ptr<CacheLock> lock;
};

/// What a job left that died between putting the cache in place and cleaning up.
void remove_leftovers(const Plan& plan) {
  std::error_code ignored;
  if (!fs::exists(plan.parts, ignored) && !fs::exists(plan.path + ".lock", ignored)) return;
  try {
    CacheLock lock(plan.path + ".lock");
    if (!lock.try_acquire()) return;
    fs::remove_all(plan.parts, ignored);
    remove_stale_temporaries(plan.path);
  } catch (const Error&) {  // a folder that cannot be written: leave everything
  }
}

Plan make_plan(const CacheRequest& request) {
  Plan plan;
  if (!request.read_only) {
    std::error_code failure;
    fs::create_directories(request.folder, failure);
    if (failure)
      throw Error(Exit::data, fmt::format("{}: cannot make the folder of caches ({}); set data.cache_dir", request.folder, failure.message()));
  }
  plan.key = request.key();
  plan.path = (fs::path(request.folder) / cache_file_name(request.schema.kind, plan.key.hex())).string();
  plan.parts = plan.path + ".parts";
  if (try_open(request, plan.key, plan.path, true)) {
    say(request, fmt::format("graphs: using {}", plan.path));
    remove_leftovers(plan);
    return plan;
  }
  if (request.read_only) throw Error(Exit::data, why_missing(request, plan.key));
  auto lock = std::make_unique<CacheLock>(plan.path + ".lock");
  for (bool told = false; !lock->try_acquire(); told = true) {
    if (!told) say(request, fmt::format("graphs: waiting for \"{}\", which builds {}", lock->owner(), plan.path));
    throw_if_stop_wanted(fmt::format("waiting for \"{}\", which builds {}", lock->owner(), plan.path));
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    if (told && try_open(request, plan.key, plan.path, false)) return plan;
  }
  if (try_open(request, plan.key, plan.path, false)) return plan;  // finished between the two looks
  say(request, fmt::format("graphs: building from {}: {}", request.source_name, why_missing(request, plan.key)));
  fs::create_directories(plan.parts);
  for (const auto& entry : fs::directory_iterator(plan.parts)) {
    if (entry.path().filename().string().find(".tmp.") != std::string::npos) fs::remove(entry.path());  // the lock says: nobody's
  }
  remove_stale_temporaries(plan.path);
  plan.lock = std::move(lock);
  return plan;
}

std::string list_some(const std::vector<SkippedRecord>& skipped) {
  std::string out;
  for (std::size_t i = 0; i < skipped.size() && i < 5; ++i) {
    const auto& bad = skipped[i].bad;
    out += fmt::format("\n  {}:{}: {}: {}", bad.file, bad.line, shortened(bad.id), bad.reason);
  }
  if (skipped.size() > 5) out += fmt::format("\n  ... and {} more", skipped.size() - 5);
  return out;
}

void join(const CacheRequest& request, const Plan& plan, std::int64_t num_parts) {
  if (request.key().hex() != plan.key.hex()) {
    throw Error(Exit::data, fmt::format("{} changed while its graphs were being built; start again", request.source_name));
  }
  const std::vector<std::pair<std::string, std::string>> info{
      {"program", provenance_line()}, {"host", host_name()}, {"created", utc_time()}, {"source", request.source_name}, {"options", request.options}};
  const JoinResult result = join_parts(plan.parts, num_parts, request.schema, plan.key, info, plan.path, request.may_be_empty, [&] {
    throw_if_stop_wanted("joining " + plan.path, kPartsStay);
    plan.lock->require_held();  // at the latest when the new file has been sealed and is about to be renamed
  });
  plan.lock->require_held();
  if (result.samples == 0 && !request.may_be_empty) {
    const auto skipped = skipped_of_parts(plan.parts, num_parts);
    fs::remove_all(plan.parts);
    throw Error(Exit::data, skipped.empty()
                                ? fmt::format("{}: there is no record in it", request.source_name)
                                : fmt::format("{}: none of its {} records can be used:{}", request.source_name, skipped.size(), list_some(skipped)));
  }
  fs::remove_all(plan.parts);
}

}  // namespace

std::string cache_file_name(const std::string& kind, const std::string& key) { return fmt::format("graphs-{}-{}.h5", kind, key); }

std::shared_ptr<const GraphCache> open_or_build(const CacheRequest& request, const Comm& comm) {
  const int processors = available_processors();  // always: the threads of loaders ask for them later
  Plan plan;
  std::string shared;  // path, key digits and whether to build
  together(comm, [&] {
    if (comm.is_root()) plan = make_plan(request);
  });
  if (comm.is_root()) shared = fmt::format("{}\n{}\n{}", plan.lock ? "build" : "use", plan.key.hex(), plan.path);
  comm.broadcast(shared);
  const std::size_t first = shared.find('\n'), second = shared.find('\n', first + 1);
  const bool build = shared.substr(0, first) == "build";
  const std::string key = shared.substr(first + 1, second - first - 1), path = shared.substr(second + 1);

  if (build) {
    std::int64_t num_parts = 0;
    together(comm, [&] {
      const int threads = request.threads > 0 ? request.threads : processors;
      const auto tick = [&](const BuildProgress& p) {
        if (comm.is_root() && request.progress) request.progress(p);
        if (!p.finished) throw_if_stop_wanted("graphs", kPartsStay);
      };
      const std::shared_ptr<RecordSource> source = request.open_source();
      if (comm.is_root()) {
        for (const std::string& note : source->notes()) say(request, "warning: " + note);
      }
      tick({});  // whoever shows progress starts his clock here
      num_parts = build_parts(source, request.schema, path + ".parts", key, comm.rank(), comm.size(), threads, tick);
    });
    together(comm, [&] {
      if (comm.is_root()) join(request, plan, num_parts);
    });
    plan.lock.reset();
  }

  std::shared_ptr<const GraphCache> cache;
  together(comm, [&] {
    cache = std::make_shared<GraphCache>(path);
    const auto bad = static_cast<double>(cache->skipped().size()), all = static_cast<double>(cache->num_records());
    if (bad > request.max_bad_fraction * all) {
      throw Error(Exit::data, fmt::format("{}: {} of {} records cannot be used, more than data.max_bad_fraction: {} allows:{}", request.source_name,
                                          cache->skipped().size(), cache->num_records(), request.max_bad_fraction, list_some(cache->skipped())));
    }
  });
  return cache;
}

}  // namespace gnn_hpc
