// SPDX-License-Identifier: Apache-2.0
#include "io/csv.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <zlib.h>

#include <fstream>

#include "base/error.hpp"
#include "support/paths.hpp"

namespace gnn_hpc {
namespace {

using Rows = std::vector<std::vector<std::string>>;

struct CsvFile {
  test::TemporaryFolder folder;
  std::string path;
  explicit CsvFile(const std::string& text) : path((folder / "t.csv").string()) { std::ofstream(path, std::ios::binary) << text; }
};

Rows read(const std::string& path, std::vector<std::int64_t>* lines = nullptr) {
  CsvReader reader(path);
  CsvReader::Row row;
  Rows out;
  while (reader.next(row)) {
    out.emplace_back(row.fields.begin(), row.fields.begin() + static_cast<std::ptrdiff_t>(row.size));
    if (lines) lines->push_back(row.line);
  }
  return out;
}

TEST(Csv, QuotedFieldsHoldAnything) {
  const CsvFile file("a,b,c\n1,\"x, \"\"y\"\"\nz\",3\n\n\"\",,\n");
  std::vector<std::int64_t> lines;
  EXPECT_EQ(read(file.path, &lines), (Rows{{"a", "b", "c"}, {"1", "x, \"y\"\nz", "3"}, {"", "", ""}}));
  EXPECT_EQ(lines, (std::vector<std::int64_t>{1, 2, 5}));
}

TEST(Csv, CarriageReturnsByteOrderMarkAndMissingLastNewline) {
  const CsvFile file("\xEF\xBB\xBFid,v\r\n1,2\r\n\"3\",\"4\"\r\n5,\r\n6,7");
  EXPECT_EQ(read(file.path), (Rows{{"id", "v"}, {"1", "2"}, {"3", "4"}, {"5", ""}, {"6", "7"}}));
}

TEST(Csv, StrayQuotesAreKept) {
  const CsvFile file("a\"b,\"c\"d,e\n");
  EXPECT_EQ(read(file.path), (Rows{{"a\"b", "cd", "e"}}));
}

TEST(Csv, AnEndInsideQuotesIsReported) {
  const CsvFile file("a,b\n1,\"never closed\n2,3\n");
  CsvReader reader(file.path);
  CsvReader::Row row;
  ASSERT_TRUE(reader.next(row));
  EXPECT_FALSE(row.unterminated);
  ASSERT_TRUE(reader.next(row));
  EXPECT_TRUE(row.unterminated);
  EXPECT_FALSE(reader.next(row));
}

/// Rows that a quote swallows are accounted for: by the row that the quote begins in, with the lines it took.
TEST(Csv, EveryRowIsUsedOrNamesTheLinesItSwallowed) {
  const auto problems = [](const std::string& text) {
    const CsvFile file(text);
    CsvReader reader(file.path);
    CsvReader::Row row;
    std::vector<std::string> out;
    while (reader.next(row)) out.push_back(row_problem(row, 2));
    return out;
  };
  using Texts = std::vector<std::string>;
  EXPECT_EQ(problems("a,b\n1,2\n\"x\ny\",3\n"), (Texts{"", "", ""}));
  EXPECT_EQ(problems("a,b\n1\n1,2,3\n"), (Texts{"", "1 fields, but the header has 2", "3 fields, but the header has 2"}));
  EXPECT_EQ(problems("a,\"1\nb,2\nc,3\n"), (Texts{"the file ends inside a quoted field (the row takes lines 1 to 4; is a quote never closed?)"}));
  EXPECT_EQ(problems("a,\"1\nb,2\nc,\"3\nd,4\n"),
            (Texts{"text behind the closing quote of a field (the row takes lines 1 to 3; is a quote never closed?)", ""}));
  EXPECT_EQ(problems("a,\"1\nb,2,\",4\nd,4\n"), (Texts{"3 fields, but the header has 2 (the row takes lines 1 to 2; is a quote never closed?)", ""}));
  EXPECT_EQ(problems("\"a\" ,b\n"), (Texts{""}));
  EXPECT_NE(no_number("1\nb,2").find("is a quote never closed?"), std::string::npos);
}

TEST(Csv, ColumnsAreFoundByNameOrRefused) {
  const std::vector<std::string> names{"id", "y", "x", "y"};
  EXPECT_EQ(find_column(names, "x", "f"), 2U);
  EXPECT_EQ(find_column(names, "z", "f"), std::nullopt);
  EXPECT_THROW(find_column(names, "y", "f"), Error);
  EXPECT_THROW(need_column(names, "z", "f", "set it"), Error);
}

/// Fields and rows of random text survive, whatever falls on the edges of the blocks in which a file is read.
TEST(Csv, LongFilesRoundTripPlainAndCompressed) {
  Rows expected;
  std::string text;
  std::uint32_t state = 1;
  const auto draw = [&](std::uint32_t n) {
    state = state * 1664525u + 1013904223u;
    return (state >> 8) % n;
  };
  for (int r = 0; r < 4000; ++r) {
    std::vector<std::string> row;
    for (int f = 0; f < 4; ++f) {
      std::string value;
      for (std::uint32_t n = draw(200); n > 0; --n) value += "ab\"\n,\r 1"[draw(8)];
      text += f ? ",\"" : "\"";
      for (const char c : value) text += c == '"' ? "\"\"" : std::string(1, c);
      text += '"';
      row.push_back(value);
    }
    text += draw(2) ? "\r\n" : "\n";
    expected.push_back(row);
  }
  const CsvFile file(text);
  EXPECT_EQ(read(file.path), expected);
  const std::string zipped = (file.folder / "t.csv.gz").string();
  gzFile out = gzopen(zipped.c_str(), "wb");
  gzwrite(out, text.data(), static_cast<unsigned>(text.size()));
  gzclose(out);
  EXPECT_EQ(read(zipped), expected);

  // Cut or damaged, it is an error that names the file, never a silent end.
  const auto size = std::filesystem::file_size(zipped);
  std::filesystem::resize_file(zipped, size / 2);
  EXPECT_THROW(read(zipped), Error);
}

TEST(Csv, FilesThatCannotBeRead) {
  test::TemporaryFolder folder;
  EXPECT_THROW(CsvReader((folder / "absent.csv").string()), Error);
  EXPECT_THROW(CsvReader(folder.path().string()), Error);
  const CsvFile empty("");
  EXPECT_TRUE(read(empty.path).empty());
}

/// Opening a pipe waits for its other end, and inputs are read twice.
TEST(Csv, PipesAndDevicesAreRefusedInsteadOfWaitedFor) {
  const test::TemporaryFolder folder;
  const std::string pipe = (folder / "pipe.csv").string();
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_THROW(CsvReader{pipe}, Error);
  EXPECT_THROW(CsvReader{"/dev/zero"}, Error);
}

/// A few MB of gzip may hold a line of many GB, a binary file no line end: what one row or line takes has a bound.
TEST(Csv, RowsAndLinesWithoutEndAreRefused) {
  const test::TemporaryFolder folder;
  const auto zipped = [&](char c, int mebibytes) {
    const std::string path = (folder / "endless.csv.gz").string();
    gzFile out = gzopen(path.c_str(), "wb1");
    const std::string block(1 << 20, c);
    for (int i = 0; i < mebibytes; ++i) gzwrite(out, block.data(), static_cast<unsigned>(block.size()));
    gzclose(out);
    return path;
  };
  const auto message = [](const auto& work) -> std::string {
    try {
      work();
    } catch (const Error& error) {
      return error.what();
    }
    return {};
  };
  EXPECT_NE(message([&] { read(zipped(',', 2)); }).find(":1: a row of more than 1048576 fields"), std::string::npos);
  const std::string path = zipped('x', 258);
  EXPECT_NE(message([&] { read(path); }).find(":1: a row longer than 256 MiB"), std::string::npos);
  EXPECT_NE(message([&] {
              std::string line;
              TextSource(path).line(line);
            }).find(":1: a line longer than 256 MiB"),
            std::string::npos);
}

TEST(Csv, Numbers) {
  EXPECT_EQ(*parse_number(" +1.5e3 "), 1500);
  EXPECT_EQ(*parse_number("-.5"), -0.5);
  EXPECT_TRUE(std::isinf(*parse_number("1e400")));
  for (const char* bad : {"", "1.5x", "+-1", "1 2", "0x10", "--1", "e5"}) EXPECT_FALSE(parse_number(bad)) << bad;
  EXPECT_EQ(*parse_integer("+12"), 12);
  for (const char* bad : {"", "1.0", "99999999999999999999", "1 2"}) EXPECT_FALSE(parse_integer(bad)) << bad;
}

}  // namespace
}  // namespace gnn_hpc
