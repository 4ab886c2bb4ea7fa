// SPDX-License-Identifier: Apache-2.0
#include "verify/verify.hpp"

#include "base/error.hpp"
#include "verify/adapters.hpp"

#include <new>
#include <ostream>
#include <string_view>

namespace gnn_hpc {

namespace {

struct Entry {
  std::string_view system, kind;
  verify::Adapter check;
};

/// A table, not self-registration: static initialisers vanish from static libraries, and a reader can grep it.
constexpr Entry kAdapters[] = {
    {"comformer", "model", verify::comformer::check_model},
    {"comformer", "graphs", verify::comformer::check_graphs},
    {"comformer", "other", verify::comformer::check_other},
    {"dmpnn_diffpool", "model", verify::dmpnn::check_model},
    {"dmpnn_diffpool", "graphs", verify::dmpnn::check_graphs},
    {"hgnn_moe", "model", verify::hgnn_moe::check_model},
    {"hgnn_moe", "other", verify::hgnn_moe::check_other},
};

verify::Adapter find_adapter(const verify::GoldenFile& file) {
  std::string known;
  for (const Entry& e : kAdapters) {
    if (e.system == file.system() && e.kind == file.kind()) return e.check;
    known += fmt::format("{}{} {}", known.empty() ? "" : ", ", e.system, e.kind);
  }
  file.fail(fmt::format("golden files of system '{}' and kind '{}' cannot be verified by this build (known: {})", file.system(),
                        file.kind(), known));
}

}  // namespace

int verify_command(const VerifyOptions& options, std::ostream& out) {
  if (options.precision != "double" && options.precision != "float") {
    throw Error(Exit::usage, fmt::format("--precision {}: allowed are double and float", options.precision));
  }
  verify::GoldenFile file(options.file);
  const bool single = options.precision == "float";
  verify::Report report(single);
  try {
    find_adapter(file)(file, single, report);
  } catch (const std::bad_alloc&) {
    file.fail("asks for more memory than there is; its sizes are probably damaged");
  }
  for (const std::string& name : file.unread()) {
    report.fail(name, name.ends_with('/') ? "not checked: the group holds nothing" : "not checked: no check knows this name");
  }
  out << fmt::format("{}: {} {}, {} precision\n", file.path(), file.system(), file.kind(), options.precision);
  report.print(out, options.failures_only);
  return report.passed() ? 0 : 1;
}

}  // namespace gnn_hpc
