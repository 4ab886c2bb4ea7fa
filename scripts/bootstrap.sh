#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Private copies of Kokkos 4.7.0 and Kokkos Kernels 4.5.1 for machines that have none (no Spack, no module).
# Everything lands in the ignored folder .deps/: one prefix per variant, found by CMakeLists.txt after find_package failed.
# Idempotent: a prefix with the right stamp is left alone. Two runs at once wait for each other.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: scripts/bootstrap.sh [VARIANT ...]
  --openmp      OpenMP + Serial                  -> .deps/openmp      (default)
  --serial      Serial alone                     -> .deps/serial
  --debug       OpenMP + Serial, bounds checks   -> .deps/debug       (presets debug and asan)
  --tsan        Serial, bounds checks, TSan      -> .deps/tsan        (preset tsan)
  --cuda ARCH   CUDA + Serial, e.g. --cuda 90    -> .deps/cuda-90     (70 75 80 86 89 90 100)
  --hip ARCH    HIP + Serial, --hip gfx90a       -> .deps/hip-gfx90a  (gfx906 gfx908 gfx90a gfx942)
  --force       build again even if the stamp says it is current
environment: GNN_HPC_DEPS (default <repository>/.deps), GNN_HPC_JOBS (default: number of cores),
             GNN_HPC_NATIVE=OFF to leave out -march=native in host builds,
             BLA_VENDOR (default OpenBLAS), for machines without OpenBLAS: cmake --help-module FindBLAS
TEXT
}

fail() { printf 'bootstrap: %s\n' "$*" >&2; exit 1; }
say() { printf 'bootstrap: %s\n' "$*"; }

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
deps=${GNN_HPC_DEPS:-$root/.deps}
jobs=${GNN_HPC_JOBS:-$(nproc)}
native=${GNN_HPC_NATIVE:-ON}

# The release sources of both libraries are carried inside two source distributions on PyPI.
kokkos_version=4.7.0
kokkos_dist=pygenten-0.1.5
kokkos_sha256=e620f05c742905e2db705d875f1cac92ef0ed453f9e6734e9beda26cc0f9cce7
kokkos_folder=tpls/kokkos
kernels_version=4.5.1
kernels_dist=pycompadre-1.7.6
kernels_sha256=c766ec4d445ce076069be4b8c51a23ffac4ee79ea949ca86446bfd8c299b154c
kernels_folder=kokkos-kernels

variants=()
force=0
while (($#)); do
  case $1 in
    --openmp | --serial | --debug | --tsan) variants+=("${1#--}") ;;
    --cuda | --hip)
      (($# > 1)) || fail "$1 needs an architecture (for example --cuda 90, --hip gfx90a)"
      variants+=("${1#--}-$2")
      shift
      ;;
    --force) force=1 ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; fail "unknown argument '$1'" ;;
  esac
  shift
done
((${#variants[@]})) || variants=(openmp)

# What the compiler makes of -march=native belongs to the stamp: a copy made on another processor must not be reused.
host_target() {
  { [ "$native" = ON ] && ${CXX:-c++} -march=native -E -v -x c++ /dev/null 2>&1 | grep -E '^ .*cc1plus' | grep -oE '\-m[a-z0-9=._-]+'; } || echo generic
}

cuda_arch_name() {
  case $1 in
    70) echo VOLTA70 ;; 75) echo TURING75 ;; 80) echo AMPERE80 ;; 86) echo AMPERE86 ;; 89) echo ADA89 ;;
    90) echo HOPPER90 ;; 100) echo BLACKWELL100 ;;
    *) fail "unknown CUDA architecture '$1' (allowed: 70 75 80 86 89 90 100)" ;;
  esac
}

hip_arch_name() {
  case $1 in
    gfx906 | gfx908 | gfx90[aA] | gfx942) echo "AMD_${1^^}" ;;
    *) fail "unknown HIP architecture '$1' (allowed: gfx906 gfx908 gfx90a gfx942)" ;;
  esac
}

find_nvcc() {
  local candidate
  for candidate in "${CUDACXX:-}" "$(command -v nvcc || true)" "${CUDA_HOME:-}/bin/nvcc" "${CUDA_PATH:-}/bin/nvcc" /usr/local/cuda/bin/nvcc; do
    if [ -n "$candidate" ] && [ -x "$candidate" ]; then echo "$candidate"; return; fi
  done
  fail "no nvcc found; put it on PATH or set CUDACXX"
}

# Sets kokkos_options and kernels_options of one variant.
choose_options() {
  local variant=$1 arch
  local march=()
  [ "$native" = ON ] && march=(-DKokkos_ARCH_NATIVE=ON)
  # One OpenMP runtime for BLAS and Kokkos: Debian's libopenblas-openmp-dev, not the variant with its own thread pool.
  # The names of BLAS routines as every vendor on Linux has them (sgemm_): told, so that configuring needs no Fortran compiler.
  local blas=(-DKokkosKernels_ENABLE_TPL_BLAS=ON "-DBLA_VENDOR=${BLA_VENDOR:-OpenBLAS}" "-DF77_BLAS_MANGLE=(name,NAME) name ## _")
  local checks=(-DKokkos_ENABLE_DEBUG=ON -DKokkos_ENABLE_DEBUG_BOUNDS_CHECK=ON)
  kokkos_options=(-DKokkos_ENABLE_SERIAL=ON -DCMAKE_BUILD_TYPE=Release)
  kernels_options=(-DCMAKE_BUILD_TYPE=Release)
  case $variant in
    openmp)
      kokkos_options+=(-DKokkos_ENABLE_OPENMP=ON -DCMAKE_CXX_STANDARD=20 "${march[@]}")
      kernels_options+=("${blas[@]}")
      ;;
    serial)
      kokkos_options+=(-DCMAKE_CXX_STANDARD=20 "${march[@]}")
      kernels_options+=("${blas[@]}")
      ;;
    debug)
      kokkos_options+=(-DKokkos_ENABLE_OPENMP=ON -DCMAKE_CXX_STANDARD=20 "${checks[@]}")
      kernels_options+=("${blas[@]}")
      ;;
    tsan)
      # ThreadSanitizer cannot see the barriers of an uninstrumented libgomp and would report every kernel. With Serial as
      # the only backend the threads left are our own (loader, graph builder), and those are what the preset is to check.
      # Kokkos itself is instrumented too, so that its reference counts on Views order the accesses of those threads.
      kokkos_options+=(-DCMAKE_CXX_STANDARD=20 "${checks[@]}" -DCMAKE_CXX_FLAGS=-fsanitize=thread)
      kernels_options+=("${blas[@]}" -DCMAKE_CXX_FLAGS=-fsanitize=thread)
      ;;
    cuda-*)
      arch=${variant#cuda-}
      local nvcc
      nvcc=$(find_nvcc)
      # C++17 here: under nvcc 13 the C++20 View constructors of Kokkos 4.7.0 do not parse; programs may use C++20.
      local common=(-DCMAKE_CUDA_COMPILER="$nvcc" -DCMAKE_CUDA_ARCHITECTURES="$arch" -DCMAKE_CXX_STANDARD=17 -DCMAKE_CUDA_STANDARD=17)
      kokkos_options+=(-DKokkos_ENABLE_CUDA=ON "-DKokkos_ARCH_$(cuda_arch_name "$arch")=ON"
        -DKokkos_ENABLE_COMPILE_AS_CMAKE_LANGUAGE=ON "${common[@]}")
      kernels_options+=(-DKokkosKernels_ENABLE_TPL_CUBLAS=ON -DKokkosKernels_ENABLE_TPL_CUSPARSE=OFF
        -DKokkosKernels_ENABLE_TPL_CUSOLVER=OFF "${common[@]}")
      ;;
    hip-*)
      arch=${variant#hip-}
      command -v hipcc >/dev/null || fail "no hipcc found (scripts/system-packages.sh --hip names the packages)"
      kokkos_options+=(-DCMAKE_CXX_COMPILER=hipcc -DKokkos_ENABLE_HIP=ON "-DKokkos_ARCH_$(hip_arch_name "$arch")=ON"
        -DKokkos_ENABLE_ROCTHRUST=OFF -DCMAKE_CXX_STANDARD=17)
      local roc=OFF # rocBLAS is not packaged for Debian 12; a ROCm installation has it
      [ -e "${ROCM_PATH:-/opt/rocm}/lib/librocblas.so" ] && roc=ON
      kernels_options+=(-DCMAKE_CXX_COMPILER=hipcc -DCMAKE_CXX_STANDARD=17 "-DKokkosKernels_ENABLE_TPL_ROCBLAS=$roc"
        -DKokkosKernels_ENABLE_TPL_ROCSPARSE=OFF -DKokkosKernels_ENABLE_TPL_ROCSOLVER=OFF)
      ;;
  esac
  kokkos_options+=(-DKokkos_ENABLE_DEPRECATED_CODE_4=OFF -DCMAKE_CXX_EXTENSIONS=OFF -DCMAKE_POSITION_INDEPENDENT_CODE=ON)
  kernels_options+=(-DKokkosKernels_ADD_DEFAULT_ETI=OFF -DKokkosKernels_ENABLE_ALL_COMPONENTS=OFF
    -DKokkosKernels_ENABLE_COMPONENT_BLAS=ON -DKokkosKernels_ENABLE_COMPONENT_BATCHED=ON
    -DKokkosKernels_ENABLE_COMPONENT_SPARSE=ON -DKokkosKernels_ENABLE_COMPONENT_GRAPH=ON
    -DCMAKE_CXX_EXTENSIONS=OFF -DCMAKE_POSITION_INDEPENDENT_CODE=ON)
}

fetch() { # NAME-VERSION SHA256: leaves .deps/src/NAME-VERSION.tar.gz with the right checksum
  local dist=$1 sum=$2 archive=$deps/src/$1.tar.gz
  if [ -f "$archive" ] && ! echo "$sum  $archive" | sha256sum --check --status; then
    say "$archive has a wrong checksum, fetching it again"
    rm -f "$archive"
  fi
  [ -f "$archive" ] && return
  if [ ! -x "$deps/venv/bin/pip" ] || [ ! -f "$deps/venv/.ready" ]; then
    say "python environment for the download"
    rm -rf "$deps/venv"
    python3 -m venv "$deps/venv" || fail "python3 -m venv failed (Debian: apt-get install python3-venv)"
    # pip asks a source distribution for its metadata, which needs the build tools it names.
    "$deps/venv/bin/pip" install --quiet scikit-build-core setuptools wheel ninja cmake pybind11
    touch "$deps/venv/.ready"
  fi
  say "fetching $dist"
  rm -rf "$deps/src/incoming"
  PATH=$deps/venv/bin:$PATH "$deps/venv/bin/pip" download --quiet --no-deps --no-binary :all: --no-build-isolation \
    -d "$deps/src/incoming" "${dist%-*}==${dist##*-}"
  echo "$sum  $deps/src/incoming/$dist.tar.gz" | sha256sum --check --status ||
    fail "$dist.tar.gz has sha256 $(sha256sum "$deps/src/incoming/$dist.tar.gz" | cut -d' ' -f1), expected $sum"
  mv "$deps/src/incoming/$dist.tar.gz" "$archive"
}

# CUDA 13 dropped two runtime signatures that Kokkos 4.7.0 still calls; both are guarded, so older toolkits see no change.
patch_for_cuda13() {
  local file=$1/core/src/Cuda/Kokkos_Cuda_Instance.hpp
  sed -i \
    -e 's|^    return cudaGraphAddDependencies(graph, from, to, numDependencies);$|#if CUDART_VERSION >= 13000\n    return cudaGraphAddDependencies(graph, from, to, nullptr, numDependencies);\n#else\n&\n#endif|' \
    -e 's|^    return cudaMemPrefetchAsync(devPtr, count, dstDevice, m_stream);$|#if CUDART_VERSION >= 13000\n    return cudaMemPrefetchAsync(devPtr, count, cudaMemLocation{cudaMemLocationTypeDevice, dstDevice}, 0, m_stream);\n#else\n&\n#endif|' \
    "$file"
  [ "$(grep -c 'CUDART_VERSION >= 13000' "$file")" = 2 ] || fail "the CUDA 13 change of $file did not apply"
}

unpack() {
  local kokkos=$deps/src/kokkos-$kokkos_version kernels=$deps/src/kokkos-kernels-$kernels_version temporary=$deps/src/unpack
  [ -f "$kokkos/.complete" ] && [ -f "$kernels/.complete" ] && return
  fetch "$kokkos_dist" "$kokkos_sha256"
  fetch "$kernels_dist" "$kernels_sha256"
  rm -rf "$kokkos" "$kernels" "$temporary"
  mkdir -p "$temporary"
  tar -xzf "$deps/src/$kokkos_dist.tar.gz" -C "$temporary" "$kokkos_dist/$kokkos_folder"
  tar -xzf "$deps/src/$kernels_dist.tar.gz" -C "$temporary" "$kernels_dist/$kernels_folder"
  mv "$temporary/$kokkos_dist/$kokkos_folder" "$kokkos"
  mv "$temporary/$kernels_dist/$kernels_folder" "$kernels"
  rm -rf "$temporary"
  patch_for_cuda13 "$kokkos"
  touch "$kokkos/.complete" "$kernels/.complete"
}

configure_build_install() { # NAME SOURCE PREFIX OPTIONS...
  local name=$1 source=$2 prefix=$3 build=$deps/build/$variant-$1 log=$deps/build/$variant-$1.log
  shift 3
  rm -rf "$build"
  mkdir -p "$build"
  say "$variant: building $name (log: $log)"
  local launcher=()
  command -v ccache >/dev/null && launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
  if ! { cmake -S "$source" -B "$build" -G Ninja -DCMAKE_INSTALL_PREFIX="$prefix" -DCMAKE_INSTALL_LIBDIR=lib \
    "${launcher[@]}" "$@" && cmake --build "$build" -j "$jobs" && cmake --install "$build"; } >"$log" 2>&1; then
    tail -n 40 "$log" >&2
    fail "$variant: $name did not build; the whole log is $log"
  fi
  rm -rf "$build"
}

build_variant() {
  local variant=$1 prefix=$deps/$1 kokkos_options kernels_options stamp start=$SECONDS
  choose_options "$variant"
  stamp=$({
    echo "$kokkos_version $kokkos_sha256 $kernels_version $kernels_sha256"
    printf '%s\n' "${kokkos_options[@]}" "${kernels_options[@]}" "$prefix"
    ${CXX:-c++} -dumpfullversion
    host_target
    case $variant in
      cuda-*) "$(find_nvcc)" --version | tail -n 2 ;;
      hip-*) hipcc --version 2>/dev/null | head -n 2 ;;
    esac
  } | sha256sum | cut -d' ' -f1)
  if ((!force)) && [ "$(cat "$prefix/.stamp" 2>/dev/null)" = "$stamp" ]; then
    say "$variant: up to date in $prefix"
    return
  fi
  unpack
  rm -rf "$prefix"
  configure_build_install kokkos "$deps/src/kokkos-$kokkos_version" "$prefix" "${kokkos_options[@]}"
  configure_build_install kokkos-kernels "$deps/src/kokkos-kernels-$kernels_version" "$prefix" \
    -DKokkos_ROOT="$prefix" -DCMAKE_PREFIX_PATH="$prefix" "${kernels_options[@]}"
  echo "$stamp" >"$prefix/.stamp"
  say "$variant: installed in $prefix ($((SECONDS - start)) s)"
}

mkdir -p "$deps/src" "$deps/build"
exec 9>"$deps/.lock"
flock --nonblock 9 || { say "another bootstrap is running, waiting for it"; flock 9; }
for variant in "${variants[@]}"; do build_variant "$variant"; done
