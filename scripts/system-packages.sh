#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The Debian 12 packages of a build, in one list. Installs what is missing as root or with sudo that asks no password;
# otherwise prints the exact line to run and exits with code 2. Quick when nothing is missing: one dpkg query, no apt.
#   scripts/system-packages.sh [--hip] [--plot] [--fresh] [--cluster] [--check]
# --hip adds the AMD compiler, --plot gnuplot, --fresh debootstrap (failure to install these two is no error), --cluster Slurm for one
# machine; --check never installs.
set -euo pipefail

required=(
  build-essential cmake ninja-build ccache git pkg-config ca-certificates python3 python3-venv
  libopenmpi-dev openmpi-bin libhdf5-dev zlib1g-dev
  libopenblas-openmp-dev # not the pthread variant: BLAS and Kokkos are to share one OpenMP thread pool
  libyaml-cpp-dev libfmt-dev libspdlog-dev libcli11-dev nlohmann-json3-dev libxxhash-dev
  librandom123-dev libfast-float-dev
  gemmi-dev tao-pegtl-dev libstb-dev
  librdkit-dev libboost-dev # SMILES; not needed with -DGNN_HPC_RDKIT=OFF
  libgtest-dev
)
optional=()
check=0
for argument in "$@"; do
  case $argument in
    --hip) required+=(hipcc libamdhip64-dev rocm-device-libs) ;;
    --plot) optional+=(gnuplot-nox) ;;
    --fresh) optional+=(debootstrap) ;;
    --cluster) required+=(slurm-wlm munge) ;;
    --check) check=1 ;;
    *) echo "system-packages: unknown argument '$argument' (known: --hip --plot --fresh --cluster --check)" >&2; exit 2 ;;
  esac
done

command -v dpkg-query >/dev/null || {
  echo "system-packages: not a Debian system; the needed packages have these names on Debian 12: ${required[*]}" >&2
  exit 0 # CMake says what it misses
}

missing_of() {
  local package
  for package in "$@"; do
    grep -qx "$package" <<<"$installed" || echo "$package"
  done
}
installed=$(dpkg-query -W -f '${db:Status-Abbrev}${Package}\n' 2>/dev/null | sed -n 's/^ii //p')
mapfile -t missing < <(missing_of "${required[@]}")
mapfile -t wanted < <(missing_of "${optional[@]}")
((${#missing[@]} + ${#wanted[@]})) || exit 0

as_root=()
if [ "$(id -u)" != 0 ]; then as_root=(sudo); fi
line="${as_root[*]:+sudo }apt-get install -y --no-install-recommends ${missing[*]}"
can_install() { ((!check)) && { [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null; }; }
if ! can_install; then
  if ((${#missing[@]})); then
    printf 'system-packages: missing: %s\nrun this line, then try again:\n  %s\n' "${missing[*]}" "$line" >&2
    exit 2
  fi
  printf 'system-packages: optional and not installed: %s (apt-get install %s)\n' "${wanted[*]}" "${wanted[*]}" >&2
  exit 0
fi

install() {
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=600 "$@" \
    </dev/null >"$log" 2>&1
}
log=$(mktemp)
trap 'rm -f "$log"' EXIT
echo "system-packages: installing ${missing[*]} ${wanted[*]}"
"${as_root[@]}" apt-get update -qq -o DPkg::Lock::Timeout=600 </dev/null >/dev/null 2>&1 || true # an old list may do
if ((${#missing[@]})) && ! install "${missing[@]}"; then
  tail -n 20 "$log" >&2
  printf 'system-packages: this failed:\n  %s\n' "$line" >&2
  exit 2
fi
if ((${#wanted[@]})) && ! install "${wanted[@]}"; then
  echo "system-packages: ${wanted[*]} could not be installed; what needs them is left out" >&2
fi
