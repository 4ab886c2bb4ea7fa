// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace gnn_hpc {

namespace fs = std::filesystem;

inline std::string slurp(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

struct Outcome {
  int code = -1;
  std::string out, err;
};

/// A folder of its own, in which the program runs.
class Program : public testing::Test {
 protected:
  void SetUp() override {
    const std::string name = testing::UnitTest::GetInstance()->current_test_info()->name();
    folder_ = fs::temp_directory_path() / fmt::format("gnn_hpc_program_{}_{}", name, getpid());
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  /// Starts the program; `launcher` may be {"mpiexec", "-n", "2"}.
  pid_t start(const std::vector<std::string>& arguments, const std::vector<std::string>& launcher = {}) {
    std::vector<std::string> words = launcher;
    words.emplace_back(GNN_HPC_PROGRAM);
    words.insert(words.end(), arguments.begin(), arguments.end());
    return start_any(std::move(words));
  }
  /// Starts any program, e.g. one of the scripts.
  pid_t start_any(std::vector<std::string> words) {
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    const std::string out = (folder_ / "stdout").string(), err = (folder_ / "stderr").string();
    const pid_t pid = fork();
    if (pid == 0) {
      if (chdir(folder_.c_str()) != 0) _exit(126);
      dup2(open("/dev/null", O_RDONLY), 0);
      dup2(open(out.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644), 1);
      dup2(open(err.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644), 2);
      execvp(argv[0], argv.data());
      _exit(127);
    }
    return pid;
  }
  Outcome wait_for(pid_t pid) const {
    int status = 0;
    waitpid(pid, &status, 0);
    return {WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status), slurp(folder_ / "stdout"), slurp(folder_ / "stderr")};
  }
  Outcome run(const std::vector<std::string>& arguments, const std::vector<std::string>& launcher = {}) {
    return wait_for(start(arguments, launcher));
  }

  Outcome run_any(const std::vector<std::string>& words) { return wait_for(start_any(words)); }

  void write(const std::string& name, const std::string& text) const { std::ofstream(folder_ / name) << text; }
  bool exists(const std::string& name) const { return fs::exists(folder_ / name); }
  std::string read(const std::string& name) const { return slurp(folder_ / name); }

  /// The tiny input of the repository with results in this folder.
  static std::vector<std::string> tiny(const std::string& command, const std::vector<std::string>& more = {}) {
    std::vector<std::string> words{command, GNN_HPC_SOURCE_DIR "/inputs/tiny_comformer.yaml", "run.dir=run", "data.cache_dir=cache"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }

  fs::path folder_;
};

}  // namespace gnn_hpc
