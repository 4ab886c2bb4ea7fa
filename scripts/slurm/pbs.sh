#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# PBS Professional / OpenPBS, NVIDIA GPUs, one rank per GPU. Call it at the root of the repository; it calls qsub:
#   scripts/slurm/pbs.sh [QSUB OPTIONS --] inputs/FILE.yaml [key=value ...]
# `qsub -v` splits its values at commas, and a job script gets no arguments: so the job is written to gnn_hpc-TIME.pbs with the arguments
# in it, quoted, and that file is submitted. After exit code 5 (stopped with a checkpoint) the job submits the same file again.
# PBS sends TERM at the end of the time asked for: the program stops by itself before that, at run.walltime.
set -euo pipefail

options=()
for argument in "$@"; do
  if [ "$argument" = -- ]; then
    while [ "$1" != -- ]; do options+=("$1"); shift; done
    shift
    break
  fi
done
(($#)) || { sed -n '3,7s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 2; }

job=gnn_hpc-$(date +%Y%m%d-%H%M%S)-$$.pbs
{
  cat <<'JOB'
#!/usr/bin/env bash
#PBS -N gnn_hpc
#PBS -l select=1:ncpus=32:mpiprocs=4:ngpus=4:ompthreads=8
#PBS -l walltime=24:00:00
#PBS -r y
#PBS -j oe
set -uo pipefail

cd "${PBS_O_WORKDIR:?submit with qsub}"
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-8}
source scripts/slurm/job.sh
JOB
  printf 'arguments=('
  printf '%q ' "$1" run.walltime=23:50:00 "${@:2}"
  printf ')\njob=%q\n' "$job"
  cat <<'JOB'
status=0
run_job mpiexec -n "$(wc -l <"$PBS_NODEFILE")" build/cuda/gnn_hpc "${arguments[@]}" || status=$?
if [ "$status" -eq 5 ]; then # stopped with a checkpoint: the same job again
  qsub "$job" && status=0
fi
exit "$status"
JOB
} >"$job"
qsub "${options[@]}" "$job"
