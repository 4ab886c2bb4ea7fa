// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/error.hpp"

#include <gtest/gtest.h>

#include <string>

namespace gnn_hpc::test {

/// Why `read` refuses its text as bad data; empty if it does not.
template <class Read>
std::string refusal(Read read) {
  try {
    read();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Exit::data);
    return error.what();
  }
  return {};
}

}  // namespace gnn_hpc::test
