#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Trains the reference ParToken (partoken.py beside this file) on the parts of a finished run of gnn_hpc, with its options, and prints test accuracies.

    python tests/reference/train_partoken.py TABLE.csv RUN_DIR --epochs 30 --joint 10 --batch 16 --top-k 16 --node 64 12 --pooling mean
        --cluster-size-max 15 --codes 32 [--seeds 3] [--residues FOLDER]

RUN_DIR/ids_train_val_test.json says the parts. Two stages, as inputs/partoken_demo.yaml has them: the classes alone, then, from the weights of the best
validation accuracy (the first of equal ones), all together with codes from k-means, weights of the losses that rise over five epochs, a rate of two
epochs' warm-up and a cosine, and codes that stand still in the last epoch. Gradients are the corrected ones (--upstream: the published ones); no
noise in evaluations. --residues: the clusters of the test part, FOLDER/seedN.csv, as gnn_hpc writes them, for scripts/partition_agreement.py.
"""
import argparse
import csv
import itertools
import json
import math
import os

import torch

import gvp
import partoken as ref
from train_gvp import accuracy, batches_of, read_parts

FIRST, LAST, RISE = dict(vq=0.1, psc=1e-4, card=1e-4), dict(vq=1.0, psc=1e-2, card=0.005), 5
WARMUP, KMEANS_BATCHES = 2, 10


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("table")
    p.add_argument("run")
    p.add_argument("--epochs", type=int, default=30, help="of the classes alone")
    p.add_argument("--joint", type=int, default=10, help="epochs with the codes; 0: none")
    p.add_argument("--batch", type=int, default=16)
    p.add_argument("--lr", type=float, default=1e-3)
    p.add_argument("--joint-lr", type=float, default=5e-4)
    p.add_argument("--top-k", type=int, default=30)
    p.add_argument("--node", type=int, nargs=2, default=(100, 16))
    p.add_argument("--pooling", default="sum")
    p.add_argument("--max-clusters", type=int, default=5)
    p.add_argument("--cluster-size-max", type=int, default=25)
    p.add_argument("--k-hop", type=int, default=1)
    p.add_argument("--codes", type=int, default=512)
    p.add_argument("--upstream", action="store_true")
    p.add_argument("--residues", metavar="FOLDER")
    p.add_argument("--seeds", type=int, default=3)
    p.add_argument("--threads", type=int, default=2)
    return p.parse_args()


def kmeans(model, batches):
    """The start of the codebook from the clusters of some batches."""
    with torch.no_grad():
        rows = []
        for b in batches:
            clusters, valid, _, _ = model.partitioner(model.encode(b), b, None)
            rows.append(clusters[valid])
        rows = torch.cat(rows)
    model.codebook.kmeans(rows, torch.randperm(len(rows)), lambda n: torch.randint(0, len(rows), (n,)))


class Stage:
    """One stage of training; `bypass`: without the codebook."""

    def __init__(self, model, parts, a, seed, *, first, epochs, lr, bypass):
        self.model, self.parts, self.a, self.seed, self.bypass = model, parts, a, seed, bypass
        self.first, self.epochs, self.lr = first, epochs, lr

    def rate(self, epoch):
        if self.bypass:
            return self.lr
        if epoch < WARMUP:
            return self.lr * (epoch + 1) / WARMUP
        return self.lr * 0.5 * (1 + math.cos(math.pi * (epoch - WARMUP) / max(1, self.epochs - WARMUP)))

    def predict(self, batch):
        return self.model(batch, None, bypass=self.bypass)[0]

    def epoch(self, opt, epoch):
        model = self.model
        model.lambdas = ref.ramp(FIRST, LAST, epoch, RISE)
        model.codebook.frozen = epoch + 1 >= self.epochs
        model.partitioner.epoch.fill_(self.first + epoch)  # the temperature falls through all stages
        for group in opt.param_groups:
            group["lr"] = self.rate(epoch)
        for number, b in enumerate(batches_of(self.parts["train"], self.a.batch, shuffled=True)):
            draw = self.seed * 10**6 + int(model.partitioner.epoch) * 1000 + number
            opt.zero_grad()
            logits, extra = model(b, gvp.Draws(draw), gvp.Draws(draw + 500), bypass=self.bypass)
            model.losses(logits, b.y, extra, "ce" if self.bypass else "composite")["total"].backward()
            opt.step()

    def run(self):
        """Ends with the weights of the best validation accuracy; returns what is printed of the stage."""
        opt = torch.optim.Adam(self.model.parameters(), lr=self.lr)
        best = None
        for epoch in range(self.epochs):
            self.epoch(opt, epoch)
            score = accuracy(self.predict, self.parts["val"])
            if best is None or score > best[0]:
                best = (score, epoch + 1, {n: t.clone() for n, t in self.model.state_dict().items()})
        last = accuracy(self.predict, self.parts["test"])
        self.model.load_state_dict(best[2])
        return dict(val=best[0], test=accuracy(self.predict, self.parts["test"]), epoch=best[1], last=last)


def write_residues(path, model, items, bypass):
    """The table of residues of a run, of the part `test`."""
    with open(path, "w", newline="") as f, torch.no_grad():
        out = csv.writer(f, lineterminator="\n")
        out.writerow("part,id,residue,cluster,token,importance".split(","))
        for item in items:
            batch = next(batches_of([item], 1))
            extra = model(batch, None, bypass=bypass)[1]
            for residue, c in zip(item[1].residues, extra["assign"].tolist()):
                token = "" if bypass or c < 0 else int(extra["code"][0, c])
                out.writerow(["test", item[0], residue] + (["", "", ""] if c < 0 else [c, token, f"{float(extra['importance'][0, c]):.6g}"]))


def main():
    a = arguments()
    torch.set_num_threads(a.threads)
    classes, parts = read_parts(a.table, a.run, a.top_k)
    results = []
    for seed in range(a.seeds):
        torch.manual_seed(seed)
        model = ref.ParToken(num_classes=len(classes), node_h=tuple(a.node), pooling=a.pooling, max_clusters=a.max_clusters, k_hop=a.k_hop,
                             cluster_size_max=a.cluster_size_max, codebook_size=a.codes, corrected=not a.upstream)
        result = dict(seed=seed, baseline=Stage(model, parts, a, seed, first=0, epochs=a.epochs, lr=a.lr, bypass=True).run())
        if a.joint > 0:
            kmeans(model, itertools.islice(batches_of(parts["train"], a.batch, shuffled=True), KMEANS_BATCHES))
            result["joint"] = Stage(model, parts, a, seed, first=a.epochs, epochs=a.joint, lr=a.joint_lr, bypass=False).run()
        if a.residues:
            os.makedirs(a.residues, exist_ok=True)
            write_residues(os.path.join(a.residues, f"seed{seed}.csv"), model, parts["test"], a.joint == 0)
        results.append(result)
        print(json.dumps(result), flush=True)
    print(json.dumps({f"mean_test_{stage}": sum(r[stage]["test"] for r in results) / len(results) for stage in results[0] if stage != "seed"}))


if __name__ == "__main__":
    main()
