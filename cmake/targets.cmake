# SPDX-License-Identifier: Apache-2.0
# How a target of ours is compiled, in one place.

# Warnings are ours and PRIVATE, optimisation flags come from the build type and Kokkos. Never fast-math: NaN checks must hold.
function(gnn_hpc_target target)
  get_target_property(sources ${target} SOURCES)
  if(NOT Kokkos_COMPILE_LANGUAGE STREQUAL "CXX")
    # The language of a source is a property of the file and the directory that names it.
    foreach(source IN LISTS sources)
      if(source MATCHES "\\.cpp$")
        set_source_files_properties("${source}" PROPERTIES LANGUAGE ${Kokkos_COMPILE_LANGUAGE})
      endif()
    endforeach()
  endif()
  set(warnings -Wall -Wextra -Woverloaded-virtual)
  set(cxx_warnings ${warnings} -Wpedantic -Wnon-virtual-dtor)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    list(APPEND cxx_warnings -Wshadow=local)
    if(CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
      list(APPEND warnings -Wno-restrict) # false alarms of g++ 12 in std::string (GCC bug 105651)
      list(APPEND cxx_warnings -Wno-restrict)
    endif()
  endif()
  if(GNN_HPC_WERROR)
    list(APPEND warnings -Werror)
    list(APPEND cxx_warnings -Werror)
  endif()
  list(JOIN warnings "," cuda_warnings)
  # Nobody reads errno after a square root; with it no loop that takes one is vectorised. Changes no result.
  target_compile_options(${target} PRIVATE
    "$<$<COMPILE_LANGUAGE:CXX>:${cxx_warnings};-fno-math-errno>"
    "$<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=${cuda_warnings},-fno-math-errno>")
endfunction()

# gnn_hpc_library(FOLDER SOURCES a.cpp ... LINK targets ...): the static library gnn_hpc_FOLDER of src/FOLDER.
function(gnn_hpc_library folder)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;LINK")
  set(target gnn_hpc_${folder})
  if(NOT arg_SOURCES)
    add_library(${target} INTERFACE)
    target_link_libraries(${target} INTERFACE ${arg_LINK})
    return()
  endif()
  add_library(${target} STATIC ${arg_SOURCES})
  gnn_hpc_target(${target})
  if(NOT Kokkos_COMPILE_LANGUAGE STREQUAL "CXX")
    foreach(source IN LISTS arg_SOURCES)
      set_source_files_properties("${source}" PROPERTIES LANGUAGE ${Kokkos_COMPILE_LANGUAGE})
    endforeach()
  endif()
  target_include_directories(${target} PUBLIC "${PROJECT_SOURCE_DIR}/src")
  target_compile_features(${target} PUBLIC cxx_std_20)
  target_link_libraries(${target} PUBLIC ${arg_LINK})
endfunction()

# Sums and products as they are written, so that a graph built here is the graph built anywhere (g++ fuses a*b+c by default).
function(gnn_hpc_exact_arithmetic target)
  get_target_property(type ${target} TYPE)
  if(NOT type STREQUAL "INTERFACE_LIBRARY")
    target_compile_options(${target} PRIVATE
      "$<$<COMPILE_LANGUAGE:CXX>:-ffp-contract=off>"
      "$<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-ffp-contract=off>")
  endif()
endfunction()
