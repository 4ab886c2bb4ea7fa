#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Trains the reference GVP (gvp.py beside this file) on the parts of a finished run of gnn_hpc, with its options, and prints test accuracies.

    python tests/reference/train_gvp.py TABLE.csv RUN_DIR --epochs 30 --batch 16 --top-k 16 --node 64 12 --pooling mean [--seeds 3]

RUN_DIR/ids_train_val_test.json says the parts. Adam at a constant rate, dropout 0.1, the weights of the best validation accuracy (the first of equal ones).
"""
import argparse
import csv
import json
import os

import torch

import gvp as ref


def read_parts(table, run, top_k):
    """Names of the classes, and of the parts train, val and test the items (id, chain, graph, class) that the run had."""
    chains, files = {}, {}
    with open(table) as f:
        rows = list(csv.DictReader(f))
    classes = sorted({row["label"] for row in rows})
    for row in rows:
        path = os.path.join(os.path.dirname(table), row["path"])
        if path not in files:
            files[path] = {c.chain: c for c in ref.read_structure(path)}
        chain, name = files[path][row["chain"]], f"{row['path']}:{row['chain']}"
        chains[name] = (name, chain, ref.featurise(chain.coords, top_k, dtype=torch.float32), classes.index(row["label"]))
    with open(os.path.join(run, "ids_train_val_test.json")) as f:
        ids = json.load(f)
    return classes, {part: [chains[i] for i in ids[key]] for part, key in (("train", "id_train"), ("val", "id_val"), ("test", "id_test"))}


def batch_of(items):
    return ref.collate([item[2] for item in items], None, [item[3] for item in items])


def batches_of(items, size, shuffled=False):
    """Batches of these items, in their order or a random one."""
    order = torch.randperm(len(items)).tolist() if shuffled else range(len(items))
    for begin in range(0, len(items), size):
        yield batch_of([items[i] for i in order[begin:begin + size]])


def accuracy(predict, items):
    """Share of items whose class has the largest of `predict(batch)`."""
    with torch.no_grad():
        return sum((predict(b).argmax(1) == b.y).sum().item() for b in batches_of(items, 32)) / len(items)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("table")
    p.add_argument("run")
    p.add_argument("--epochs", type=int, default=30)
    p.add_argument("--batch", type=int, default=16)
    p.add_argument("--lr", type=float, default=1e-3)
    p.add_argument("--top-k", type=int, default=30)
    p.add_argument("--node", type=int, nargs=2, default=(100, 16))
    p.add_argument("--pooling", default="sum")
    p.add_argument("--seeds", type=int, default=3)
    p.add_argument("--threads", type=int, default=2)
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    classes, parts = read_parts(a.table, a.run, a.top_k)
    results = []
    for seed in range(a.seeds):
        torch.manual_seed(seed)
        model = ref.GVPClassifier(num_classes=len(classes), node_h=tuple(a.node), pooling=a.pooling)
        opt = torch.optim.Adam(model.parameters(), lr=a.lr)
        best = (-1.0, 0.0, 0)
        for epoch in range(a.epochs):
            for number, b in enumerate(batches_of(parts["train"], a.batch, shuffled=True)):
                opt.zero_grad()
                ref.cross_entropy(model(b, ref.Draws(seed * 100000 + epoch * 1000 + number)), b.y).backward()
                opt.step()
            score = accuracy(model, parts["val"])
            if score > best[0]:
                best = (score, accuracy(model, parts["test"]), epoch + 1)
        results.append(dict(seed=seed, val=best[0], test=best[1], epoch=best[2], last=accuracy(model, parts["test"])))
        print(json.dumps(results[-1]), flush=True)
    print(json.dumps(dict(mean_test=sum(r["test"] for r in results) / len(results))))


if __name__ == "__main__":
    main()
