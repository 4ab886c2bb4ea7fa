#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Without a scheduler: RANKS ranks on this machine (or on those named in HOSTS).
#   RANKS=4 scripts/slurm/mpirun.sh inputs/FILE.yaml [key=value ...]
# PRESET: openmp (default), cuda, hip. HOSTS: as mpiexec --host takes them. Exit code 5: run the same line again to go on. Ranks of a machine share its GPUs in turn.
set -uo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
(($#)) || { sed -n '3,5s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 2; }
ranks=${RANKS:-2}
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$((($(nproc) + ranks - 1) / ranks))}
source "$root/scripts/slurm/job.sh"
launcher=(mpiexec -n "$ranks" --bind-to none)
[ -z "${HOSTS:-}" ] || launcher+=(--host "$HOSTS")
if [ "$(id -u)" = 0 ]; then export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1; fi
run_job "${launcher[@]}" "$root/build/${PRESET:-openmp}/gnn_hpc" "$@"
