#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The `sweep` block of an input as a job array: task i trains point i, in a folder of its own under run.dir.
#   gnn_hpc sweep INPUT.yaml --dry-run                       lists the points
#   sbatch --array=0-11 scripts/slurm/sweep.sh INPUT.yaml [key=value ...]
# Every task continues by itself after a requeue, and all read the same graph cache: the first to come builds it, the others wait.
# Building it first spares the waiting:  srun build/openmp/gnn_hpc build-graphs INPUT.yaml
#SBATCH --job-name=gnn_hpc_sweep
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=8
#SBATCH --time=04:00:00
#SBATCH --output=%x-%A_%a.out
#SBATCH --open-mode=append
#SBATCH --requeue
#SBATCH --signal=B:USR1@300
set -uo pipefail

root=${GNN_HPC_ROOT:-${SLURM_SUBMIT_DIR:?submit with sbatch}}
source "$root/scripts/slurm/job.sh"
(($#)) || { echo "usage: sbatch --array=0-N scripts/slurm/sweep.sh INPUT.yaml [key=value ...]" >&2; exit 2; }
run_job srun "$root/build/${GNN_HPC_PRESET:-openmp}/gnn_hpc" sweep "$1" --point "${SLURM_ARRAY_TASK_ID:?submit with --array}" "${@:2}"
