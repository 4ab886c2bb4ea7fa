#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# NVIDIA GPUs: one rank per GPU. Submit at the root of the repository:
#   sbatch [--nodes=2] scripts/slurm/cuda.sh inputs/FILE.yaml [key=value ...]
#SBATCH --job-name=gnn_hpc
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=4
#SBATCH --cpus-per-task=8
#SBATCH --gpus-per-task=1
#SBATCH --time=24:00:00
#SBATCH --output=%x-%j.out
#SBATCH --open-mode=append
#SBATCH --requeue
#SBATCH --signal=B:USR1@300
set -uo pipefail

# The batch script runs from a copy: paths start where sbatch was called, the root of the repository.
root=${GNN_HPC_ROOT:-${SLURM_SUBMIT_DIR:?submit with sbatch}}
source "$root/scripts/slurm/job.sh"
run_job srun --gpu-bind=closest "$root/build/cuda/gnn_hpc" "${@:?usage: sbatch scripts/slurm/cuda.sh INPUT.yaml [key=value ...]}"
