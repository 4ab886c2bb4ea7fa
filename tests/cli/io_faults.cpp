// SPDX-License-Identifier: Apache-2.0
// Checkpoints on a disk that fails: only a failed seal is damage, and a failed commit leaves what stood there.
#include "cli/program_fixture.hpp"

#include <gtest/gtest.h>

#include <cerrno>

namespace gnn_hpc {
namespace {

class IoFaults : public Program {
 protected:
  Outcome train(const std::vector<std::string>& more = {}) { return run(words(more)); }
  /// With calls that fail: see tests/support/io_faults.cpp.
  Outcome train_with(const std::string& call, int code, const std::string& file, const std::vector<std::string>& more = {}) {
    return run(words(more), {"env", "LD_PRELOAD=" GNN_HPC_IO_FAULTS, fmt::format("IO_FAULT={}:{}:{}", call, code, file)});
  }
  std::string checkpoint(const std::string& name) const { return read("run/checkpoints/" + name); }

 private:
  static std::vector<std::string> words(const std::vector<std::string>& more) {
    std::vector<std::string> out = tiny("train", {"train.epochs=3", "-q"});
    out.insert(out.end(), more.begin(), more.end());
    return out;
  }
};

TEST_F(IoFaults, WhatCannotBeReadIsNamedAndStays) {
  ASSERT_EQ(train().code, 0) << read("stderr");
  const std::string last = checkpoint("last.h5"), previous = checkpoint("last.prev.h5");
  struct Case {
    const char* call;
    int code;
    const char* reason;
  };
  for (const Case& c : {Case{"open", EACCES, "Permission denied"}, {"open", ESTALE, "Stale file handle"}, {"pread", EIO, "Input/output error"}}) {
    const Outcome r = train_with(c.call, c.code, "/last.h5");
    EXPECT_EQ(r.code, 3) << c.reason;
    EXPECT_NE(r.err.find("run/checkpoints/last.h5: "), std::string::npos) << r.err;
    EXPECT_NE(r.err.find(c.reason), std::string::npos) << r.err;
    EXPECT_NE(r.err.find("stays as it is"), std::string::npos) << r.err;
    EXPECT_TRUE(checkpoint("last.h5") == last && checkpoint("last.prev.h5") == previous) << c.reason;
    EXPECT_FALSE(exists("run/checkpoints/last.damaged.h5"));
  }
  EXPECT_EQ(train().code, 0) << "the disk is well again";
}

TEST_F(IoFaults, AFailedCommitLeavesTwoCheckpoints) {
  ASSERT_EQ(train().code, 0) << read("stderr");
  const std::string expected = read("run/predictions.csv");
  for (const char* call : {"exchange", "rename"}) {
    fs::remove_all(folder_ / "run");
    ASSERT_EQ(train({"run.walltime=0.001"}).code, 5);
    const std::string last = checkpoint("last.h5");
    const Outcome r = train_with(call, EIO, call == std::string("exchange") ? "/last.h5" : "/last.prev.h5");
    EXPECT_EQ(r.code, 3) << r.err;
    EXPECT_NE(r.err.find("rename failed (Input/output error)"), std::string::npos) << r.err;
    EXPECT_TRUE(call == std::string("rename") || checkpoint("last.h5") == last) << "the new file is not in place";
    std::error_code absent;
    EXPECT_FALSE(fs::equivalent(folder_ / "run/checkpoints/last.h5", folder_ / "run/checkpoints/last.prev.h5", absent));
    EXPECT_EQ(train().code, 0) << read("stderr");
    EXPECT_EQ(read("run/predictions.csv"), expected) << call;
  }
}

TEST_F(IoFaults, FileSystemsThatExchangeNoNamesKeepThePreviousToo) {
  const Outcome r = train_with("exchange", EINVAL, ".h5");
  ASSERT_EQ(r.code, 0) << r.err;
  EXPECT_FALSE(fs::equivalent(folder_ / "run/checkpoints/last.h5", folder_ / "run/checkpoints/last.prev.h5"));
  EXPECT_EQ(train().code, 0);
}

}  // namespace
}  // namespace gnn_hpc
