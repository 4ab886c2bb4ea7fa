// SPDX-License-Identifier: Apache-2.0
#include "train/prediction_table.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <sstream>

#include "base/error.hpp"
#include "support/paths.hpp"

namespace gnn_hpc {
namespace {

const double kNan = std::nan("");

std::string table(const std::vector<PredictedRow>& rows, const PredictionColumns& columns, const InputTable& input = {}) {
  std::ostringstream out;
  write_predicted(out, rows, columns, input);
  return out.str();
}

TEST(PredictionColumns, ClassesHaveTheMostProbableOneAndAllByName) {
  PredictionColumns columns{{"y"}, 3, {}, false};
  EXPECT_EQ(columns.names(true), (std::vector<std::string>{"target", "prediction", "probability_0", "probability_1", "probability_2"}));
  EXPECT_EQ(columns.fields({1.0}, {0.25, 0.5, 0.25}, true), ",1,1,0.25,0.5,0.25");
  columns = {{"a", "b"}, 3, {{"low", "high, \"very\"", "1"}, {"x", "y"}}, true};
  EXPECT_EQ(columns.names(false), (std::vector<std::string>{"prediction_a", "probability_a_low", "probability_a_high, \"very\"", "probability_a_1",
                                                            "prediction_b", "probability_b_x", "probability_b_y"}));
  EXPECT_EQ(columns.fields({kNan, 0.0}, {0.25, 0.5, 0.25, 0.375, 0.625, 0.0}, true), ",nan,\"high, \"\"very\"\"\",0.25,0.5,0.25,x,y,0.375,0.625");
  EXPECT_EQ(columns.fields({0.0, 1.0}, {kNan, kNan, kNan, kNan, kNan, kNan}, false), ",nan,nan,nan,nan,nan,nan,nan");
}

TEST(PredictionColumns, NoTwoColumnsShareAName) {
  const PredictionColumns columns{{"a", "a_b"}, 2, {{"b_c", "d"}, {"c", "d"}}, true};
  const auto names = columns.names(true);
  EXPECT_EQ(std::set<std::string>(names.begin(), names.end()).size(), names.size());
}

TEST(PredictedTable, ARowIsNumberedAndTheTargetNamed) {
  const PredictionColumns columns{{"E (eV/atom)"}};
  EXPECT_EQ(table({{"a", {kNan}, {1.5}}, {"b", {kNan}, {kNan}}}, columns), "id,prediction_E (eV/atom),row\na,1.5,1\nb,nan,2\n");
  EXPECT_EQ(table({{"a", {2.0}, {1.5}}, {"b", {kNan}, {kNan}}}, columns),
            "id,target_E (eV/atom),prediction_E (eV/atom),row\na,2,1.5,1\nb,nan,nan,2\n");
  EXPECT_EQ(table({}, columns), "id,prediction_E (eV/atom),row\n");
}

TEST(PredictedTable, KeepsTheColumnsOfTheInput) {
  const test::TemporaryFolder folder;
  const auto write = [&](const std::string& name, const std::string& text) {
    std::ofstream(folder / name, std::ios::binary) << text;
    return (folder / name).string();
  };
  const PredictionColumns columns{{"y"}};
  const std::vector<PredictedRow> rows{{"C", {kNan}, {1.5}}, {"CC", {kNan}, {kNan}}};
  InputTable input{{write("a.csv", "smiles,note,prediction_y,note\nC,\"x, \"\"y\"\"\",7,p\n\nCC,z\n")}, "smiles", {}};
  EXPECT_EQ(table(rows, columns, input),
            "id,prediction_y,row,smiles,note,input_prediction_y,input_note\nC,1.5,1,C,\"x, \"\"y\"\"\",7,p\nCC,nan,2,CC,z,,\n");
  input.omitted = "note";
  EXPECT_EQ(table(rows, columns, input), "id,prediction_y,row,smiles,input_prediction_y\nC,1.5,1,C,7\nCC,nan,2,CC,\n");
  input = {{write("b.csv", "smiles,k\nC,1\n"), write("c.csv", "k,smiles\n2,CC\n")}, "smiles", {}};
  EXPECT_EQ(table(rows, columns, input), "id,prediction_y,row,smiles,k\nC,1.5,1,C,1\nCC,nan,2,CC,2\n");
  input = {{write("d.csv", "smiles\nC\nCC\n")}, "smiles", {}};
  EXPECT_EQ(table(rows, columns, input), "id,prediction_y\nC,1.5\nCC,nan\n") << "line and row are the same";
  for (const char* text : {"smiles,k\nC,1\n", "smiles,k\nC,1\nCC,2\nCCC,3\n"}) {
    input.paths = {write("e.csv", text)};
    EXPECT_THROW(table(rows, columns, input), Error) << "other rows than were predicted";
  }
}

TEST(PredictedTable, ReasonsStandBesideTheOutput) {
  EXPECT_EQ(skipped_path("out/p.csv"), "out/p_skipped.csv");
  EXPECT_EQ(skipped_path("p"), "p_skipped.csv");
}

}  // namespace
}  // namespace gnn_hpc
