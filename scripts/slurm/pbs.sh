#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# PBS Professional / OpenPBS, NVIDIA GPUs, one rank per GPU. Submit at the root of the repository:
#   qsub -v INPUT=inputs/comformer_200k.yaml,OVERRIDES="train.epochs=100 run.dir=runs/a" scripts/slurm/pbs.sh
# PBS sends TERM at the end of the time asked for: the program stops by itself before that, at run.walltime.
#PBS -N gnn_hpc
#PBS -l select=1:ncpus=32:mpiprocs=4:ngpus=4:ompthreads=8
#PBS -l walltime=24:00:00
#PBS -r y
#PBS -j oe
set -uo pipefail

cd "${PBS_O_WORKDIR:?submit with qsub}"
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-8}
source scripts/slurm/job.sh
read -r -a overrides <<<"${OVERRIDES:-}"
status=0
run_job mpiexec -n "$(wc -l <"$PBS_NODEFILE")" build/cuda/gnn_hpc "${INPUT:?qsub -v INPUT=...}" run.walltime=23:50:00 "${overrides[@]}" || status=$?
if [ "$status" -eq 5 ]; then # stopped with a checkpoint: the same job again
  qsub -v "INPUT=$INPUT,OVERRIDES=${OVERRIDES:-}" scripts/slurm/pbs.sh && status=0
fi
exit "$status"
