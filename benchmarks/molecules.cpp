// SPDX-License-Identifier: Apache-2.0
// Rates of the pipeline of molecules on one core, stage by stage: reading rows, RDKit alone (a text to a sanitised molecule), the same with our
// description of its atoms and bonds, and the whole conversion of a row to what the cache holds.
//   molecules FILE.csv COLUMN [REPEATS, default 7]
// One thread; medians over the repeats of its processor time, so that other programs on the machine disturb little.
#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "io/csv.hpp"
#include "io/smiles.hpp"
#include "median_seconds.hpp"
#include "models/dmpnn_diffpool/molecule_records.hpp"

namespace {

using namespace gnn_hpc;
using namespace gnn_hpc::dmpnn;

void run(const std::string& path, const std::string& column, int repeats) {
  DataOptions options;
  options.paths = {path};
  options.smiles = column;
  const MoleculeTable table = resolve_table(options, options.paths, false, Comm::self());
  std::vector<std::string> texts;
  {
    CsvReader reader(path);
    CsvReader::Row row;
    reader.next(row);
    const auto place = static_cast<std::size_t>(std::find(row.fields.begin(), row.fields.end(), column) - row.fields.begin());
    while (reader.next(row)) texts.push_back(row.fields.at(place));
  }
  Molecule molecule;
  const auto n = static_cast<double>(texts.size());
  const auto each = [&](auto&& read) {
    return median_seconds(repeats, [&] {
      for (const std::string& text : texts) read(text);
    });
  };
  fmt::print("{}: {} rows\n", path, texts.size());
  if (table.polymer) {
    fmt::print("  each polymer joined anew   {:8.0f}/s\n", n / each([&](const std::string& text) { PolymerReader().read(text, molecule); }));
  } else {
    fmt::print("  RDKit alone                {:8.0f}/s\n", n / each([](const std::string& text) { count_smiles_atoms(text); }));
    fmt::print("  RDKit and description      {:8.0f}/s\n", n / each([&](const std::string& text) { read_smiles(text, molecule); }));
  }
  const double rows = median_seconds(repeats, [&] {
    MoleculeRecords source(table);
    const auto record = source.new_record();
    while (source.next(*record)) {
    }
  });
  const Schema schema = MoleculeColumns(table).schema;
  const double all = median_seconds(repeats, [&] {
    MoleculeRecords source(table);
    const auto record = source.new_record();
    const auto workspace = source.new_workspace();
    SampleBlock block(schema);
    for (std::int64_t i = 0; source.next(*record); ++i) source.convert(i, *record, *workspace, block);
  });
  fmt::print("  rows read                  {:8.0f}/s\n  rows to graphs, all stages {:8.0f}/s\n", n / rows, n / all);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    fmt::print(stderr, "usage: molecules FILE.csv COLUMN [REPEATS]\n");
    return 2;
  }
  try {
    run(argv[1], argv[2], argc > 3 ? std::max(1, std::atoi(argv[3])) : 7);
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
}
