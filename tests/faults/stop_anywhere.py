#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Sends SIGTERM to gnn_hpc in every phase in which it may wait or work for long, with one rank and with several (the signal then goes to a
single one of them), and checks that it ends with exit code 5, soon, and leaves nothing half-written. Standard library only.

    tests/faults/stop_anywhere.py [--ranks 2] [--bound 10] [--folder DIR] PROGRAM [PHASE ...]

Every phase is made to last for minutes or for ever, so that a program that does not look for the signal fails; --bound is the time, in
seconds, that a busy machine gets for what should take one. Phases: hash, lock, rdkit, train, evaluate, predict, generate, replicates, walltime.
"""
import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time


class Failure(Exception):
    pass


MOLECULES = """system: dmpnn_diffpool
run: {dir: run, seed: 7}
data: {path: data.csv, smiles: smiles, notation: smiles, targets: [y], cache_dir: cache, threads: 1}
model: {encoder: dmpnn, hidden_dim: 16, ffn_hidden: 16}
train: {epochs: 2, batch_size: 8}
"""
TEXT = """system: hgnn_moe
run: {dir: lm, seed: 7}
data: {path: text.txt, mode: stream, cache_dir: cache, threads: 1}
model: {max_seq_length: 4000, embed_dim: 64, num_layers: 4, num_heads: 2, num_experts: 2, coupler_type: HGNN}
train: {epochs: 1, batch_size: 1}
"""
LONGEST = 3000  # characters of a SMILES; RDKit takes minutes for a chain of that many carbon atoms


def write(path, text):
    with open(path, "w") as f:
        f.write(text)


def rows(path, count, smiles=lambda i: "C" * (3 + i % 9)):
    write(path, "smiles,y\n" + "".join(f"{smiles(i)},{i % 17}\n" for i in range(count)))


def processes_below(pid):
    """Processes of the program, in the order they were started: the ranks."""
    out = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat") as f:
                fields = f.read().rsplit(")", 1)[1].split()
            parents.setdefault(int(entry), int(fields[1]))
        except OSError:
            continue
        at = int(entry)
        while at > 1 and at != pid:
            at = parents.get(at, 0)
        if at == pid:
            out.append(int(entry))
    return sorted(out)


parents = {}


class Run:
    """One start of the program; its output goes to a file."""

    def __init__(self, tester, ranks, *arguments):
        self.log = os.path.join(tester.folder, "log.txt")
        self.tester = tester
        launcher = tester.launcher(ranks)
        self.file = open(self.log, "wb")
        self.process = subprocess.Popen([*launcher, tester.program, *arguments], cwd=tester.folder, env=tester.environment, stdout=self.file,
                                        stderr=subprocess.STDOUT, start_new_session=True)
        self.launched = bool(launcher)

    def text(self):
        with open(self.log, errors="replace") as f:
            return f.read()

    def ranks(self):
        parents.clear()
        if not self.launched:
            return [self.process.pid]
        out = []
        for pid in processes_below(self.process.pid):
            try:
                if os.path.realpath(f"/proc/{pid}/exe") == self.tester.program:
                    out.append(pid)
            except OSError:
                pass
        return out

    def wait_for(self, condition, what, seconds=120):
        end = time.monotonic() + seconds
        while not condition():
            if self.process.poll() is not None:
                raise Failure(f"ended with {self.process.returncode} before {what}:\n{self.text()[-2000:]}")
            if time.monotonic() > end:
                self.kill()
                raise Failure(f"{what}: not within {seconds} s:\n{self.text()[-2000:]}")
            time.sleep(0.02)

    def sees(self, text):
        return lambda: text in self.text()

    def reads(self, path):
        """One of the ranks has the file open."""
        def look():
            for pid in self.ranks():
                try:
                    for fd in os.listdir(f"/proc/{pid}/fd"):
                        if os.path.realpath(f"/proc/{pid}/fd/{fd}") == path:
                            return True
                except OSError:
                    pass
            return False
        return look

    def kill(self):
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()

    def stop(self, rank, reason="SIGTERM"):
        """Signals one rank (None: whoever has a time limit stops by itself); the program must end with code 5 within the bound."""
        begin = time.monotonic()
        if rank is not None:
            ranks = self.ranks()
            if rank >= len(ranks):
                raise Failure(f"found the ranks {ranks}, none with number {rank}")
            os.kill(ranks[rank], signal.SIGTERM)
        try:
            code = self.process.wait(timeout=self.tester.bound + (0 if rank is not None else 10))
        except subprocess.TimeoutExpired:
            self.kill()
            raise Failure(f"still at work {self.tester.bound} s after {reason}:\n{self.text()[-2000:]}") from None
        seconds = time.monotonic() - begin
        if code != 5:
            raise Failure(f"exit code {code} where 5 was expected:\n{self.text()[-3000:]}")
        if reason not in self.text():
            raise Failure(f"no word of {reason}:\n{self.text()[-2000:]}")
        return seconds


class Tester:
    def __init__(self, arguments, folder):
        self.program, self.bound, self.folder = os.path.realpath(arguments.program), arguments.bound, folder
        self.environment = dict(os.environ, OMP_NUM_THREADS="1", OMP_PROC_BIND="false", OMP_WAIT_POLICY="passive", OMPI_ALLOW_RUN_AS_ROOT="1",
                                OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1", OMPI_MCA_rmaps_base_oversubscribe="1", OMPI_MCA_mpi_yield_when_idle="1")
        self.mpiexec = shutil.which("mpiexec")

    def launcher(self, ranks):
        return [] if ranks == 1 else [self.mpiexec, "-n", str(ranks)]

    def path(self, name):
        return os.path.join(self.folder, name)

    def fresh(self):
        for name in os.listdir(self.folder):
            path = self.path(name)
            shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)
        write(self.path("in.yaml"), MOLECULES)

    def finish(self, *arguments):
        done = subprocess.run([self.program, *arguments], cwd=self.folder, env=self.environment, capture_output=True, text=True)
        if done.returncode != 0:
            raise Failure(f"code {done.returncode} from {' '.join(arguments)}\n{(done.stdout + done.stderr)[-2000:]}")

    def clean_cache(self, parts_may_stay=False):
        """No cache, no lock, nothing temporary."""
        cache = self.path("cache")
        for folder, _, names in os.walk(cache) if os.path.isdir(cache) else []:
            for name in names:
                if name.endswith(".lock") or (".tmp." in name and not parts_may_stay) or (name.endswith(".h5") and folder == cache):
                    raise Failure(f"left behind: {os.path.join(folder, name)}")

    # ------------------------------------------------------------------------------------------------------------ phases

    def hash(self, ranks, rank):
        rows(self.path("data.csv"), 5)
        os.truncate(self.path("data.csv"), 1 << 42)          # zeros that take no room and an hour to read
        run = Run(self, ranks, "in.yaml")
        run.wait_for(run.reads(self.path("data.csv")), "the input is hashed")
        time.sleep(0.5)
        seconds = run.stop(rank)
        self.clean_cache()
        return seconds

    def lock_of_another_machine(self):
        """A cache that is missing and that another machine holds for ever; returns the lock's path."""
        rows(self.path("data.csv"), 40)
        self.finish("build-graphs", "in.yaml")
        cache, = (n for n in os.listdir(self.path("cache")) if n.endswith(".h5"))
        os.unlink(os.path.join(self.path("cache"), cache))
        lock = os.path.join(self.path("cache"), cache + ".lock")
        write(lock, "another-machine 17\n")
        os.utime(lock, (time.time() + 86400,) * 2)
        return lock

    def lock(self, ranks, rank):
        lock = self.lock_of_another_machine()
        run = Run(self, ranks, "in.yaml")
        run.wait_for(run.sees("waiting for"), "the lock is waited for")
        seconds = run.stop(rank)
        with open(lock) as f:
            if f.read() != "another-machine 17\n":
                raise Failure("the lock of another process was changed")
        return seconds

    def rdkit(self, ranks, rank):
        rows(self.path("data.csv"), 3000, lambda i: "C" * LONGEST if i in (100, 1500, 2500) else "CCO")
        run = Run(self, ranks, "in.yaml")
        run.wait_for(lambda: any(n.endswith(".parts") for n in os.listdir(self.path("cache"))) if os.path.isdir(self.path("cache")) else False,
                     "the graphs are built")
        time.sleep(2.0)
        seconds = run.stop(rank)
        self.clean_cache(parts_may_stay=True)
        return seconds

    def train(self, ranks, rank):
        rows(self.path("data.csv"), 60)
        run = Run(self, ranks, "in.yaml", "train.epochs=1000000", "data.split=holdout")
        run.wait_for(run.sees("epoch 2/"), "an epoch is over")
        seconds = run.stop(rank)
        if not os.path.exists(self.path("run/checkpoints/last.h5")):
            raise Failure("no checkpoint")
        return seconds

    def evaluate(self, ranks, rank):
        """The validation part takes a while: 300,000 molecules."""
        rows(self.path("data.csv"), 60)
        rows(self.path("more.csv"), 300000)
        run = Run(self, ranks, "in.yaml", "data.train=[data.csv]", "data.path=[]", "data.validation=[more.csv]", "data.test=[data.csv]",
                  "train.evaluate_batch_size=1", "train.epochs=1")
        run.wait_for(run.sees("epoch(s) of"), "training has begun")
        time.sleep(1.0)
        return run.stop(rank)

    def predict(self, ranks, rank):
        rows(self.path("data.csv"), 60)
        rows(self.path("more.csv"), 300000)
        self.finish("in.yaml", "data.split=holdout", "train.epochs=1", "train.evaluate_batch_size=1")
        shutil.rmtree(self.path("cache"))
        run = Run(self, ranks, "predict", "in.yaml", "--data", "more.csv", "--output", "out/p.csv", "train.evaluate_batch_size=1")
        run.wait_for(lambda: any(n.endswith(".h5") for n in os.listdir(self.path("cache"))) if os.path.isdir(self.path("cache")) else False,
                     "the graphs are built")
        time.sleep(0.5)
        seconds = run.stop(rank)
        if os.path.isdir(self.path("out")) and os.listdir(self.path("out")):
            raise Failure(f"half an output: {os.listdir(self.path('out'))}")
        return seconds

    def generate(self, ranks, rank):
        if ranks > 1:
            return None
        write(self.path("lm.yaml"), TEXT)
        write(self.path("text.txt"), "to be or not to be that is the question " * 600)
        self.finish("lm.yaml")
        run = Run(self, ranks, "generate", "lm", "--prompt", "to be", "--max-new-tokens", "3900")
        run.wait_for(run.sees("to be"), "a text is written")
        return run.stop(rank)

    def replicates(self, ranks, rank):
        rows(self.path("data.csv"), 60)
        run = Run(self, ranks, "replicates", "in.yaml", "--count", "3", "train.epochs=1000000", "data.split=holdout")
        run.wait_for(run.sees("epoch 2/"), "the first of them is trained")
        seconds = run.stop(rank)
        if "point 2 of 3" in run.text():
            raise Failure(f"went on to the next one:\n{run.text()[-2000:]}")
        return seconds

    def walltime(self, ranks, rank):
        """The time limit acts where a signal does: the lock of another machine is waited for."""
        self.lock_of_another_machine()
        run = Run(self, ranks, "in.yaml", "run.walltime=8")
        return run.stop(None, "run.walltime")


PHASES = ["hash", "lock", "rdkit", "train", "evaluate", "predict", "generate", "replicates", "walltime"]


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("program")
    p.add_argument("phase", nargs="*", help=f"default: all of {', '.join(PHASES)}")
    p.add_argument("--ranks", type=int, default=2, help="of the second half; 1: only single runs")
    p.add_argument("--bound", type=float, default=10.0)
    p.add_argument("--folder", default="", help="where to work (default: a temporary folder, removed at the end)")
    a = p.parse_args()
    if not os.access(a.program, os.X_OK):
        sys.exit(f"stop_anywhere: no program at {a.program}")
    if bad := set(a.phase) - set(PHASES):
        sys.exit(f"stop_anywhere: no phase {', '.join(sorted(bad))}; there are {', '.join(PHASES)}")
    folder = os.path.realpath(a.folder) if a.folder else tempfile.mkdtemp(prefix="gnn_hpc_stop_")
    os.makedirs(folder, exist_ok=True)
    tester = Tester(a, folder)
    versions = subprocess.run([tester.program, "--version", "--verbose"], capture_output=True, text=True).stdout
    has_rdkit = any(words[0] == "RDKit" and words[1] != "none" for words in map(str.split, versions.splitlines()) if len(words) == 2)
    if not has_rdkit:
        print("stop_anywhere: skipped, the program was built without RDKit")
        return 0
    layouts = [(1, 0)] + ([(a.ranks, 0), (a.ranks, a.ranks - 1)] if a.ranks > 1 and tester.mpiexec else [])
    failed = 0
    for name in a.phase or PHASES:
        for ranks, rank in layouts:
            tester.fresh()
            try:
                seconds = getattr(tester, name)(ranks, rank)
            except Failure as failure:
                print(f"FAIL {name}, signal to rank {rank} of {ranks}: {failure}", file=sys.stderr, flush=True)
                failed += 1
                continue
            if seconds is not None:
                print(f"{name:10}  rank {rank} of {ranks}  ended after {seconds:.2f} s", flush=True)
    if not a.folder:
        shutil.rmtree(folder)
    print("PASS" if failed == 0 else f"{failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
