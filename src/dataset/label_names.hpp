// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gnn_hpc {

/// Labels of a multi-class target are names, whatever they look like: 1..3 are three classes, not four, and words are as good as
/// numbers. A table of names gives each its number, the column of the head.

/// More different labels than this are numbers that someone took for classes.
inline constexpr std::size_t kMostClasses = 10000;

/// The name that a field of a table is: a whole number in one spelling ("1", "1.0" and "+1" are "1"), other text as it stands.
/// Nothing for a number that is not whole or not finite, which is no class.
std::optional<std::string> label_name(std::string_view field);

/// Names sorted, each once: whole numbers by value, then words byte by byte.
void sort_names(std::vector<std::string>& names);

/// Place of a name in a sorted table; nothing if it is not there.
std::optional<std::size_t> place_of(const std::vector<std::string>& names, const std::string& name);

/// The table of a target whose labels are `found` (sorted) where `wanted` classes were asked for (0: as many as are found). Where
/// all of them are among 0 .. wanted-1 the classes are these numbers, those that never occur, too. Throws Error(Exit::data) with
/// both counts if `wanted` is another number.
std::vector<std::string> class_table(const std::string& target, std::vector<std::string> found, int wanted);

}  // namespace gnn_hpc
