#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# From an input file to a trained model and its pictures, on a fresh machine:
#   scripts/run.sh inputs/comformer_demo.yaml [key=value ...]
# Installs packages and builds if needed, runs `gnn_hpc INPUT.yaml key=value ...`, then draws the learning curve and the parity plot; a
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
start=$(mktemp)
trap 'rm -f "$start"' EXIT
status=0
"${program[@]}" "$@" || status=$?
((status == 0)) || exit "$status"

# The folder of the run: key=value wins over the file, as in the program.
run_dir=
for argument in "$@"; do
  case $argument in run.dir=*) run_dir=${argument#run.dir=} ;; esac
done
if [ -z "$run_dir" ]; then
  run_dir=$(sed -n '/^run:/,/^[^ #]/s/^ \{1,\}dir: *"\{0,1\}\([^"#]*[^"# ]\).*/\1/p' "$1" | head -n 1)
fi
run_dir=${run_dir:-run}
if [ -f "$run_dir/metrics.csv" ]; then "$root/scripts/plot.sh" "$run_dir"; fi
# A language model shows what it has learned by continuing a text.
if grep -q '^system: *hgnn_moe' "$1"; then
  "$root/build/$preset/gnn_hpc" generate "$run_dir" --prompt "${GNN_HPC_PROMPT:-The }" || true
fi
echo "results: $run_dir"
