# SPDX-License-Identifier: Apache-2.0
# Sourced by the job scripts: one launch that the scheduler may interrupt. The program itself knows no scheduler. It writes a
# checkpoint when USR1 (or TERM) arrives and ends with exit code 5, "stopped with a checkpoint"; the job then queues itself again and,
# as `restart: auto` is the default, the same command continues.

# run_job COMMAND...: runs it so that a signal to this shell reaches it, requeues on exit code 5, ends with its exit code otherwise.
run_job() {
  local status=0 pid
  echo "$(date -Is) job ${SLURM_JOB_ID:-?} start ${SLURM_RESTART_COUNT:-0} on ${SLURM_JOB_NODELIST:-$(hostname)}:$(printf ' %q' "$@")"
  "$@" &
  pid=$!
  # `--signal=B:USR1@300` signals this shell alone; srun and mpiexec hand it on to every rank.
  trap 'echo "$(date -Is) USR1: asking for a checkpoint"; kill -USR1 "$pid" 2>/dev/null || true' USR1
  trap 'kill -TERM "$pid" 2>/dev/null || true' TERM
  wait "$pid" || status=$?
  while kill -0 "$pid" 2>/dev/null; do # `wait` returns when a trap ran, before the program has ended
    status=0
    wait "$pid" || status=$?
  done
  if [ "$status" -eq 5 ] && [ -n "${SLURM_JOB_ID:-}" ]; then
    echo "$(date -Is) stopped with a checkpoint: requeue"
    scontrol requeue "$SLURM_JOB_ID" || return "$status"
    return 0
  fi
  return "$status"
}

# A bound main thread would bind the reading and building threads with it: the scheduler places ranks, OpenMP places nothing.
export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-${OMP_NUM_THREADS:-1}} OMP_PROC_BIND=${OMP_PROC_BIND:-false}
