# SPDX-License-Identifier: Apache-2.0
# How a target of ours is compiled, in one place.

# Sets OUT to whether a source includes Kokkos, directly or through headers of ours. Half of the sources do not, and GPU builds
# compile those with the host compiler alone, which is several times faster than nvcc or hipcc.
function(gnn_hpc_includes_kokkos source out)
  set(key "gnn_hpc_includes_kokkos ${source}")
  get_property(known GLOBAL PROPERTY "${key}")
  if(NOT "${known}" STREQUAL "")
    set(${out} ${known} PARENT_SCOPE)
    return()
  endif()
  set_property(GLOBAL PROPERTY "${key}" FALSE) # also ends the recursion of headers that include each other
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${source}")
  file(STRINGS "${source}" lines REGEX "^#include")
  set(result FALSE)
  foreach(line IN LISTS lines)
    if(line MATCHES "<Kokkos")
      set(result TRUE)
    elseif(line MATCHES "\"([^\"]+)\"")
      foreach(root src tests)
        if(NOT result AND EXISTS "${PROJECT_SOURCE_DIR}/${root}/${CMAKE_MATCH_1}")
          gnn_hpc_includes_kokkos("${PROJECT_SOURCE_DIR}/${root}/${CMAKE_MATCH_1}" result)
        endif()
      endforeach()
    endif()
  endforeach()
  set_property(GLOBAL PROPERTY "${key}" ${result})
  set(${out} ${result} PARENT_SCOPE)
endfunction()

# Warnings are ours and PRIVATE, optimisation flags come from the build type and Kokkos. Never fast-math: NaN checks must hold.
function(gnn_hpc_target target)
  set(hip FALSE)
  if("HIP" IN_LIST Kokkos_DEVICES)
    set(hip TRUE)
  endif()
  if(hip OR GNN_HPC_DEVICE_PATH OR NOT Kokkos_COMPILE_LANGUAGE STREQUAL "CXX")
    get_target_property(sources ${target} SOURCES)
    foreach(source IN LISTS sources)
      get_filename_component(path "${source}" ABSOLUTE)
      if(NOT source MATCHES "\\.cpp$" OR NOT EXISTS "${path}")
        continue()
      endif()
      gnn_hpc_includes_kokkos("${path}" kokkos)
      if(kokkos AND GNN_HPC_DEVICE_PATH) # only where it matters: a compiler cache finds the other half
        set_property(SOURCE "${source}" APPEND PROPERTY COMPILE_DEFINITIONS GNN_HPC_DEVICE_PATH)
      elseif(kokkos AND NOT hip)
        set_source_files_properties("${source}" PROPERTIES LANGUAGE ${Kokkos_COMPILE_LANGUAGE})
      elseif(NOT kokkos AND hip)
        set_source_files_properties("${source}" PROPERTIES COMPILE_OPTIONS "-x;c++;-Wno-unused-command-line-argument")
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

# gnn_hpc_library(FOLDER SOURCES a.cpp ... LINK targets ...): the static library gnn_hpc_FOLDER of src/FOLDER; `_` stands for `/`.
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

# The same for some sources of a library of this folder.
function(gnn_hpc_exact_sources)
  set_property(SOURCE ${ARGN} APPEND PROPERTY COMPILE_OPTIONS
    "$<$<COMPILE_LANGUAGE:CXX>:-ffp-contract=off>"
    "$<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-ffp-contract=off>")
endfunction()
