#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Trains iComFormer or eComFormer with the PyTorch reference (tests/reference/comformer.py) the way `gnn_hpc inputs/comformer_perov5.yaml` does,
and prints the errors of the test split: the other half of the accuracy comparison in the README. Needs torch and numpy.

    python tests/reference/train_comformer.py --shared ../shared [--model eComformer --width 64 --epochs 30 --threads 1]

Same split (Python's shuffle of seed 123), label scaling, loss, AdamW groups, OneCycle with cycling beta1, batch rule and choice of the
best weights by validation MAE. Weights and batch order come from torch's generator: a run differs from ours as two seeds do.
"""
import argparse
import json
import os
import random
import sys
import time

import numpy as np
import torch

REPOSITORY = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
sys.path.insert(0, os.path.join(REPOSITORY, "tests", "reference"))
sys.dont_write_bytecode = True
import comformer as ref  # noqa: E402


def batches_of(ids, size, drop_last):
    stop = len(ids) // size * size if drop_last and len(ids) >= size else len(ids)
    return [ids[i:i + size] for i in range(0, stop, size)]


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--shared", default=os.environ.get("GNN_HPC_SHARED", os.path.join(REPOSITORY, "..", "shared")))
    p.add_argument("--model", default="iComformer", choices=["iComformer", "eComformer"])
    p.add_argument("--dataset", default="perov_5")
    p.add_argument("--part", default="val", help="file of the data set: DATASET_PART.csv.gz")
    p.add_argument("--k", type=int, default=12)
    p.add_argument("--cutoff", type=float, default=6.0)
    p.add_argument("--width", type=int, default=64, help="node, edge, angle and fc features")
    p.add_argument("--epochs", type=int, default=30)
    p.add_argument("--batch", type=int, default=64)
    p.add_argument("--learning-rate", type=float, default=1e-3)
    p.add_argument("--weight-decay", type=float, default=1e-5)
    p.add_argument("--split-seed", type=int, default=123)
    p.add_argument("--seed", type=int, default=123)
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--steps", type=int, default=0, help="stop after this many steps (to measure the time of one)")
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    torch.set_default_dtype(torch.float32)
    torch.manual_seed(a.seed)
    order = random.Random(a.seed)

    crystals = os.path.join(a.shared, "data", "crystals")
    rows = ref.load_dataset(a.dataset, a.part, root=crystals)
    table = ref.load_atom_features(os.path.join(crystals, "cgcnn_atom_features.csv"))
    graphs = [ref.build_graph(r[0], r[1], k=a.k, cutoff=a.cutoff, use_lattice=True) for r in rows]
    labels = np.array([r[3] for r in rows])
    train, val, test = ref.split_indices(len(rows), seed=a.split_seed)
    mean, std = labels[train].mean(), labels[train].std()

    def collate(ids):
        return ref.collate([graphs[i] for i in ids], [np.asarray(rows[i][2]) for i in ids], (labels[ids] - mean) / std, table,
                           torch.float32, duplicate=False)

    model = ref.ComFormer(a.model, node_features=a.width, edge_features=a.width, triplet_input_features=a.width,
                          fc_features=a.width)
    steps_per_epoch = max(1, len(train) // a.batch)
    optimiser, schedule = ref.make_optimiser(model, lr=a.learning_rate, weight_decay=a.weight_decay,
                                             total_steps=a.epochs * steps_per_epoch)

    def evaluate(ids):
        model.eval()
        with torch.no_grad():
            out = [model(collate(part)) for part in batches_of(ids, min(4 * a.batch, 128), False)]
        error = (torch.cat(out).double().numpy() * std + mean) - labels[ids]
        return np.abs(error).mean(), np.sqrt((error ** 2).mean())

    print(f"{a.dataset}: {len(train)} train, {len(val)} validation, {len(test)} test; mean {mean:.6f} std {std:.6f}; "
          f"{sum(q.numel() for q in model.parameters())} parameters", flush=True)
    best, best_epoch, best_state, step, begin = np.inf, 0, None, 0, time.perf_counter()
    for epoch in range(1, a.epochs + 1):
        model.train()
        order.shuffle(train)
        total = 0.0
        for ids in batches_of(train, a.batch, True):
            batch = collate(ids)
            optimiser.zero_grad()
            loss = ref.loss_fn(model(batch), batch["y"])
            loss.backward()
            optimiser.step(), schedule.step()
            total += loss.item()
            step += 1
            if step == a.steps:
                print(f"{(time.perf_counter() - begin) / step:.3f} s a step")
                return
        mae, rmse = evaluate(val)
        if mae < best:
            best, best_epoch, best_state = mae, epoch, {n: t.clone() for n, t in model.state_dict().items()}
        print(f"epoch {epoch:3d}  loss {total / steps_per_epoch:.6f}  validation MAE {mae:.6f} RMSE {rmse:.6f}  "
              f"{time.perf_counter() - begin:.0f} s", flush=True)
    last = evaluate(test)
    model.load_state_dict(best_state)
    mae, rmse = evaluate(test)
    print(json.dumps(dict(model=a.model, dataset=a.dataset, k=a.k, width=a.width, epochs=a.epochs, batch=a.batch, seed=a.seed, threads=a.threads,
                          best_epoch=best_epoch, validation_mae=best, test_mae=mae, test_rmse=rmse, test_mae_last=last[0],
                          seconds=time.perf_counter() - begin)))


if __name__ == "__main__":
    main()
