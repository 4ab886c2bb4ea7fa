#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# CPU nodes: one rank per socket or so, threads inside. Submit at the root of the repository:
#   sbatch [--nodes=2] scripts/slurm/openmp.sh inputs/FILE.yaml [key=value ...]
#SBATCH --job-name=gnn_hpc
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=2
#SBATCH --cpus-per-task=16
#SBATCH --time=24:00:00
#SBATCH --output=%x-%j.out
#SBATCH --open-mode=append
#SBATCH --requeue
#SBATCH --signal=B:USR1@300
set -uo pipefail

# The batch script runs from a copy: paths start where sbatch was called, the root of the repository.
root=${GNN_HPC_ROOT:-${SLURM_SUBMIT_DIR:?submit with sbatch}}
source "$root/scripts/slurm/job.sh"
run_job srun --cpu-bind=cores "$root/build/openmp/gnn_hpc" "${@:?usage: sbatch scripts/slurm/openmp.sh INPUT.yaml [key=value ...]}"
