#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Draws RUN_DIR/learning_curve.png from metrics.csv and RUN_DIR/parity*.png (one per target) from predictions.csv:
#   scripts/plot.sh RUN_DIR
# Columns are found by their names. Without gnuplot it says so and succeeds: pictures are an extra.
set -euo pipefail

run_dir=${1:?usage: scripts/plot.sh RUN_DIR}
if ! command -v gnuplot >/dev/null; then
  echo "plot: gnuplot is not installed (Debian: gnuplot-nox); no pictures are drawn"
  exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# CSV with quoted fields -> plain columns that gnuplot reads; prints one line per picture: KIND DATA TITLE.
python3 - "$run_dir" "$work" >"$work/list" <<'PYTHON'
import csv, os, re, sys
run_dir, work = sys.argv[1:3]

def rows(name):
    path = os.path.join(run_dir, name)
    if not os.path.exists(path):
        return []
    with open(path, newline="") as file:
        return list(csv.DictReader(file))

def number(text):
    try:
        return f"{float(text):.9g}"
    except (TypeError, ValueError):
        return "NaN"

metrics = rows("metrics.csv")
if metrics and "epoch" in metrics[0]:
    columns = [c for c in ("train_loss", "val_loss") if c in metrics[0]] + [c for c in metrics[0] if re.fullmatch(r"val_mae.*", c)]
    with open(os.path.join(work, "curve.dat"), "w") as file:
        file.write("epoch " + " ".join(columns) + "\n")
        for row in metrics:
            file.write(" ".join(number(row[c]) for c in ["epoch", *columns]) + "\n")
    print("curve", os.path.join(work, "curve.dat"), len(columns) + 1, "-", sep="\t")

groups = {}
for row in rows("predictions.csv"):
    # One target: columns target, prediction. Several: target_<name>, prediction_<name> each.
    for column in [c for c in row if c == "target" or c.startswith("target_")]:
        pair = (row[column], row.get(column.replace("target", "prediction", 1)))
        groups.setdefault(column[len("target_"):], {}).setdefault(row.get("split") or "all", []).append(pair)
for i, (name, splits) in enumerate(groups.items()):
    data, kept = os.path.join(work, f"parity{i}.dat"), 0
    with open(data, "w") as file:
        for split in sorted(splits, key=lambda s: ({"train": 0, "val": 1, "test": 2}.get(s, 3), s)):
            pairs = [(number(t), number(p)) for t, p in splits[split]]
            pairs = [pair for pair in pairs if "nan" not in (pair[0].lower(), pair[1].lower())]
            if not pairs:
                continue
            file.write(f'"{split} ({len(pairs)})"\n' + "".join(f"{t} {p}\n" for t, p in pairs) + "\n\n")
            kept += 1
    if kept:
        picture = "parity.png" if len(groups) == 1 else "parity_" + re.sub(r"[^A-Za-z0-9_.-]", "_", name) + ".png"
        print("parity", data, kept, picture + "\t" + (name or "target"), sep="\t")
PYTHON

style='set terminal pngcairo size 900,700; set grid; set tics out; set border 3; set tics nomirror; set key top right'
while IFS=$'\t' read -r kind data count picture title; do
  case $kind in
    curve)
      picture=learning_curve.png
      gnuplot <<GNUPLOT
$style
set output "$run_dir/$picture"
set xlabel "epoch"; set ylabel "loss, error"; set logscale y; set format y "%g"
plot for [i=2:$count] "$data" using 1:i with linespoints linewidth 2 pointtype 7 pointsize 0.4 title columnheader(i) noenhanced
GNUPLOT
      ;;
    parity)
      gnuplot <<GNUPLOT
$style
set output "$run_dir/$picture"
set xlabel "target: $title" noenhanced; set ylabel "prediction: $title" noenhanced; set size ratio -1; set key top left
plot x with lines linecolor "gray" notitle, \
  for [i=0:$((count - 1))] "$data" index i using 1:2 with points pointtype 7 pointsize 0.6 title columnheader(1) noenhanced
GNUPLOT
      ;;
  esac
  echo "plot: $run_dir/$picture"
done <"$work/list"
