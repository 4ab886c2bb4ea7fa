// SPDX-License-Identifier: Apache-2.0
// Found in front of libstdc++'s header of the same name in HIP builds with clang < 16, and only there: that compiler crashes when
// it infers for which side (host, device) the implicit members of a class with a std::pair are, because libstdc++ 12 constrains
// pair's members with `requires`. Without the concepts feature macro the header takes its C++17 form, which has the same layout.
#pragma once
#include <bits/move.h>
#include <compare>
#include <type_traits>
#pragma push_macro("__cpp_lib_concepts")
#undef __cpp_lib_concepts
#include_next <bits/stl_pair.h>
#pragma pop_macro("__cpp_lib_concepts")
