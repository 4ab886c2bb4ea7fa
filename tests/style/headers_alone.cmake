# SPDX-License-Identifier: Apache-2.0
# One source per header that includes nothing else, twice: each header must bring what it needs.
file(GLOB_RECURSE headers CONFIGURE_DEPENDS RELATIVE "${PROJECT_SOURCE_DIR}/src" "${PROJECT_SOURCE_DIR}/src/*.hpp")
set(sources)
foreach(header IN LISTS headers)
  string(MAKE_C_IDENTIFIER "${header}" name)
  set(source "${CMAKE_CURRENT_BINARY_DIR}/headers_alone/${name}.cpp")
  file(CONFIGURE OUTPUT "${source}" CONTENT "#include \"${header}\"\n#include \"${header}\"\n")
  list(APPEND sources "${source}")
endforeach()
add_library(headers_alone OBJECT EXCLUDE_FROM_ALL ${sources})
gnn_hpc_target(headers_alone)
target_compile_options(headers_alone PRIVATE -O0)
target_link_libraries(headers_alone PRIVATE gnn_hpc_verify)
