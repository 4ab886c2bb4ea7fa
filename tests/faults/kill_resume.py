#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Kills gnn_hpc with SIGKILL at random moments of a build and of a training, resumes, and compares with runs that were never disturbed;
then truncates files and flips bits in them. Standard library only.

    tests/faults/kill_resume.py PROGRAM [--count 50] [--seed 1] [--crystals 20000] [--folder DIR]

build     the cache of an interrupted and resumed build holds the same data sets, bit for bit
train     metrics, predictions and every tensor of the last and the best checkpoint are bit-equal
damage    a truncated or bit-flipped cache is named and built again (damage met while training ends the run with code 3; the same
          command then goes on); a damaged last checkpoint is named, the previous one is used, and
          the run still ends bit-equal
The crystals are made up here; the input file is inputs/tiny_comformer.yaml with overrides. Exit code 0 if all hold.
"""
import argparse
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

REPOSITORY = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
VOLATILE = re.compile(r"^/(Info/provenance|config)")  # what a file says about the process and the folder


class Failure(Exception):
    pass


# ------------------------------------------------------------------------------------------------------------ made-up input

def write_crystals(path, count, seed):
    """Random cells with 1 to 6 atoms and a made-up energy, as extended XYZ."""
    rng = random.Random(seed)
    with open(path, "w") as f:
        for _ in range(count):
            n = rng.randint(1, 6)
            size = (18.0 * n) ** (1 / 3)
            cell = [[size * ((i == j) + 0.25 * rng.uniform(-1, 1)) for j in range(3)] for i in range(3)]
            numbers = " ".join(f"{x:.6f}" for row in cell for x in row)
            f.write(f'{n}\nLattice="{numbers}" Properties=species:S:1:pos:R:3 energy={rng.gauss(0, 1):.6f}\n')
            for _ in range(n):
                frac = [rng.random() for _ in range(3)]
                position = [sum(frac[i] * cell[i][j] for i in range(3)) for j in range(3)]
                f.write(rng.choice(["Na", "Cl", "Ti", "O", "Si", "Fe"]) + "".join(f" {x:.6f}" for x in position) + "\n")


# ------------------------------------------------------------------------------------------------------------ reading results

def data_set_sums(path):
    """name -> checksum of every data set: the two text tables of /Info/checksums, found in the raw bytes of the file."""
    with open(path, "rb") as f:
        raw = f.read()
    sums = max(re.findall(rb"(?:[0-9a-f]{32})+", raw), key=len, default=b"")
    count = len(sums) // 32
    first = raw.find(b"/Info/")                              # sorted, and no group comes before Info
    while count and first >= 0:
        for width in range(8, 512):                          # texts of equal width, padded with zeros
            table = [raw[first + i * width:first + (i + 1) * width].rstrip(b"\0") for i in range(count)]
            if all(re.fullmatch(rb"/[\x21-\x7e ]+", t) for t in table) and table == sorted(set(table)):
                return {t.decode(): sums[32 * i:32 * i + 32].decode() for i, t in enumerate(table)}
        first = raw.find(b"/Info/", first + 1)
    raise Failure(f"{path}: found no table of checksums")


def read_bytes(path):
    with open(path, "rb") as f:
        return f.read()


def compare_sums(ours, expected, what):
    a, b = data_set_sums(ours), data_set_sums(expected)
    a, b = ({n: s for n, s in t.items() if not VOLATILE.match(n)} for t in (a, b))
    if set(a) != set(b):
        raise Failure(f"{what}: data sets differ: {sorted(set(a) ^ set(b))[:6]}")
    different = [n for n in a if a[n] != b[n]]
    if different:
        raise Failure(f"{what}: {len(different)} of {len(a)} data sets differ, first {different[0]}")
    return len(a)


def compare_runs(run, expected):
    for name in ("last.h5", "best.h5"):
        compare_sums(os.path.join(run, "checkpoints", name), os.path.join(expected, "checkpoints", name), f"{run}: {name}")
    for name in ("metrics.csv", "metrics.jsonl", "predictions.csv"):
        if read_bytes(os.path.join(run, name)) != read_bytes(os.path.join(expected, name)):
            raise Failure(f"{run}: {name} differs from that of {expected}")


# ------------------------------------------------------------------------------------------------------------ running

class Runner:
    def __init__(self, arguments, folder):
        self.program, self.folder = os.path.realpath(arguments.program), folder
        self.input = os.path.join(REPOSITORY, "inputs", "tiny_comformer.yaml")
        self.common = arguments.override
        self.environment = dict(os.environ, OMP_NUM_THREADS=os.environ.get("OMP_NUM_THREADS", "1"), OMP_PROC_BIND="false",
                                OMP_WAIT_POLICY="passive")

    def command(self, what, run, cache, crystals):
        return [self.program, what, self.input, f"run.dir={run}", f"data.cache_dir={cache}", f"data.path={crystals}",
                *DATA_OPTIONS, *self.common]

    def finish(self, command, expect=(0,)):
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True)
        text = done.stdout + done.stderr
        if done.returncode not in expect:
            raise Failure(f"code {done.returncode} from {' '.join(command)}\n{text[-3000:]}")
        return text

    def kill_after(self, command, seconds, file_to_see=None):
        """Kills the program after this time, counted from when `file_to_see` exists. False if it ended before, by itself."""
        process = subprocess.Popen(command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   start_new_session=True)
        while file_to_see and not os.path.exists(file_to_see) and process.poll() is None:
            time.sleep(0.002)
        try:
            text, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return True
        if process.returncode != 0:
            raise Failure(f"code {process.returncode} from {' '.join(command)}\n{text.decode(errors='replace')[-3000:]}")
        return False


DATA_OPTIONS = ["data.format=extxyz", "data.targets=[energy]"]


def caches(folder):
    return sorted(os.path.join(folder, n) for n in os.listdir(folder) if n.endswith(".h5")) if os.path.isdir(folder) else []


def kill_builds(runner, count, rng, crystals):
    folder = runner.folder
    clean = os.path.join(folder, "build_clean")
    begin = time.perf_counter()
    runner.finish(runner.command("build-graphs", os.path.join(folder, "run_build"), clean, crystals))
    duration = time.perf_counter() - begin
    if len(caches(clean)) != 1:
        raise Failure(f"expected one cache in {clean}, found {caches(clean)}")
    print(f"build: undisturbed {duration:.2f} s", flush=True)
    killed = rounds = 0
    while killed < count:
        cache = os.path.join(folder, f"build_{rounds}")
        command = runner.command("build-graphs", os.path.join(folder, "run_build"), cache, crystals)
        for _ in range(rng.randint(1, 5)):
            if killed >= count:
                break
            if not runner.kill_after(command, rng.uniform(0.0, 1.05 * duration)):
                duration *= 0.9                              # the machine is less busy than it was
                break
            killed += 1
        runner.finish(command)
        if len(caches(cache)) != 1:
            raise Failure(f"{cache}: expected one cache, found {caches(cache)}")
        sets = compare_sums(caches(cache)[0], caches(clean)[0], cache)
        leftovers = [n for n in os.listdir(cache) if n.endswith(".tmp")]
        if leftovers:
            raise Failure(f"{cache}: left behind {leftovers}")
        shutil.rmtree(cache)
        rounds += 1
    print(f"build: killed {killed} times in {rounds} builds, all end in the same {sets} data sets", flush=True)
    return clean


def kill_trainings(runner, count, rng, crystals, cache):
    folder = runner.folder
    clean = os.path.join(folder, "run_clean")
    runner.finish(runner.command("build-graphs", clean, cache, crystals))
    begin = time.perf_counter()
    runner.finish(runner.command("train", clean, cache, crystals))
    duration = time.perf_counter() - begin
    print(f"train: undisturbed {duration:.2f} s", flush=True)
    killed = rounds = 0
    while killed < count:
        run = os.path.join(folder, f"run_{rounds}")
        command = runner.command("train", run, cache, crystals)
        for _ in range(rng.randint(1, 8)):
            if killed >= count:
                break
            if not runner.kill_after(command, rng.uniform(0.0, 1.05 * duration)):
                duration *= 0.9
                break
            killed += 1
        runner.finish(command)
        compare_runs(run, clean)
        shutil.rmtree(run)
        rounds += 1
    print(f"train: killed {killed} times in {rounds} trainings, all end bit-equal", flush=True)
    return clean, duration


# ------------------------------------------------------------------------------------------------------------ damage

def truncate(path, rng):
    size = os.path.getsize(path)
    keep = rng.randrange(1, size)
    with open(path, "r+b") as f:
        f.truncate(keep)
    return f"cut to {keep} of {size} bytes"


def flip(path, rng):
    size = os.path.getsize(path)
    at, bit = rng.randrange(size), 1 << rng.randrange(8)
    with open(path, "r+b") as f:
        f.seek(at)
        byte = f.read(1)[0]
        f.seek(at)
        f.write(bytes([byte ^ bit]))
    return f"bit {bit} of byte {at} of {size} flipped"


def damage_caches(runner, count, rng, crystals, clean_cache, clean_run):
    for i in range(count):
        cache, run = os.path.join(runner.folder, "cache_damaged"), os.path.join(runner.folder, "run_damaged")
        shutil.copytree(clean_cache, cache)
        file = caches(cache)[0]
        how = (truncate if i % 2 else flip)(file, rng)
        command = runner.command("train", run, cache, crystals)
        text = runner.finish(command, expect=(0, 3))         # found on opening: built again; found while training: code 3
        if os.path.basename(file) not in text:
            raise Failure(f"cache {how}: the program did not name {os.path.basename(file)}:\n{text[-2000:]}")
        runner.finish(command)
        compare_runs(run, clean_run)
        compare_sums(caches(cache)[0], caches(clean_cache)[0], f"cache {how}")
        shutil.rmtree(cache), shutil.rmtree(run)
    print(f"damage: {count} damaged caches named, built again, same training", flush=True)


def damage_checkpoints(runner, count, rng, crystals, cache, clean_run, duration):
    done, window = 0, duration
    run = os.path.join(runner.folder, "run_damaged")
    last, previous = (os.path.join(run, "checkpoints", name) for name in ("last.h5", "last.prev.h5"))
    while done < count:
        shutil.rmtree(run, ignore_errors=True)
        command = runner.command("train", run, cache, crystals)
        if not runner.kill_after(command, rng.uniform(0.0, window), previous):
            window *= 0.7                                    # it was done before: sooner next time
            continue
        if not os.path.exists(last):
            continue                                         # killed between two renames, where names cannot be exchanged
        if os.path.samefile(last, previous):
            raise Failure(f"{last} and {previous} are one file: damage to one is damage to both")
        how = (truncate if done % 2 else flip)(last, rng)
        text = runner.finish(command)
        if "last.h5" not in text:
            raise Failure(f"checkpoint {how}: the program did not name last.h5:\n{text[-2000:]}")
        compare_runs(run, clean_run)
        done += 1
    shutil.rmtree(run)
    print(f"damage: {count} damaged checkpoints named, the previous one used, same end", flush=True)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("program")
    p.add_argument("--count", type=int, default=50, help="kills of builds, and kills of trainings")
    p.add_argument("--damage", type=int, default=-1, help="damaged caches, and damaged checkpoints (default: a fifth of --count)")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--crystals", type=int, default=20000, help="of the builds; trainings use 1 in 50 (at least 60)")
    p.add_argument("--folder", default="", help="where to work (default: a temporary folder, removed at the end)")
    p.add_argument("override", nargs="*", help="key=value for gnn_hpc")
    a = p.parse_intermixed_args()
    if not os.access(a.program, os.X_OK):
        sys.exit(f"kill_resume: no program at {a.program}")
    rng = random.Random(a.seed)
    damage = a.damage if a.damage >= 0 else max(2, a.count // 5)
    folder = os.path.realpath(a.folder) if a.folder else tempfile.mkdtemp(prefix="gnn_hpc_faults_")
    os.makedirs(folder, exist_ok=True)
    runner = Runner(a, folder)
    many, few = os.path.join(folder, "many.extxyz"), os.path.join(folder, "few.extxyz")
    write_crystals(many, a.crystals, a.seed)
    write_crystals(few, max(60, a.crystals // 50), a.seed + 1)
    try:
        kill_builds(runner, a.count, rng, many)
        cache = os.path.join(folder, "cache")
        clean, duration = kill_trainings(runner, a.count, rng, few, cache)
        damage_caches(runner, damage, rng, few, cache, clean)
        damage_checkpoints(runner, damage, rng, few, cache, clean, duration)
    except Failure as failure:
        print(f"FAIL: {failure}\n(seed {a.seed}; files are in {folder})", file=sys.stderr)
        return 1
    if not a.folder:
        shutil.rmtree(folder)
    print("PASS")
    return 0


if __name__ == "__main__":
    sys.exit(main())
