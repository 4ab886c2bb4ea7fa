#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the files tests/data/hgnn_moe_*.h5: small language models with made-up weights and tokens, and what hgnn_moe.py makes of them.

Needs torch, numpy and h5py:  make_hgnn_moe.py [--out FOLDER] [--random N --seed S]
With --random: N files of random sizes and options instead, named hgnn_moe_random_<number>.h5.
"""
import argparse
import random
from dataclasses import replace
from pathlib import Path

import torch

import hgnn_moe as ref

BASE = ref.Config(vocab_size=9, max_seq_length=6, embed_dim=4, num_layers=1, num_heads=2, dropout_rate=0.0, num_experts=3, coupler_type="HGNN")
GNN = replace(BASE, coupler_type="GNN", num_experts=2)
ORTHO = dict(apply_orthogonality_loss=True, apply_weight_orthogonality_loss=True)
# name: (options, sequences and length, flags of the reference, first levels of ghosts)
CASES = {
    "pairs": (BASE, dict(B=2, L=5, lengths=[5, 3]), {"taps", "trajectory"}, None),
    "gnn": (GNN, dict(B=2, L=5, lengths=[4, 5]), {"taps", "trajectory"}, None),
    "triplets": (replace(BASE, num_experts=4, static_hyperedge_strategy="all_triplets", hgnn_norm="paper", gnn_layers=3), dict(B=2, L=4), {"taps"}, None),
    "softplus": (replace(BASE, hgnn_weight_transform="softplus", num_layers=2), dict(B=3, L=5), {"negative", "holes"}, None),
    "one_hyperedge": (replace(BASE, static_hyperedge_strategy="all", num_experts=2), dict(B=2, L=3), {"taps"}, None),
    "one_expert": (replace(GNN, num_experts=1), dict(B=2, L=4, lengths=[4, 0]), {"taps"}, None),
    "no_convolution": (replace(BASE, gnn_layers=0), dict(B=2, L=4), set(), None),
    "specialised": (replace(GNN, orthogonality_aggregation="pool", orthogonality_loss_type="cosine_similarity", orthogonality_warmup_steps=0,
                            weight_orthogonality_target_layer="combined", **ORTHO), dict(B=2, L=4), {"ortho"}, None),
    "specialised_means": (replace(BASE, orthogonality_warmup_steps=7, weight_orthogonality_target_layer="attention", **ORTHO),
                          dict(B=2, L=4, lengths=[4, 2]), {"ortho"}, None),
    "ghosts": (replace(BASE, num_experts=2, num_ghost_experts=2), dict(B=2, L=4), {"ghost", "taps"}, [0.4, 1.0]),
    "ghost_asleep": (replace(BASE, num_experts=2, num_ghost_experts=2), dict(B=2, L=3), {"ghost"}, [1.0, 0.05]),
    "ghost_pair": (replace(BASE, num_experts=2, num_ghost_experts=3, static_hyperedge_strategy="all_triplets"), dict(B=2, L=3), {"ghost"},
                   [0.5, 1.0, 0.05]),
}


def random_case(rng):
    """Options of all kinds, sizes that are no multiples of anything."""
    heads = rng.choice([1, 2, 3])  # at least 4 channels: the norm of two is always (-1, 1), and float loses its gradient
    cfg = ref.Config(vocab_size=rng.randint(3, 40), max_seq_length=rng.randint(1, 40), embed_dim=heads * rng.randint(4 if heads == 1 else 2, 11), num_layers=rng.randint(1, 3),
                     num_heads=heads, dropout_rate=0.0, num_experts=rng.randint(1, 6), gnn_layers=rng.randint(0, 3),
                     coupler_type=rng.choice(["GNN", "HGNN"]), static_hyperedge_strategy=rng.choice(["all_pairs", "all_triplets", "all"]),
                     hgnn_learnable_edge_weights=rng.random() < 0.8, hgnn_norm=rng.choice(["pyg", "paper"]),
                     hgnn_weight_transform=rng.choice(["none", "softplus"]))
    flags, levels = {"taps"} if cfg.embed_dim < 16 else set(), None
    length = rng.randint(1, cfg.max_seq_length)
    batch = dict(B=rng.randint(1, 5), L=length)
    kind = rng.random()
    if kind < 0.25:
        flags.add("holes")
    elif kind < 0.6:
        batch["lengths"] = [rng.randint(0, length) for _ in range(batch["B"])]
    if rng.random() < 0.3:
        flags.add("ortho")
        cfg = replace(cfg, apply_orthogonality_loss=rng.random() < 0.7, apply_weight_orthogonality_loss=rng.random() < 0.7,
                      orthogonality_aggregation=rng.choice(["mean", "pool"]), orthogonality_loss_type=rng.choice(["gram_identity", "cosine_similarity"]),
                      orthogonality_warmup_steps=rng.choice([0, 3, 50]), orthogonality_loss_weight=rng.random(), weight_orthogonality_loss_weight=rng.random(),
                      weight_orthogonality_target_layer=rng.choice(["ffn_input", "ffn_output", "attention", "combined"]))
        if cfg.num_experts == 1 and cfg.orthogonality_loss_type == "cosine_similarity":   # the mean over no pair is not a number
            cfg = replace(cfg, orthogonality_loss_type="gram_identity")
    elif cfg.coupler_type == "HGNN" and rng.random() < 0.3:
        ghosts = rng.randint(1, 4)
        cfg = replace(cfg, num_ghost_experts=ghosts)
        awake = rng.randint(0, ghosts)
        levels = [rng.randint(12, 100) / 100 for _ in range(awake)] + [rng.randint(2, 9) / 100 for _ in range(ghosts - awake)]
        flags.add("ghost")
    if rng.random() < 0.3 and "ortho" not in flags and "ghost" not in flags:
        flags.add("trajectory")
    return cfg, batch, flags, levels


def with_holes(cfg, seed, B, L, lengths=None):
    """Tokens whose mask has gaps anywhere, the first ones included."""
    g = torch.Generator().manual_seed(seed + 1000)
    mask = (torch.rand(B, L, generator=g) < 0.6).long()
    return torch.randint(1, cfg.vocab_size, (B, L), generator=g) * mask, mask


def write_case(folder, name, case, seed):
    cfg, batch, flags, levels = case
    ref.MODEL_CASES[name] = (cfg, batch, flags - {"holes"})
    ref.GHOST_LEVELS[:] = levels or []
    plain = ref.random_batch
    if "holes" in flags:
        ref.random_batch = with_holes
    ref.write_model_fixture(folder / f"hgnn_moe_{name}.h5", name, seed)
    ref.random_batch = plain


def write_couplers(folder, seed):
    """Every strategy and both couplers alone."""
    def cases():
        for experts in (2, 3, 4):
            for strategy in ("all_pairs", "all_triplets", "all"):
                if ref.hyperedges(experts, strategy):
                    yield f"{strategy}_{experts}", replace(BASE, num_experts=experts, static_hyperedge_strategy=strategy)
        for experts in (1, 2, 3):
            yield f"gnn_{experts}", replace(GNN, num_experts=experts)
    ref.coupler_cases = cases
    ref.write_coupler_fixture(folder / "hgnn_moe_couplers.h5", "couplers", seed)


def write_generate(folder, seed):
    cfg = replace(BASE, vocab_size=12, max_seq_length=9, num_layers=2)
    model, prompt, rows = ref.build(cfg, seed, gain=1.5), [3, 1, 7], []
    ids = ref.generate(model, prompt, 50, logits_out=rows)
    with ref.open_fixture(folder / "hgnn_moe_generate.h5", "generate", seed, cfg) as f:
        for key, p in model.named_parameters():
            ref.put(f, f"params/{key}", p)
        ref.put(f, "inputs/prompt", torch.tensor(prompt).int())
        ref.put(f, "outputs/greedy", torch.tensor(ids).int())
        ref.put(f, "outputs/logits", torch.stack(rows))
        for i, (temperature, k, p) in enumerate([(0.7, 6, 0.9), (1.3, 0, 0.5), (1.0, 3, 0.0)]):
            g = f.create_group(f"filter/{i}")
            g.attrs.update(temperature=temperature, top_k=k, top_p=p)
            ref.put(g, "kept_logits", torch.stack([ref.filter_logits(r, temperature, k, p) for r in rows[:3]]))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--out", default=str(Path(__file__).resolve().parent.parent / "data"))
    p.add_argument("--random", type=int, default=0)
    p.add_argument("--seed", type=int, default=1)
    args = p.parse_args()
    folder = Path(args.out)
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    if args.random:
        for i in range(args.random):
            write_case(folder, f"random_{i}", random_case(random.Random(1000 * args.seed + i)), args.seed + i)
        return
    for name, case in CASES.items():
        write_case(folder, name, case, args.seed)
    write_couplers(folder, args.seed)
    write_generate(folder, args.seed)


if __name__ == "__main__":
    main()
