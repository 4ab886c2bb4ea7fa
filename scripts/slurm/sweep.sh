#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A sweep as a job array: task i takes line i of a file of overrides (one point a line: key=value ..., # starts a comment).
#   sbatch --array=1-$(grep -cvE '^ *(#|$)' points.txt) scripts/slurm/sweep.sh inputs/comformer_perov5.yaml points.txt runs/sweep
# Every point has its own run folder (runs/sweep/001, ...), continues by itself after a requeue, and reads the same graph cache:
# the first to come builds it, the others wait for it. Building it first spares the waiting:
#   srun build/openmp/gnn_hpc build-graphs inputs/comformer_perov5.yaml
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
input=${1:?usage: sbatch --array=1-N scripts/slurm/sweep.sh INPUT.yaml POINTS.txt FOLDER}
points=${2:?a file with one line of overrides per point}
folder=${3:?a folder for the runs}
task=${SLURM_ARRAY_TASK_ID:?submit with --array=1-N}
read -r -a overrides < <(grep -vE '^ *(#|$)' "$points" | sed -n "${task}p")
((${#overrides[@]})) || { echo "sweep: $points has no point $task" >&2; exit 2; }
run_job srun "$root/build/${GNN_HPC_PRESET:-openmp}/gnn_hpc" "$input" "run.dir=$folder/$(printf %03d "$task")" "${overrides[@]}"
