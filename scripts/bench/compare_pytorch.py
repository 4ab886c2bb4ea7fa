#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Times gnn_hpc and the PyTorch reference of a system on the same work, alternately, with the same number of threads.

    scripts/bench/compare_pytorch.py                       which systems there are
    scripts/bench/compare_pytorch.py SYSTEM --help         what is measured, further options
    scripts/bench/compare_pytorch.py SYSTEM [--what NAME ...] [--threads 2] [--rounds 2] [--python PYTHON] [key=value ...]

What a system offers stands beside its reference, in tests/reference/compare_SYSTEM.py. Both programs take turns (a machine that slows down
slows both). Printed are the medians over all rounds and, last, one JSON line with every time and ratio = reference / gnn_hpc; "ratio" is the
first one. The reference needs torch and more: --python, or the environment variable GNN_HPC_REFERENCE_PYTHON, names an interpreter that has it.
"""
import argparse
import glob
import json
import os
import statistics
import subprocess
import sys
import tempfile

import comparison
from comparison import REPOSITORY, fail, run_json, value_of

sys.modules.setdefault("comparison", comparison)  # for the tables


def tables():
    paths = glob.glob(os.path.join(REPOSITORY, "tests", "reference", "compare_*.py"))
    return {os.path.basename(path)[len("compare_"):-len(".py")]: path for path in sorted(paths)}


def arguments(system, table):
    p = argparse.ArgumentParser(prog=f"compare_pytorch.py {system}", description=table.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--what", nargs="+", metavar="NAME", help="only these measurements")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--repeat", type=int, default=table.REPEAT, help="timed repetitions of the reference a round")
    p.add_argument("--our-repeat", type=int, default=table.OUR_REPEAT, help="timed repetitions of gnn_hpc a round")
    p.add_argument("--rounds", type=int, default=table.ROUNDS)
    p.add_argument("--program", default=os.path.join(REPOSITORY, "build", "openmp", "gnn_hpc"))
    p.add_argument("--shared", default=os.environ.get("GNN_HPC_SHARED", os.path.join(REPOSITORY, "..", "shared")))
    p.add_argument("--python", default=os.environ.get("GNN_HPC_REFERENCE_PYTHON", sys.executable))
    p.add_argument("override", nargs="*", help="key=value for gnn_hpc")
    table.arguments(p)
    a = p.parse_intermixed_args(sys.argv[2:])
    a.shared = os.path.realpath(a.shared)
    a.reference = os.path.join(a.shared, "reference", system + ".py")
    if not os.path.exists(a.reference):
        fail(f"no reference at {a.reference}; set GNN_HPC_SHARED or --shared")
    if not os.path.exists(a.program):
        fail(f"no program at {a.program}; run scripts/build.sh or name one with --program")
    probe = subprocess.run([a.python, "-c", f"import {table.MODULES}; print(torch.__version__)"], capture_output=True, text=True)
    if probe.returncode:
        reason = (probe.stderr.strip().splitlines() or ["no message"])[-1]
        fail(f"{a.python} cannot import what the reference needs ({reason}); name an interpreter that has {table.MODULES} "
             "with --python or GNN_HPC_REFERENCE_PYTHON")
    a.torch = probe.stdout.strip()
    return a


def chosen(measurements, names):
    known = [m.name for m in measurements]
    for name in names or []:
        if name not in known:
            fail(f"--what {name}: there are {', '.join(known)}")
    return [m for m in measurements if not names or m.name in names]


def check_same(m, mine, peer):
    for ours, theirs in m.same:
        here, there = value_of(mine, ours), value_of(peer, theirs)
        if here != there:
            fail(f"{m.name}: the workloads differ: {here} here, {there} there ({theirs})", 1)


def measure(measurements, a):
    """Times of every round by (measurement, peer), the own ones under the peer None; the last JSON of gnn_hpc by measurement."""
    times, last = {}, {}
    for turn in range(a.rounds):
        done = {}  # commands of this round
        for m in measurements:
            threads = m.threads or a.threads
            own = (a.program, "bench", *m.ours, "--repeat", str(a.our_repeat), *a.override, threads)
            if own not in done or not m.shared:
                done[own] = run_json(list(own[:-1]), threads, "gnn_hpc bench")
            last[m.name] = done[own]
            times.setdefault((m.name, None), []).append(value_of(last[m.name], m.key))
            line = f"round {turn + 1}: {m.name}: gnn_hpc {times[m.name, None][-1]:.5g}"
            for number, (label, peer) in enumerate(m.peers.items()):
                if peer.once and turn > 0:
                    continue
                command = tuple(peer.command)
                if command not in done:
                    done[command] = run_json(peer.command, threads, f"{m.name}: {label}")
                if number == 0:
                    check_same(m, last[m.name], done[command])
                times.setdefault((m.name, label), []).append(peer.seconds(done[command]))
                line += f", {label} {times[m.name, label][-1]:.5g}"
            print(line + (" items/s" if m.rate else " s"), flush=True)
    return times, last


def main():
    known = tables()
    if len(sys.argv) < 2 or sys.argv[1] not in known:
        print(__doc__.rstrip() + "\n\nsystems: " + ", ".join(known))
        sys.exit(0 if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help") else 2)
    system = sys.argv[1]
    table = comparison.load_module(known[system])
    a = arguments(system, table)
    with tempfile.TemporaryDirectory() as folder:
        measurements = chosen(table.measurements(a, folder), a.what)
        times, last = measure(measurements, a)
    median = {key: statistics.median(values) for key, values in times.items()}
    seconds, ratios = {}, {}
    for m in measurements:
        ours = seconds[m.name] = median[m.name, None]
        share = last[m.name].get("share_of_gemm_rate")
        print(f"{m.name}: gnn_hpc {ours:.5g}" + (f" ({100 * share:.0f} % of the measured GEMM rate)" if share else ""))
        for label in m.peers:
            theirs = seconds[f"{m.name} {label}"] = median[m.name, label]
            ratio = ratios[f"{m.name} {label}"] = ours / theirs if m.rate else theirs / ours
            print(f"{'':{len(m.name)}}  {label} {theirs:.5g}, ratio {ratio:.2f}")
    first = last[measurements[0].name]
    kernels = first.get("machine", {}).get("blas_kernels") or first.get("machine", {}).get("blas")
    print(json.dumps(dict(system=system, threads=a.threads, torch=a.torch, override=a.override, blas=kernels,
                          nodes=first.get("nodes"), edges=first.get("edges"), seconds=seconds, ratios=ratios,
                          ratio=next(iter(ratios.values()), None))))


if __name__ == "__main__":
    main()
