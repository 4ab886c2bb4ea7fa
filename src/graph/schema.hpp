// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "io/dtype.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace gnn_hpc {

/// What one row of a column belongs to.
enum class Domain { graph, node, edge };

/// One typed column of a system's samples: [rows, width] with one row per graph, node or edge.
struct Column {
  std::string name;
  Domain domain = Domain::graph;
  DType type = DType::f64;  ///< in memory; integers are stored in the narrowest type that holds all values of the data set
  int width = 1;
  bool resident = false;  ///< small and needed at once (targets): read when the cache is opened, not sample by sample

  std::string path() const;  ///< "/edge/u"
};

/// The columns of a system; every system has its own, all share one file format (docs/graph_cache.md).
struct Schema {
  std::string kind;  ///< "crystal", part of the file name
  int version = 1;   ///< raise it when the same options give other samples: old caches are then rebuilt
  std::vector<Column> columns;

  /// Position of a column; throws Error(Exit::internal) if there is none.
  int find(std::string_view name) const;
  /// One line a column: part of the cache key.
  std::string text() const;
};

std::string_view name_of(Domain domain);

}  // namespace gnn_hpc
