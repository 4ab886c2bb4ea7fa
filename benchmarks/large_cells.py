#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Neighbours of cells of 5 to 20,000 atoms: graphs of gnn_hpc (k 12, ties, canonical order) and neighbour lists of vesin, in turns.

    python benchmarks/large_cells.py GRAPH_BUILD [--rounds 3] [--picture OUTPUT.svg]

GRAPH_BUILD: the benchmark of that name (cmake -DGNN_HPC_ENABLE_BENCHMARKS=ON, build/openmp/benchmarks/graph_build). vesin gets the same kind of
cells (0.05 atoms a cubic angstrom, near the points of a cubic grid, the last layers of which are empty) and the smallest cutoff of a tenth of an
angstrom that gives every atom its 12 neighbours. Processor time, one thread, medians. Needs numpy and vesin; gnuplot for the picture.
"""
import argparse
import os
import re
import statistics
import subprocess
import tempfile
import time

import numpy as np
from vesin import NeighborList

SIZES = (5, 40, 320, 1080, 2560, 5000, 20000)


def cell(atoms):
    rng = np.random.default_rng(atoms)
    side = next(s for s in range(1, atoms + 1) if s**3 >= atoms)
    a = (atoms / 0.05) ** (1 / 3)
    p = np.arange(atoms)
    frac = (np.stack([p // side**2, p // side % side, p % side], 1) + rng.uniform(0, 0.25, (atoms, 3))) / side
    lattice = np.array([[a, 0.03 * a, 0], [-0.1 * a, a, 0.02 * a], [0.05 * a, 0.1 * a, a]])
    return frac @ lattice, lattice


def vesin_seconds(atoms, repeats=7):
    points, lattice = cell(atoms)
    cutoff = 3.9
    while True:
        first, = NeighborList(cutoff=cutoff, full_list=True).compute(points, lattice, True, "i")
        if np.bincount(first.astype(np.int64), minlength=atoms).min() >= 12:
            break
        cutoff += 0.1
    search, runs, seconds = NeighborList(cutoff=cutoff, full_list=True), max(1, 20000 // atoms), []
    for _ in range(repeats):
        begin = time.process_time()
        for _ in range(runs):
            search.compute(points, lattice, True, "ijSd")
        seconds.append((time.process_time() - begin) / runs)
    return statistics.median(seconds)


def our_seconds(program):
    text = subprocess.run([program, os.devnull, "7"], check=True, capture_output=True, text=True).stdout
    return {int(m[1]): 1 / float(m[2]) for m in re.finditer(r"^ *(\d+) atoms +([\d.]+) cells/s", text, re.M)}


def draw(picture, rows):
    with tempfile.TemporaryDirectory() as work:
        data = os.path.join(work, "rows.dat")
        with open(data, "w") as file:
            file.writelines(f"{n} {1e6 * ours / n} {1e6 * theirs / n}\n" for n, ours, theirs in rows)
        subprocess.run(["gnuplot"], check=True, text=True, input=f"""
set terminal svg size 760,520 background "white"; set output "{picture}"
set logscale xy; set grid; set key top right; set format y "%g"; set yrange [0.2:20]
set xlabel "atoms in the cell"; set ylabel "microseconds an atom, one core"
plot "{data}" using 1:3 with linespoints pointtype 5 title "vesin", "{data}" using 1:2 with linespoints pointtype 7 title "gnn\\\\_hpc"
""")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("program", metavar="GRAPH_BUILD")
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--picture")
    a = p.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    ours, theirs = [], []
    for _ in range(a.rounds):
        ours.append(our_seconds(a.program))
        theirs.append({n: vesin_seconds(n) for n in SIZES})
    rows = [(n, statistics.median(r[n] for r in ours), statistics.median(r[n] for r in theirs)) for n in SIZES]
    print("| atoms | gnn_hpc, cells/s | vesin | ratio |\n|---|---|---|---|")
    for n, our, their in rows:
        print(f"| {n:,} | {1 / our:,.0f} | {1 / their:,.0f} | {their / our:.2f} |")
    if a.picture:
        draw(a.picture, rows)


if __name__ == "__main__":
    main()
