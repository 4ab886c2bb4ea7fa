# SPDX-License-Identifier: Apache-2.0
# Everything that is found, not built. Kokkos of the user (CMAKE_PREFIX_PATH, Spack, module) comes first; the private copy of
# scripts/bootstrap.sh is the second choice.
include(FeatureSummary)

# --- Kokkos and Kokkos Kernels -------------------------------------------------------------------------------------------------
set(gnn_hpc_deps "${GNN_HPC_DEPS}")
if(NOT gnn_hpc_deps)
  set(gnn_hpc_deps "${PROJECT_SOURCE_DIR}/.deps")
endif()
set(gnn_hpc_copy "${GNN_HPC_VARIANT}")
set(gnn_hpc_bootstrap "--${GNN_HPC_VARIANT}")
if(GNN_HPC_VARIANT STREQUAL "cuda")
  set(GNN_HPC_ARCH 90 CACHE STRING "CUDA architecture, e.g. 80, 90")
  set(gnn_hpc_copy "cuda-${GNN_HPC_ARCH}")
  set(gnn_hpc_bootstrap "--cuda ${GNN_HPC_ARCH}")
elseif(GNN_HPC_VARIANT STREQUAL "hip")
  set(GNN_HPC_ARCH gfx90a CACHE STRING "AMD architecture, e.g. gfx90a, gfx942")
  set(gnn_hpc_copy "hip-${GNN_HPC_ARCH}")
  set(gnn_hpc_bootstrap "--hip ${GNN_HPC_ARCH}")
endif()

# A CUDA copy is compiled as the CMake language CUDA, and its config file wants that language to be there.
if(GNN_HPC_VARIANT STREQUAL "cuda")
  if(NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
    find_program(CMAKE_CUDA_COMPILER nvcc HINTS ENV CUDA_HOME ENV CUDA_PATH PATHS /usr/local/cuda PATH_SUFFIXES bin)
    if(NOT CMAKE_CUDA_COMPILER)
      message(FATAL_ERROR "The cuda preset needs nvcc: put it on PATH, or set CUDACXX or CUDA_HOME.")
    endif()
  endif()
  if(NOT CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES ${GNN_HPC_ARCH})
  endif()
  enable_language(CUDA)
  if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION AND CMAKE_CUDA_COMPILER_VERSION VERSION_GREATER_EQUAL 12)
    set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20") # CMake 3.25.1 does not know that nvcc has learnt it
    set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION "-std=c++20")
  endif()
  set(CMAKE_CUDA_STANDARD 20)
  set(CMAKE_CUDA_STANDARD_REQUIRED ON)
  set(CMAKE_CUDA_EXTENSIONS OFF)
endif()

find_package(Kokkos 4.5 CONFIG QUIET)
find_package(KokkosKernels 4.5 CONFIG QUIET)
if(NOT Kokkos_FOUND OR NOT KokkosKernels_FOUND)
  set(gnn_hpc_prefix "${gnn_hpc_deps}/${gnn_hpc_copy}")
  find_package(Kokkos 4.5 CONFIG QUIET PATHS "${gnn_hpc_prefix}" NO_DEFAULT_PATH)
  find_package(KokkosKernels 4.5 CONFIG QUIET PATHS "${gnn_hpc_prefix}" NO_DEFAULT_PATH)
endif()
if(NOT Kokkos_FOUND OR NOT KokkosKernels_FOUND)
  message(FATAL_ERROR "Kokkos and Kokkos Kernels >= 4.5 were not found. Load a module or set CMAKE_PREFIX_PATH if this machine has them; "
    "otherwise run scripts/bootstrap.sh ${gnn_hpc_bootstrap}, which makes a private copy in ${gnn_hpc_deps}/${gnn_hpc_copy}.")
endif()
include(blas)
if(NOT Kokkos_COMPILE_LANGUAGE)
  set(Kokkos_COMPILE_LANGUAGE CXX)
endif()
if(Kokkos_COMPILE_LANGUAGE STREQUAL "CUDA")
  enable_language(CUDA)
endif()

if(Kokkos_COMPILE_LANGUAGE STREQUAL "CUDA")
  # In C++20 nvcc and its host compiler place members marked [[no_unique_address]] differently: a View of one index has 32 bytes in a kernel
  # and 40 outside (nvcc 13.0, g++ 12 and 13), and every kernel reads its Views at the wrong places. Without the attribute, as in C++17,
  # both agree; base/device_layout.hpp asks the device.
  add_compile_definitions("$<$<COMPILE_LANGUAGE:CUDA>:MDSPAN_IMPL_USE_ATTRIBUTE_NO_UNIQUE_ADDRESS=1>"
    "$<$<COMPILE_LANGUAGE:CUDA>:MDSPAN_IMPL_NO_UNIQUE_ADDRESS=>")
endif()
if("HIP" IN_LIST Kokkos_DEVICES)
  add_compile_definitions("R123_CUDA_DEVICE=__host__ __device__" R123_USE_SSE=0) # Random123 knows nvcc by itself, hipcc not
endif()
if("HIP" IN_LIST Kokkos_DEVICES AND CMAKE_CXX_COMPILER_ID MATCHES "Clang" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 16)
  include_directories(SYSTEM "${PROJECT_SOURCE_DIR}/cmake/clang15_hip") # a compiler crash, explained in the header there
endif()

# --- MPI and HDF5 --------------------------------------------------------------------------------------------------------------
find_package(Threads REQUIRED)
if(GNN_HPC_ENABLE_MPI)
  set(MPI_CXX_SKIP_MPICXX ON) # the C++ bindings left the standard
  find_package(MPI COMPONENTS CXX)
  if(NOT MPI_CXX_FOUND)
    message(FATAL_ERROR "MPI was not found (Debian: libopenmpi-dev). Set MPI_HOME or load a module, "
      "or configure with -DGNN_HPC_ENABLE_MPI=OFF for a program that runs on one device.")
  endif()
endif()

# Rank 0 writes and each rank reads on its own, so the serial library is enough; a parallel one works where it is the only one.
find_package(HDF5 COMPONENTS C)
if(NOT HDF5_FOUND)
  message(FATAL_ERROR "HDF5 was not found (Debian: libhdf5-dev). Set HDF5_ROOT or load a module.")
endif()
if(HDF5_IS_PARALLEL AND NOT GNN_HPC_ENABLE_MPI)
  message(FATAL_ERROR "The HDF5 found (${HDF5_C_INCLUDE_DIRS}) was built with MPI, but GNN_HPC_ENABLE_MPI is OFF: its headers include mpi.h. "
    "Either set HDF5_ROOT to a serial HDF5, or configure with -DGNN_HPC_ENABLE_MPI=ON and the same MPI.")
elseif(HDF5_IS_PARALLEL)
  message(STATUS "HDF5 ${HDF5_VERSION} was built with MPI: it must be the MPI of this build (${MPI_CXX_LIBRARIES}); "
    "if the link or the start fails with MPI symbols, set HDF5_ROOT to a serial HDF5")
endif()
# FindHDF5 gives plain folders for some layouts; as an imported target its headers are system headers everywhere.
add_library(gnn_hpc_hdf5 INTERFACE IMPORTED)
target_include_directories(gnn_hpc_hdf5 SYSTEM INTERFACE ${HDF5_C_INCLUDE_DIRS})
target_compile_definitions(gnn_hpc_hdf5 INTERFACE ${HDF5_C_DEFINITIONS})
target_link_libraries(gnn_hpc_hdf5 INTERFACE ${HDF5_C_LIBRARIES})
if(HDF5_IS_PARALLEL)
  target_link_libraries(gnn_hpc_hdf5 INTERFACE MPI::MPI_CXX)
endif()

# --- libraries with a CMake package --------------------------------------------------------------------------------------------
find_package(yaml-cpp REQUIRED)
if(NOT TARGET yaml-cpp::yaml-cpp) # the name before yaml-cpp 0.8
  add_library(yaml-cpp::yaml-cpp INTERFACE IMPORTED)
  target_link_libraries(yaml-cpp::yaml-cpp INTERFACE yaml-cpp)
endif()
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
# fmt 9 turns constexpr off under nvcc, which then breaks its compile-time check of format strings.
add_library(gnn_hpc_fmt INTERFACE IMPORTED)
target_link_libraries(gnn_hpc_fmt INTERFACE fmt::fmt spdlog::spdlog)
target_compile_definitions(gnn_hpc_fmt INTERFACE "$<$<COMPILE_LANGUAGE:CUDA>:FMT_USE_CONSTEXPR=1>")
find_package(CLI11 REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(FastFloat REQUIRED)
find_package(ZLIB REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(xxhash REQUIRED IMPORTED_TARGET libxxhash)

# --- headers without one -------------------------------------------------------------------------------------------------------
function(gnn_hpc_find_headers target header package)
  string(MAKE_C_IDENTIFIER "${target}_INCLUDE_DIR" variable)
  string(TOUPPER "${variable}" variable)
  find_path(${variable} ${header})
  if(NOT ${variable})
    message(FATAL_ERROR "${header} was not found (Debian: ${package}); set ${variable} to the folder that holds it.")
  endif()
  mark_as_advanced(${variable})
  add_library(${target} INTERFACE IMPORTED GLOBAL)
  target_include_directories(${target} SYSTEM INTERFACE "${${variable}}")
endfunction()

gnn_hpc_find_headers(gnn_hpc_random123 Random123/philox.h librandom123-dev)
find_package(gemmi CONFIG QUIET) # newer than Debian 12's, which is headers alone
if(TARGET gemmi::gemmi_cpp)
  add_library(gnn_hpc_gemmi INTERFACE IMPORTED)
  target_link_libraries(gnn_hpc_gemmi INTERFACE gemmi::gemmi_cpp)
else()
  gnn_hpc_find_headers(gnn_hpc_gemmi gemmi/cif.hpp gemmi-dev)
  gnn_hpc_find_headers(gnn_hpc_pegtl tao/pegtl.hpp tao-pegtl-dev)
  target_link_libraries(gnn_hpc_gemmi INTERFACE gnn_hpc_pegtl ZLIB::ZLIB)
endif()

# --- RDKit: SMILES ---------------------------------------------------------------------------------------------------------------
option(GNN_HPC_RDKIT "Read molecules from SMILES with RDKit" ON)
if(GNN_HPC_RDKIT)
  set(gnn_hpc_rdkit_libraries SmilesParse GraphMol RDGeneral)
  find_package(RDKit CONFIG QUIET) # conda and builds from source have a CMake package, Debian has not
  add_library(gnn_hpc_rdkit INTERFACE IMPORTED GLOBAL)
  if(TARGET RDKit::SmilesParse)
    list(TRANSFORM gnn_hpc_rdkit_libraries PREPEND "RDKit::" OUTPUT_VARIABLE gnn_hpc_rdkit_targets)
    target_link_libraries(gnn_hpc_rdkit INTERFACE ${gnn_hpc_rdkit_targets})
  else()
    find_path(RDKIT_INCLUDE_DIR GraphMol/SmilesParse/SmilesParse.h HINTS ENV RDBASE PATH_SUFFIXES rdkit Code)
    find_path(RDKIT_BOOST_INCLUDE_DIR boost/iostreams/tee.hpp HINTS ENV BOOST_ROOT)
    set(gnn_hpc_rdkit_missing)
    foreach(library IN LISTS gnn_hpc_rdkit_libraries)
      find_library(RDKIT_${library}_LIBRARY RDKit${library} HINTS ENV RDBASE PATH_SUFFIXES lib)
      mark_as_advanced(RDKIT_${library}_LIBRARY)
      if(NOT RDKIT_${library}_LIBRARY)
        list(APPEND gnn_hpc_rdkit_missing libRDKit${library})
      endif()
      target_link_libraries(gnn_hpc_rdkit INTERFACE "${RDKIT_${library}_LIBRARY}")
    endforeach()
    if(gnn_hpc_rdkit_missing OR NOT RDKIT_INCLUDE_DIR OR NOT RDKIT_BOOST_INCLUDE_DIR)
      message(FATAL_ERROR "RDKit (headers, Boost's headers, ${gnn_hpc_rdkit_libraries}) was not found: install it (Debian: librdkit-dev "
        "libboost-dev), set RDKIT_INCLUDE_DIR, RDBASE or CMAKE_PREFIX_PATH to where it is, or configure with -DGNN_HPC_RDKIT=OFF for a "
        "program without molecules from SMILES.")
    endif()
    mark_as_advanced(RDKIT_INCLUDE_DIR RDKIT_BOOST_INCLUDE_DIR)
    target_include_directories(gnn_hpc_rdkit SYSTEM INTERFACE "${RDKIT_INCLUDE_DIR}" "${RDKIT_BOOST_INCLUDE_DIR}")
  endif()
endif()

if(GNN_HPC_ENABLE_TESTS)
  find_package(GTest REQUIRED)
endif()
