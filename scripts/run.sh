#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# From an input file to a trained model and its pictures, on a fresh machine:
#   scripts/run.sh INPUT.yaml [key=value ...]
# Installs packages and builds if needed, runs `gnn_hpc INPUT.yaml key=value ...`, then draws the learning curve and the parity plot or confusion matrix; a
# language model continues a text. Environment: GNN_HPC_PRESET (openmp), GNN_HPC_RANKS (more than 1: under mpiexec), GNN_HPC_PROMPT, OMP_NUM_THREADS.
set -euo pipefail

if (($# == 0)) || [ "$1" = -h ] || [ "$1" = --help ]; then
  sed -n '3,6s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
  exit $(($# ? 0 : 2))
fi
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
preset=${GNN_HPC_PRESET:-openmp}
ranks=${GNN_HPC_RANKS:-1}
[ -f "$1" ] || { echo "run: no input file '$1'" >&2; exit 2; }

"$root/scripts/system-packages.sh" --plot
"$root/scripts/build.sh" "$preset" --target gnn_hpc

# Threads that Kokkos pins would drag the reading and building threads onto the same core.
export OMP_PROC_BIND=${OMP_PROC_BIND:-false}
program=("$root/build/$preset/gnn_hpc")
if ((ranks > 1)); then
  export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
  export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$((($(nproc) + ranks - 1) / ranks))}
  program=(mpiexec -n "$ranks" --oversubscribe "${program[@]}")
fi
status=0
"${program[@]}" "$@" || status=$?
((status == 0)) || exit "$status"

# What the input says is the program's to tell: only it reads YAML and key=value as it does.
option() { "$root/build/$preset/gnn_hpc" info "$1" --option "$2" "${@:3}"; }
run_dir=$(option "$1" run.dir "${@:2}")
if [ -f "$run_dir/metrics.csv" ]; then "$root/scripts/plot.sh" "$run_dir"; fi
# A language model shows what it has learned by continuing a text.
continues_texts() {
  "$root/build/$preset/gnn_hpc" info --systems |
    awk -v head="$1:" '/^[^ ]/ { mine = $1 == head } mine && $1 == "generate" { found = $2 == "yes" } END { exit !found }'
}
if continues_texts "$(option "$1" system "${@:2}")"; then
  "$root/build/$preset/gnn_hpc" generate "$run_dir" --prompt "${GNN_HPC_PROMPT:-The }" || true
fi
echo "results: $run_dir"
