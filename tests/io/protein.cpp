// SPDX-License-Identifier: Apache-2.0
#include "io/protein.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <fstream>

#include "io/csv.hpp"
#include "io/refusal.hpp"
#include "support/paths.hpp"
#include "support/protein_goldens.hpp"

namespace gnn_hpc {
namespace {

using test::refusal;

std::string atom(const char* tag, const char* name, const char* residue, const char* chain, const char* number, double x,
                 const char* y = "   2.000") {
  return fmt::format("{:<6}    1 {:<4} {:>3} {:>1}{:>4}    {:8.3f}{}{:8.3f}  1.00 10.00\n", tag, name, residue, chain, number, x, y, 3.0);
}

std::string joined(const std::vector<std::string>& words) {
  std::string out;
  for (const auto& word : words) out += (out.empty() ? "" : ",") + word;
  return out;
}

TEST(Protein, RepeatedAtomsHetatmAndOtherModels) {
  const std::string text = atom("ATOM", " N", "ALA", "A", "10", 1) + atom("ATOM", " N", "GLY", "A", "10", 9) +
                           atom("HETATM", " CA", "GLY", "A", "11", 4) + atom("HETATM", " CA", "MSE", "A", "12", 5) +
                           atom("ATOM", " CA", "UNK", "A", "13", 6) + "TER\n" + atom("ATOM", " CA", "ALA", "A", "10", 7) + "ENDMDL\n" +
                           atom("ATOM", " N", "ALA", "B", "1", 1);
  const Protein protein = parse_protein(text, "x.pdb");
  ASSERT_EQ(protein.chains.size(), 1u);
  EXPECT_EQ(protein.chains[0].sequence, "AM");
  EXPECT_EQ(joined(protein.chains[0].residues), "10,12");
  EXPECT_EQ(protein.chains[0].coords[0], 1);
  EXPECT_EQ(protein.chains[0].coords[3], 7);
  EXPECT_TRUE(std::isnan(protein.chains[0].coords[6]));
  ASSERT_EQ(protein.warnings.size(), 2u);
  EXPECT_EQ(protein.warnings[0], "x.pdb: 1 residues in ATOM records are no known amino acid and are left out");
  EXPECT_EQ(protein.warnings[1], "x.pdb: residue 10 of chain A comes again after TER; its first atoms count");
}

TEST(Protein, SaysWhatIsWrongAndWhere) {
  EXPECT_EQ(refusal([] { parse_protein(atom("ATOM", " N", "ALA", "A", "7", 1, "   2.x00"), "x.pdb"); }),
            "x.pdb:1: y of atom 'N' of residue '7' (chain 'A') is no number: '2.x00'");
  EXPECT_EQ(refusal([] { parse_protein("\nATOM      1  N\n", "x.pdb"); }),
            "x.pdb:2: the line is too short for an atom: it ends at column 14, the residue's number ends at column 27");
  EXPECT_EQ(refusal([] { parse_protein("data_x\n_atom_site.id 'a\n", "x.cif"); }), "x.cif:2: a quote without end");
  EXPECT_EQ(refusal([] { parse_protein("data_x\n_cell.a\n;abc\n", "x.cif"); }), "x.cif:3: a text that begins with ; and has no end");
  EXPECT_EQ(refusal([] { parse_protein("data_x\n_cell.a 1 2\n", "x.cif"); }), "x.cif:2: '2' belongs to no data name");
}

/// Chains, residues, letters and coordinates of every structure that the reference stores are reproduced bit by bit.
TEST(Protein, StructuresOfTheReference) {
  test::for_each_golden_structure([](const test::Hdf5Values& values, const std::string& name) {
    const auto colon = name.find(':');
    Protein protein;
    ASSERT_NO_THROW(protein = test::golden_protein(values, name.substr(0, colon)));
    const ProteinChain& chain = protein.chain(name.substr(colon + 1));
    const std::string at = "structures/" + name + "/";
    EXPECT_EQ(chain.sequence, values.text(at + "seq"));
    EXPECT_EQ(joined(chain.residues), values.text(at + "residues"));
    const auto coords = values.dataset(at + "coords"), mask = values.dataset(at + "mask");
    ASSERT_EQ(chain.coords.size(), coords.size());
    for (std::size_t i = 0; i < coords.size(); ++i) {
      EXPECT_TRUE(chain.coords[i] == coords[i] || (std::isnan(chain.coords[i]) && !std::isfinite(coords[i]))) << i;
    }
    for (std::size_t r = 0; r < mask.size(); ++r) EXPECT_EQ(chain.complete(r), mask[r] != 0) << r;
  });
}

struct FieldRow {
  std::string path, chain;
};

std::vector<FieldRow> label_rows(const std::filesystem::path& folder) {
  CsvReader reader((folder / "labels.csv").string());
  CsvReader::Row row;
  std::vector<FieldRow> out;
  reader.next(row);
  while (reader.next(row)) out.push_back({(folder / row.fields[0]).string(), row.fields[1]});
  return out;
}

void expect_numbers(const ProteinChain& chain, const nlohmann::json& expected) {
  const nlohmann::json& want = expected.at("chains").at(chain.name);
  EXPECT_EQ(chain.size(), want.at("residues"));
  EXPECT_EQ(chain.num_complete(), want.at("complete"));
  EXPECT_EQ(chain.residues.front(), want.at("first"));
  EXPECT_EQ(chain.residues.back(), want.at("last"));
  EXPECT_EQ(chain.sequence.substr(0, 20), want.at("seq_head"));
  int codes = 0;
  for (const char letter : chain.sequence) codes += residue_code(letter);
  EXPECT_EQ(codes, want.at("code_sum"));
  double sum = 0.0;
  for (const double x : chain.coords) sum += std::isfinite(x) ? x : 0.0;
  EXPECT_NEAR(sum, want.at("coords_sum").get<double>(), 1e-9 * static_cast<double>(chain.coords.size()));
}

/// The messages of users' broken files, and the numbers of odd ones.
TEST(Protein, FieldCases) {
  const auto root = test::shared_path("field/proteins");
  if (!exists(root)) GTEST_SKIP() << root;
  int cases = 0;
  for (const auto& entry : std::filesystem::directory_iterator(root)) {
    SCOPED_TRACE(entry.path().filename());
    const nlohmann::json expected = nlohmann::json::parse(std::ifstream(entry.path() / "expected.json"));
    const std::string kind = expected.at("kind");
    ++cases;
    for (const FieldRow& row : label_rows(entry.path())) {
      std::string said;
      const std::string refused = refusal([&] {
        const Protein protein = read_protein(row.path);
        const ProteinChain& chain = protein.chain(row.chain);
        said = too_few_complete(protein, chain);
        if (kind == "numbers") expect_numbers(chain, expected);
      });
      EXPECT_EQ(refused.empty(), kind != "error") << refused;
      EXPECT_EQ(said.empty(), kind != "skip") << said;
      for (const std::string word : expected.value("words", nlohmann::json::array())) {
        EXPECT_NE((refused + said).find(word), std::string::npos) << word << '\n' << refused << said;
      }
    }
  }
  EXPECT_GE(cases, 25);
}

}  // namespace
}  // namespace gnn_hpc
