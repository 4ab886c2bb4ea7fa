#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the golden files of tests/data: made-up crystals through the PyTorch reference (comformer.py beside this file).

    python tests/reference/make_golden.py --features ELEMENT_FEATURES.csv [--only NAME ...] [--out tests/data]
    python tests/reference/make_golden.py --random 20 --seed 5 --out FOLDER [--model eComformer]  # further models with random options, to try by hand

Every crystal is random or a textbook cell: nothing is taken from a data set. The same command writes the same numbers.
Needs torch, numpy and h5py; never needed to build or to run gnn_hpc.
"""
import argparse
import os

import h5py
import numpy as np
import torch

import comformer as ref

HERE = os.path.dirname(os.path.abspath(__file__))
SMALL = dict(node_features=8, edge_features=10, triplet_input_features=9, fc_features=7)


def random_crystal(rng, atoms, volume=18.0, skew=0.35):
    """A cell of random shape with atoms at least 1.2 angstrom apart, coordinates in any cell."""
    while True:
        lattice = np.eye(3) + skew * rng.uniform(-1, 1, (3, 3))
        lattice *= (volume * atoms * rng.uniform(0.8, 1.3) / abs(np.linalg.det(lattice))) ** (1 / 3)
        if abs(np.linalg.det(lattice)) > 0.3 * np.prod(np.linalg.norm(lattice, axis=1)):
            break
    frac = rng.uniform(0, 1, (1, 3))
    while len(frac) < atoms:
        new = rng.uniform(0, 1, 3)
        d = frac - new
        shift = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3, indexing="ij"), -1).reshape(-1, 1, 3)
        if np.linalg.norm((d[None] + shift) @ lattice, axis=-1).min() > 1.2:
            frac = np.vstack([frac, new])
    return lattice, frac + rng.integers(-2, 3, frac.shape), rng.integers(1, 104, atoms)


def textbook(names):
    hand = ref.hand_structures()
    return [(np.array(hand[n][0], float), np.array(hand[n][1], float), np.array(hand[n][2])) for n in names]


def gradient_noise(model, initial, batch, criterion, draws=4):
    """Rounding of each gradient, absolute, in double and in single precision: {name: (noise, noise_single)}.

    Double: largest change when every parameter is off by its last bit, either way, in any of the draws, times 4. Single: largest difference
    of the gradients in single precision from those in double, the parameters off by their last bit in single, times 2."""
    def gradients(dtype, factor, draw):
        generator = torch.Generator().manual_seed(draw)
        model.to(torch.float64).load_state_dict(initial)
        with torch.no_grad():
            for p in model.parameters():
                p.mul_(1 + factor * (2 * torch.randint(0, 2, p.shape, generator=generator) - 1))
        model.to(dtype).zero_grad()
        inputs = {n: t.to(dtype) if torch.is_tensor(t) and t.is_floating_point() else t for n, t in batch.items()}
        torch.set_default_dtype(dtype)
        ref.loss_fn(model(inputs), inputs["y"], criterion).backward()
        torch.set_default_dtype(torch.float64)
        return {n: torch.zeros_like(p) if p.grad is None else p.grad.double() for n, p in model.named_parameters()}
    exact, double, single = gradients(torch.float64, 0.0, 0), {}, {}
    for draw in range(draws):
        off, rough = gradients(torch.float64, 2.0**-52, draw), gradients(torch.float32, 2.0**-24, draw)
        for name, g in exact.items():
            double[name] = max(double.get(name, 0.0), 4 * (off[name] - g).abs().max().item())
            single[name] = max(single.get(name, 0.0), 2 * (rough[name] - g).abs().max().item())
    model.to(torch.float64).load_state_dict(initial)
    return {name: (double[name], single[name]) for name in exact}


LARGE = 4000  # the weights of every edge's products (fc.2 of eComFormer): 5,120 rows


def write_model(path, table, structures, seed, *, kind="iComformer", k=4, cutoff=6.0, use_lattice=True, train=True, criterion="mse",
                store_params=False, taps="all", fingerprints=False, steps=0, max_lr=1e-3, weight_decay=1e-2, noise=False, **widths):
    """kind: iComformer | eComformer; taps: all | top | none of the intermediates; gradients above LARGE numbers as fingerprints; steps > 0: that many optimiser steps on the same batch; noise: with each gradient its rounding."""
    torch.set_default_dtype(torch.float64)
    rng = np.random.default_rng(seed)
    options = {**SMALL, **widths}
    outputs = options.get("output_features", 1)
    labels = rng.normal(size=(len(structures), outputs) if outputs > 1 else len(structures))
    graphs = [ref.build_graph(s[0], s[1], k=k, cutoff=cutoff, use_lattice=use_lattice) for s in structures]
    batch = ref.collate(graphs, [s[2] for s in structures], labels, table)
    model = ref.ComFormer(kind, **options)
    ref.fill_parameters(model, seed)
    if not train:                                       # running statistics of this batch: those drawn would let activations grow
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm1d):
                module.momentum = 1.0
        model(batch)
    initial = {n: t.clone() for n, t in model.state_dict().items()}
    model.train(train)
    record = {}
    prediction = model(batch, record)
    loss = ref.loss_fn(prediction, batch["y"], criterion)
    loss.backward()

    tree = {"loss": loss, "outputs/prediction": prediction}
    for i, (lattice, frac, z) in enumerate(structures):
        tree.update({f"inputs/structures/{i}/lattice": lattice, f"inputs/structures/{i}/frac": frac, f"inputs/structures/{i}/Z": z})
    for name in ("x", "edge_index", "edge_vec", "edge_graph", "lattice", "batch", "y"):
        tree["inputs/" + name] = batch[name]
    for name, t in initial.items():
        if store_params or (not train and "running" in name):
            tree["params/" + name] = t
    for name, p in model.named_parameters():
        grad = torch.zeros_like(p) if p.grad is None else p.grad
        short = fingerprints or grad.numel() > LARGE
        tree[("grads_fingerprint/" if short else "grads/") + name] = ref.fingerprint(name, grad) if short else grad
    for name, t in model.state_dict().items():
        if "running" in name:
            tree["buffers_after/" + name] = t.clone()
    for name, t in record.items():
        if taps == "all" or (taps == "top" and name.startswith("top/") and t.numel() < 4000):
            tree["outputs/" + name] = t
    rounding = gradient_noise(model, initial, batch, criterion) if noise else {}
    if steps:
        model.load_state_dict(initial)
        model.zero_grad()
        optimiser, schedule = ref.make_optimiser(model, lr=max_lr, weight_decay=weight_decay, total_steps=steps)
        losses, rates, betas = [], [], []
        for _ in range(steps):
            optimiser.zero_grad()
            value = ref.loss_fn(model(batch), batch["y"], criterion)
            value.backward()
            rates.append(optimiser.param_groups[0]["lr"]), betas.append(optimiser.param_groups[0]["betas"][0])
            optimiser.step(), schedule.step()
            losses.append(value.item())
        tree.update({"trajectory/loss": losses, "trajectory/lr": rates, "trajectory/beta1": betas})
        for name, p in model.named_parameters():
            tree["trajectory/final_norm/" + name] = p.norm()
    with h5py.File(path, "w", libver=("v110", "v110")) as f:
        f.attrs.update(system="comformer", kind="model")
        ref.write_tree(f, tree)
        for name, (double, single) in rounding.items():
            f["grads/" + name if "grads/" + name in f else "grads_fingerprint/" + name].attrs.update(noise=double, noise_single=single)
        f.create_group("config").attrs.update(
            model=kind, case=os.path.basename(path).split(".")[0], seed=seed, k=k, cutoff=cutoff, use_lattice=use_lattice,
            train_mode=train, criterion=criterion, weight_decay=weight_decay, max_lr=max_lr, total_steps=steps or 10,
            n_parameters=sum(p.numel() for p in model.parameters()), params_from_generator=not store_params, **model.config)
    print(f"{path}: {os.path.getsize(path)} bytes, {batch['edge_vec'].shape[0]} edges, loss {loss.item():.6f}")


def write_graphs(path, seed):
    """Textbook cells, random cells of every shape, and perfect lattices, whose neighbours are all ties."""
    rng = np.random.default_rng(seed)
    cases = {n: (np.array(h[0], float), np.array(h[1], float), np.array(h[2]), *h[3:]) for n, h in ref.hand_structures().items()}
    for i in range(24):
        s = random_crystal(rng, int(rng.integers(1, 9)), volume=rng.uniform(6, 40), skew=rng.uniform(0.0, 0.7))
        cases[f"random_{i}"] = (*s, int(rng.choice([1, 4, 12, 25, 40])), float(rng.choice([1.5, 4, 8])), bool(rng.integers(2)))
    face = np.array([[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    corner = np.array([[0.0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])
    rutile = np.array([[0, 0, 0], [.5, .5, .5], [.305, .305, 0], [.695, .695, 0], [.195, .805, .5], [.805, .195, .5]])
    cases["rock_salt"] = (5.64 * np.eye(3), np.vstack([corner, corner + 0.5]), np.repeat([11, 17], 4), 12, 6.0, True)
    cases["zinc_blende_primitive"] = (5.41 * face, np.array([[0, 0, 0], [.25, .25, .25]]), np.array([30, 16]), 25, 6.0, True)
    cases["perovskite"] = (3.905 * np.eye(3), np.array([[0, 0, 0], [.5, .5, .5], [.5, .5, 0], [.5, 0, .5], [0, .5, .5]]),
                           np.array([38, 22, 8, 8, 8]), 25, 8.0, True)
    cases["rutile"] = (np.diag([4.594, 4.594, 2.959]), rutile, np.array([22, 22, 8, 8, 8, 8]), 12, 8.0, True)
    cases["flat_needle"] = (np.diag([2.3, 41.0, 55.0]), np.array([[0.2, 0.9, 0.4], [0.7, 0.9, 0.42]]), np.array([6, 6]), 8, 5.0, True)
    with h5py.File(path, "w", libver=("v110", "v110")) as f:
        f.attrs.update(system="comformer", kind="graphs")
        for name, (lattice, frac, z, k, cutoff, use_lattice) in cases.items():
            g = ref.build_graph(lattice, frac, k, cutoff, use_lattice)
            group = f.create_group(name)
            group.attrs.update(k=k, cutoff=cutoff, use_lattice=use_lattice)
            ref.write_tree(group, {"inputs/lattice": lattice, "inputs/frac": frac, "inputs/Z": z, **{
                "expected/" + a: g[a] for a in ("u", "v", "image", "vec", "mult", "lattice_images", "lattice_vectors")}})
    print(f"{path}: {os.path.getsize(path)} bytes, {len(cases)} structures")


def write_other(path):
    tree = {}
    for n, seed in ((3, 0), (10, 123), (11, 1), (64, 123), (65, 2**31 + 5), (500, 42)):
        for part, ids in zip(("train", "val", "test"), ref.split_indices(n, seed=seed)):
            tree[f"splits/n{n}_seed{seed}/{part}"] = np.array(ids, dtype=np.int32)
    for steps in (2, 3, 4, 10, 257):
        optimiser, schedule = ref.make_optimiser(torch.nn.Linear(1, 1), lr=1e-3, total_steps=steps)
        rates, betas = [], []
        for _ in range(steps):
            rates.append(optimiser.param_groups[0]["lr"]), betas.append(optimiser.param_groups[0]["betas"][0])
            optimiser.step(), schedule.step()
        tree[f"onecycle/steps{steps}/lr"], tree[f"onecycle/steps{steps}/beta1"] = rates, betas
    for name, shape in (("rbf.1.weight", (3, 5)), ("lemb.weight", (3, 32)), ("att_layers.3.bn.bias", (6,)), ("bn.running_var", (4,)),
                        ("equi_update.bn.weight", (6,)), ("a.running_mean", (2,))):
        tree[f"generator/seed41/{name}"] = ref.synthetic_value(name, shape, 41)
    with h5py.File(path, "w", libver=("v110", "v110")) as f:
        f.attrs.update(system="comformer", kind="other")
        ref.write_tree(f, tree)
    print(f"{path}: {os.path.getsize(path)} bytes")


def fixed_cases(out, table):
    """name -> function that writes it"""
    def crystals(seed, *atoms):
        rng = np.random.default_rng(seed)
        return [random_crystal(rng, n) for n in atoms]

    def model(name, structures, seed, **options):
        return lambda: write_model(os.path.join(out, name + ".h5"), table, structures, seed, **options)

    icom, ecom, equivariant = "comformer_iCom_", "comformer_eCom_", dict(kind="eComformer")
    return {
        icom + "all": model(icom + "all", crystals(1, 1, 1, 3), 11, k=1, node_features=6, store_params=True),
        icom + "heads": model(icom + "heads", crystals(2, 2, 1), 12, k=1, node_features=6, node_layer_head=3, edge_layer_head=2, steps=10),
        icom + "outputs": model(icom + "outputs", crystals(3, 4, 1, 6, 2), 13, output_features=3, taps="top", steps=10,
                                weight_decay=1e-5, max_lr=3e-3),
        icom + "eval_l1": model(icom + "eval_l1", crystals(4, 3, 5, 2), 14, train=False, criterion="l1", taps="top"),
        icom + "l1": model(icom + "l1", crystals(5, 2, 2, 4), 15, criterion="l1", taps="top", steps=7, k=6),
        icom + "shapes": model(icom + "shapes", textbook(["cubic_one_atom", "needle_one_atom", "clashing_pair", "large_cell_one_atom",
                                                          "obtuse_unwrapped"]), 16, k=1, taps="top", steps=10),
        icom + "no_lattice": model(icom + "no_lattice", crystals(6, 2, 7), 17, k=12, use_lattice=False, cutoff=3.0, taps="top"),
        icom + "single": model(icom + "single", crystals(7, 2), 18, k=5, taps="all", noise=True),
        icom + "wide": model(icom + "wide", crystals(8, 5, 8, 3, 1, 9), 19, k=12, fingerprints=True, taps="none", node_features=48,
                             edge_features=64, triplet_input_features=40, fc_features=33),
        ecom + "all": model(ecom + "all", crystals(21, 1, 1, 3), 31, k=1, node_features=6, **equivariant),
        ecom + "heads": model(ecom + "heads", crystals(22, 2, 3), 32, k=2, node_features=5, node_layer_head=3, taps="top", steps=10, **equivariant),
        ecom + "outputs": model(ecom + "outputs", crystals(23, 4, 1, 6, 2), 33, output_features=3, taps="top", steps=10, weight_decay=1e-5,
                                max_lr=3e-3, **equivariant),
        ecom + "eval_l1": model(ecom + "eval_l1", crystals(24, 3, 5, 2), 34, train=False, criterion="l1", taps="top", **equivariant),
        ecom + "shapes": model(ecom + "shapes", textbook(["cubic_one_atom", "needle_one_atom", "clashing_pair", "large_cell_one_atom",
                                                          "obtuse_unwrapped"]), 36, k=1, taps="top", steps=10, **equivariant),
        ecom + "no_lattice": model(ecom + "no_lattice", crystals(26, 2, 7), 37, k=12, use_lattice=False, cutoff=3.0, taps="top", **equivariant),
        ecom + "single": model(ecom + "single", crystals(27, 2), 38, k=5, taps="all", noise=True, **equivariant),
        "comformer_graphs": lambda: write_graphs(os.path.join(out, "comformer_graphs.h5"), 20),
        "comformer_other": lambda: write_other(os.path.join(out, "comformer_other.h5")),
    }


def random_model(path, table, seed, kind):
    rng = np.random.default_rng(seed)
    structures = [random_crystal(rng, int(rng.integers(1, 12)), skew=rng.uniform(0, 0.6)) for _ in range(int(rng.integers(1, 9)))]
    if sum(len(s[2]) for s in structures) < 2:          # one row in a BatchNorm: the reference refuses
        structures.append(random_crystal(rng, 3))
    train = bool(rng.integers(4))
    write_model(path, table, structures, seed, kind=kind, k=int(rng.choice([1, 3, 8, 12, 25])), use_lattice=bool(rng.integers(5)),
                train=train, criterion=str(rng.choice(["mse", "mse", "l1"])), store_params=bool(rng.integers(2)),
                taps=str(rng.choice(["all", "top"])), fingerprints=bool(rng.integers(2)), steps=int(rng.choice([0, 10, 12])) * train,
                node_features=int(rng.integers(3, 70)), edge_features=int(rng.integers(2, 80)),
                triplet_input_features=int(rng.integers(2, 80)), fc_features=int(rng.integers(1, 60)),
                output_features=int(rng.choice([1, 1, 2, 5])), node_layer_head=int(rng.choice([1, 1, 2, 4])))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--features", required=True, help="table of 92 features per element (columns: Z, then 92 numbers)")
    p.add_argument("--out", default=os.path.join(HERE, "..", "data"))
    p.add_argument("--only", nargs="*", default=[])
    p.add_argument("--model", default="iComformer", choices=["iComformer", "eComformer"], help="with --random")
    p.add_argument("--random", type=int, default=0, help="instead: this many models with random options")
    p.add_argument("--seed", type=int, default=1)
    a = p.parse_args()
    torch.set_num_threads(1)
    table = ref.load_atom_features(a.features)
    os.makedirs(a.out, exist_ok=True)
    if a.random:
        for i in range(a.random):
            random_model(os.path.join(a.out, f"random_{a.seed + i}.h5"), table, a.seed + i, a.model)
        return
    for name, write in fixed_cases(a.out, table).items():
        if not a.only or name in a.only:
            write()


if __name__ == "__main__":
    main()
