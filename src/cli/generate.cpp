// SPDX-License-Identifier: Apache-2.0
#include "cli/generate.hpp"

#include "base/error.hpp"
#include "base/log.hpp"
#include "base/signals.hpp"
#include "base/subnormals.hpp"
#include "base/text.hpp"
#include "cli/job.hpp"
#include "io/text_source.hpp"
#include "io/tokens.hpp"
#include "models/systems.hpp"
#include "train/capabilities.hpp"
#include "train/checkpoint.hpp"
#include "train/generate.hpp"
#include "train/predict.hpp"
#include "train/run_folder.hpp"
#include "train/trained_options.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <memory>

namespace gnn_hpc {

namespace {

/// The prompt's tokens: numbers as given, or the bytes of a text.
std::vector<int> read_prompt(const CommandLine& line, bool bytes) {
  const int given = (line.prompt.empty() ? 0 : 1) + (line.prompt_file.empty() ? 0 : 1) + (line.prompt_ids.empty() ? 0 : 1);
  if (given != 1) {
    throw Error(Exit::usage, fmt::format("name one prompt: --prompt TEXT, --prompt-file FILE or --prompt-ids N,N,... ({} found)", given));
  }
  if (!line.prompt_ids.empty()) return line.prompt_ids;
  if (!bytes) {
    throw Error(Exit::usage, "the model was trained on tokenised data, not on bytes: give the prompt as numbers (--prompt-ids N,N,...)");
  }
  const std::string text = line.prompt_file.empty() ? line.prompt : read_text_file(line.prompt_file);
  std::vector<int> out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const int byte = static_cast<unsigned char>(text[i]);
    if (byte == 0)
      throw Error(Exit::data, fmt::format("{}: byte {} (counted from 0) is NUL, the id of padding; a text has none", line.prompt_file, i));
    out.push_back(byte);
  }
  return out;
}

std::string end_in_words(const Generated& text) {
  switch (text.end) {
    case GenerateEnd::eos:
      return "the end token was chosen";
    case GenerateEnd::length:
      return fmt::format("the model's sequences have {} tokens (model.max_seq_length)", text.ids.size());
    case GenerateEnd::tokens:
      return stop_wanted() ? fmt::format("stopped by {}", stop_reason_name(stop_reason())) : "as many as asked for";
  }
  return {};
}

template <class T>
int run(const CommandLine& line, const std::string& checkpoint, const CheckpointHeader& header) {
  Job<T> job = make_job<T>(header.info.resolved_yaml, checkpoint, line.overrides);
  trained_options(checkpoint, header.info, given_options("", checkpoint, line.overrides),
                  [&](const auto&) { return job.resolved; });  // refuses what makes another model
  flush_subnormals_on_all_threads(job.options.run.flush_subnormals);
  auto* const model = offered<TextModel>(*job.task);
  if (model == nullptr) {
    std::vector<std::string> able;
    for (const System* system : systems()) {
      if (system->continues_texts) able.emplace_back(system->name);
    }
    throw Error(Exit::data, fmt::format("{}: a checkpoint of system {}, which continues no texts; generate needs a language model ({})", checkpoint,
                                        header.info.system, join(able, ", ")));
  }
  const std::unique_ptr<Decoder> decoder = model->new_decoder();
  load_checkpoint<T>(checkpoint, job.task->params(), nullptr);
  const bool bytes = decoder->vocabulary() == kByteVocabulary;
  const std::vector<int> prompt = read_prompt(line, bytes);
  const bool numbers = line.print_ids || !bytes;
  std::size_t printed = 0;
  const auto print = [&](int token) {
    if (numbers)
      std::cout << (printed > 0 ? " " : "") << token;
    else
      std::cout << static_cast<char>(static_cast<unsigned char>(token));
    ++printed;
  };
  GenerateOptions options;
  options.sampling = {line.temperature, line.top_k, line.top_p};
  options.max_new_tokens = line.max_new_tokens;
  options.eos = line.eos;
  options.seed = static_cast<std::uint64_t>(line.seed);
  log_info("weights: {}", checkpoint);
  bool first = true;  // the prompt is shown once it has been found good
  const auto show_prompt = [&] {
    if (first) {
      for (const int token : prompt) print(token);
    }
    first = false;
  };
  const auto begin = std::chrono::steady_clock::now();
  const Generated text = generate(*decoder, prompt, options, [&](int token, std::span<const double>) {
    show_prompt();
    print(token);
    std::cout << std::flush;
    return static_cast<bool>(std::cout) && !stop_wanted();
  });
  show_prompt();
  std::cout << "\n" << std::flush;
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  const std::size_t added = text.ids.size() - prompt.size();
  log_info("{} new tokens in {:.2f} s ({:.0f} tokens/s); {}", added, seconds, static_cast<double>(added) / std::max(seconds, 1e-9),
           end_in_words(text));
  return text.end == GenerateEnd::tokens && stop_wanted() ? static_cast<int>(Exit::stopped) : 0;
}

}  // namespace

int generate_command(const CommandLine& line, const Comm& comm) {
  LogOptions log;
  if (line.quiet) log.level = "warning";
  setup_log(log, comm.rank(), stderr);
  int code = 0;
  on_root(comm, [&] {
    const std::string checkpoint = checkpoint_for_prediction(line.input);
    const CheckpointHeader header = read_checkpoint_header(checkpoint);
    if (header.info.precision == "double")
      code = run<double>(line, checkpoint, header);
    else
      code = run<float>(line, checkpoint, header);
  });
  return static_cast<int>(comm.max(static_cast<std::int64_t>(code)));
}

}  // namespace gnn_hpc
