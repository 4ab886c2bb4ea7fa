#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Trains the language model with the PyTorch reference (hgnn_moe.py of the shared folder) the way `gnn_hpc inputs/hgnn_moe_shakespeare.yaml`
does, and prints validation bits per byte: the other half of the comparison in the README. Needs torch, numpy and h5py.

    python tests/reference/train_hgnn_moe.py --shared ../shared [--coupler GNN] [--epochs 1] [--threads 2]

Same windows, split (the last tenth validates), batches an epoch (the last short one kept), AdamW on every parameter, clipping at 1, cosine
schedule, dropout; validation over the whole part. Weights, batch order and dropout come from torch: a run differs from ours as two seeds do.
"""
import argparse
import importlib.util
import json
import math
import os
import sys
import time

import torch

REPOSITORY = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
sys.dont_write_bytecode = True


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--shared", default=os.environ.get("GNN_HPC_SHARED", os.path.join(REPOSITORY, "..", "shared")))
    p.add_argument("--text", help="(default: SHARED/data/text/tinyshakespeare.txt)")
    p.add_argument("--coupler", choices=("GNN", "HGNN"), default="HGNN")
    p.add_argument("--strategy", default="all_pairs")
    p.add_argument("--length", type=int, default=128)
    p.add_argument("--dim", type=int, default=128)
    p.add_argument("--layers", type=int, default=2)
    p.add_argument("--experts", type=int, default=4)
    p.add_argument("--gnn-layers", type=int, default=2)
    p.add_argument("--dropout", type=float, default=0.1)
    p.add_argument("--batch", type=int, default=32)
    p.add_argument("--epochs", type=int, default=2)
    p.add_argument("--max-batches", type=int, default=-1, help="of an epoch; -1: all")
    p.add_argument("--learning-rate", type=float, default=1e-3)
    p.add_argument("--seed", type=int, default=42)
    p.add_argument("--threads", type=int, default=2)
    a = p.parse_args()
    spec = importlib.util.spec_from_file_location("hgnn_moe", os.path.join(a.shared, "reference", "hgnn_moe.py"))
    ref = importlib.util.module_from_spec(spec)
    sys.modules["hgnn_moe"] = ref  # dataclasses look their module up
    spec.loader.exec_module(ref)
    torch.set_num_threads(a.threads)
    torch.manual_seed(a.seed)
    text = a.text or os.path.join(a.shared, "data", "text", "tinyshakespeare.txt")
    with open(text, "rb") as file:
        windows = ref.stream_windows(file.read(), a.length)
    held = math.ceil(len(windows) / 10 - 1e-9)
    train, validation = windows[:-held], windows[-held:]
    cfg = ref.Config(max_seq_length=a.length, embed_dim=a.dim, num_layers=a.layers, num_experts=a.experts, gnn_layers=a.gnn_layers,
                     coupler_type=a.coupler, static_hyperedge_strategy=a.strategy, dropout_rate=a.dropout, learning_rate=a.learning_rate)
    model = ref.Model(cfg).train()
    optimiser = ref.AdamW(model.parameters(), cfg.weight_decay)
    batches = math.ceil(len(train) / a.batch)
    if a.max_batches > 0:
        batches = min(batches, a.max_batches)
    total = a.epochs * batches
    print(f"{len(train)} training, {len(validation)} validation windows of {a.length} bytes; {total} steps; "
          f"{sum(q.numel() for q in model.parameters())} parameters", flush=True)
    step, spent, best, bits = 0, 0.0, math.inf, math.inf
    for epoch in range(1, a.epochs + 1):
        order = torch.randperm(len(train))
        mean, begin = 0.0, time.perf_counter()
        for b in range(batches):
            ids = train[order[b * a.batch:(b + 1) * a.batch]]
            loss, _ = ref.train_step(model, optimiser, ids, None, ref.cosine_lr(step, total, cfg.learning_rate, cfg.eta_min))
            mean += loss / batches
            step += 1
        spent += time.perf_counter() - begin
        loss, perplexity = ref.evaluate(model, [(part, None) for part in validation.split(a.batch)])
        bits = loss / math.log(2)
        best = min(best, bits)
        print(f"epoch {epoch}  step {step}  train loss {mean:.5f}  validation loss {loss:.5f}  bits per byte {bits:.4f}  "
              f"perplexity {perplexity:.4f}  {spent / step:.3f} s a step", flush=True)
    print(json.dumps(dict(coupler=a.coupler, dim=a.dim, layers=a.layers, experts=a.experts, length=a.length, batch=a.batch, steps=step,
                          seed=a.seed, threads=a.threads, validation_bits_per_byte=bits, best_bits_per_byte=best, seconds_a_step=spent / step)))


if __name__ == "__main__":
    main()
