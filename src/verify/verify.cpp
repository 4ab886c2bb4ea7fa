// SPDX-License-Identifier: Apache-2.0
#include "verify/verify.hpp"

#include "base/error.hpp"

#include <new>
#include <ostream>

namespace gnn_hpc {

namespace {

verify::Check find_check(const verify::GoldenFile& file, std::span<const verify::GoldenCheck> checks) {
  std::string known;
  for (const verify::GoldenCheck& c : checks) {
    if (c.system == file.system() && c.kind == file.kind()) return c.check;
    known += fmt::format("{}{} {}", known.empty() ? "" : ", ", c.system, c.kind);
  }
  file.fail(fmt::format("golden files of system '{}' and kind '{}' cannot be verified by this build (known: {})", file.system(), file.kind(), known));
}

}  // namespace

int verify_command(const VerifyOptions& options, std::span<const verify::GoldenCheck> checks, std::ostream& out) {
  if (options.precision != "double" && options.precision != "float") {
    throw Error(Exit::usage, fmt::format("--precision {}: allowed are double and float", options.precision));
  }
  verify::GoldenFile file(options.file);
  const bool single = options.precision == "float";
  verify::Report report(single);
  try {
    find_check(file, checks)(file, single, report);
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
