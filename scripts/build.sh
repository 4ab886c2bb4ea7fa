#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds build/<preset>/gnn_hpc, with everything it needs:
#   scripts/build.sh [PRESET] [--target NAME ...] [-DCMAKE_OPTION=VALUE ...]
# PRESET: openmp (default) serial cuda hip debug asan tsan. Without --target: all, tests included.
# Environment: GNN_HPC_ARCH (cuda: 90, hip: gfx90a), GNN_HPC_JOBS (default: number of cores).
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
preset=openmp
targets=()
options=()
while (($#)); do
  case $1 in
    --target)
      (($# > 1)) || { echo "build: --target needs a name" >&2; exit 2; }
      targets+=("$2")
      shift
      ;;
    -D*) options+=("$1") ;;
    -h | --help) sed -n '3,6s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
    openmp | serial | cuda | hip | device | debug | asan | tsan) preset=$1 ;;
    *) echo "build: unknown argument '$1' (presets: openmp serial cuda hip device debug asan tsan)" >&2; exit 2 ;;
  esac
  shift
done

# A machine with another BLAS may not have OpenBLAS, which the private copy asks for otherwise.
for option in "${options[@]}"; do
  case $option in -DBLA_VENDOR=* | -DBLA_VENDOR:*=*) export BLA_VENDOR=${option#*=} ;; esac
done

packages=()
[ "$preset" = hip ] && ! command -v hipcc >/dev/null && packages=(--hip)
scripts/system-packages.sh "${packages[@]}"

case $preset in
  cuda)
    variant=(--cuda "${GNN_HPC_ARCH:=90}")
    options+=("-DGNN_HPC_ARCH=$GNN_HPC_ARCH")
    ;;
  hip)
    variant=(--hip "${GNN_HPC_ARCH:=gfx90a}")
    options+=("-DGNN_HPC_ARCH=$GNN_HPC_ARCH")
    ;;
  device) variant=(--openmp) ;;
  debug | asan) variant=(--debug) ;;
  *) variant=("--$preset") ;;
esac

# A Kokkos that the user points to (module, Spack, prefix) is used as it is; a private copy is made only without one.
has_kokkos() {
  local prefix
  [ -n "${Kokkos_DIR:-}" ] && return 0
  for prefix in ${Kokkos_ROOT:-} ${CMAKE_PREFIX_PATH//:/ }; do
    compgen -G "$prefix/lib*/cmake/Kokkos/KokkosConfig.cmake" >/dev/null && return 0
  done
  return 1
}
CMAKE_PREFIX_PATH=${CMAKE_PREFIX_PATH:-} has_kokkos || scripts/bootstrap.sh "${variant[@]}"

log=build/$preset/configure.log
mkdir -p "build/$preset"
if ! cmake --preset "$preset" "${options[@]}" >"$log" 2>&1; then
  cat "$log" >&2
  exit 1
fi
tail -n 4 "$log" | sed -n 's/^-- gnn_hpc/gnn_hpc/p'
cmake --build --preset "$preset" -j "${GNN_HPC_JOBS:-$(nproc)}" "${targets[@]/#/--target=}"
