#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Draws RUN_DIR/learning_curve.png from metrics.csv, RUN_DIR/parity*.png (one per target) or, of classes, RUN_DIR/confusion*.png (test part, else all) from
# predictions.csv and summary.json, and RUN_DIR/sweep.png from sweep.csv (the finished points, the best one in colour):
#   scripts/plot.sh RUN_DIR
# Columns are found by their names. Without gnuplot it says so and succeeds: pictures are an extra.
#
# Names of columns come from the user's data and may hold anything: gnuplot runs what stands in backquotes of a program, and takes a file
# name that begins with < or | for a command. So no program text is made here: names reach gnuplot as arguments (ARGV, never read as
# program) and are drawn without markup, and it works in a folder of its own on files that this script named.
set -euo pipefail

run_dir=${1:?usage: scripts/plot.sh RUN_DIR}
[ -d "$run_dir" ] || { printf 'plot: no folder %q\n' "$run_dir" >&2; exit 2; }
if ! command -v gnuplot >/dev/null; then
  echo "plot: gnuplot is not installed (Debian: gnuplot-nox); no pictures are drawn"
  exit 0
fi
run_dir=$(cd -- "$run_dir" && pwd)
export LC_ALL=C.UTF-8 # names are UTF-8, whatever the user's locale; without one gnuplot complains of its own degree sign
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# CSV with quoted fields -> columns of numbers. Writes $work/list, fields that end with a zero byte, per picture:
#   KIND DATA PICTURE NUMBER TEXTS
# each text ends with a unit separator (31), which no name that is shown has: gnuplot takes nine arguments and passes over others.
python3 - "$run_dir" "$work" <<'PYTHON'
import csv, json, math, os, re, sys, unicodedata
run_dir, work = sys.argv[1:3]

def rows(name):
    path = os.path.join(run_dir, name)
    if not os.path.exists(path):
        return []
    csv.field_size_limit(1 << 28)
    with open(path, newline="", encoding="utf-8", errors="replace") as file:
        return list(csv.DictReader(file))

def summary():
    try:
        with open(os.path.join(run_dir, "summary.json"), encoding="utf-8", errors="replace") as file:
            return json.load(file)
    except (OSError, ValueError):
        return {}

def number(text):
    try:
        return float(text)
    except (TypeError, ValueError):
        return math.nan

def shown(name, longest=70):
    """One line of a picture: no control characters, not longer than the picture."""
    text = "".join(c if unicodedata.category(c)[0] != "C" else c.encode("unicode_escape").decode() for c in name)
    return text if len(text) <= longest else text[:longest - 3] + "..."

def unit_of(name):
    """`E (eV/atom)` and `E [eV/atom]` -> ` eV/atom`: labels and their errors have the unit that the column's name tells."""
    found = re.search(r"[(\[]([^()\[\]]+)[)\]]\s*$", name)
    return " " + shown(found.group(1), 20) if found else ""

def errors(pairs, name):
    """Of the points that are drawn: MAE, RMSE, R2."""
    n = len(pairs)
    mean = sum(t for t, _ in pairs) / n
    squared, spread = sum((p - t) ** 2 for t, p in pairs), sum((t - mean) ** 2 for t, _ in pairs)
    text = f"MAE {sum(abs(p - t) for t, p in pairs) / n:.4g}{unit_of(name)}, RMSE {math.sqrt(squared / n):.4g}{unit_of(name)}"
    return text + (f", R2 {1 - squared / spread:.3f}" if spread > 0 else "")

def scores(part, name, pairs):
    known = summary_.get("parts", {}).get(part, {}).get("targets", {}).get(name, {})
    if "accuracy" not in known:
        return errors(pairs, name)
    return ", ".join(f"{word} {known[key]:.3f}" for word, key in (("accuracy", "accuracy"), ("F1", "f1"), ("ROC AUC", "roc_auc"))
                     if isinstance(known.get(key), (int, float)))

pictures, summary_ = [], summary()
metrics = rows("metrics.csv")
if metrics and "epoch" in metrics[0]:
    columns = [c for c in ("train_loss", "val_loss") if c in metrics[0]] + [c for c in metrics[0] if c and c.startswith("val_mae")]
    with open(os.path.join(work, "curve.dat"), "w") as file:
        for row in metrics:
            file.write(" ".join(f"{number(row[c]):.9g}" for c in ["epoch", *columns]) + "\n")
    pictures.append(["curve", "curve.dat", "learning_curve.png", [shown(c, 40) for c in columns]])

names = list(dict.fromkeys(t for part in summary_.get("parts", {}).values() for t in part.get("targets", {})))
groups = {}  # name -> part -> pairs
labels = {}  # name of a target of classes -> part -> pairs of words
for row in rows("predictions.csv"):
    # One target: columns target, prediction, and its name stands in summary.json. Several: target_<name>, prediction_<name> each.
    for column in [c for c in row if c and (c == "target" or c.startswith("target_"))]:
        name = column[len("target_"):] if column != "target" else names[0] if len(names) == 1 else "target"
        of_classes = any(c and c.startswith("probability" + column[len("target"):] + "_") for c in row)
        if of_classes and row[column] and row.get("prediction" + column[len("target"):]):
            labels.setdefault(name, {}).setdefault(row.get("split") or "all", []).append((row[column], row["prediction" + column[len("target"):]]))
        if of_classes:
            continue
        pair = (number(row[column]), number(row.get("prediction" + column[len("target"):])))
        if not (math.isnan(pair[0]) or math.isnan(pair[1])):
            groups.setdefault(name, {}).setdefault(row.get("split") or "all", []).append(pair)
def file_name(kind, name, several, number, used):
    picture = kind + ("_" + re.sub(r"[^A-Za-z0-9_.-]", "_", name)[:100] if several else "")
    if picture in used:
        picture += f"_{number}"
    used.add(picture)
    return picture + ".png"

used = set()
for i, (name, parts) in enumerate(labels.items()):
    part = "test" if "test" in parts else sorted(parts)[0]
    pairs = parts[part]
    classes = sorted({word for pair in pairs for word in pair}, key=lambda w: (math.isnan(number(w)), 0 if math.isnan(number(w)) else number(w), w))
    if len(classes) > 60:  # more than a picture can name
        continue
    with open(os.path.join(work, f"confusion{i}.dat"), "w") as file:
        for y, truth in enumerate(classes):
            for x, guess in enumerate(classes):
                file.write(f"{x} {y} {sum(1 for pair in pairs if pair == (truth, guess))}\n")
    hits = sum(t == p for t, p in pairs)
    title = f"{name}: {part}, {hits} of {len(pairs)} right"
    pictures.append(["confusion", f"confusion{i}.dat", file_name("confusion", name, len(labels) > 1, i, used),
                     [shown(title), *(shown(word, 24) for word in classes)]])
for i, (name, parts) in enumerate(groups.items()):
    data, legend = f"parity{i}.dat", []
    with open(os.path.join(work, data), "w") as file:
        for part in sorted(parts, key=lambda s: ({"train": 0, "validation": 1, "test": 2}.get(s, 3), s)):
            file.write("".join(f"{t:.9g} {p:.9g}\n" for t, p in parts[part]) + "\n\n")
            legend.append(shown(f"{part} ({len(parts[part])}): {scores(part, name, parts[part])}", 100))
    pictures.append(["parity", data, file_name("parity", name, len(groups) > 1, i, used), [shown(name) + ", known", shown(name) + ", predicted", *legend]])

points = [p for p in rows("sweep.csv") if not math.isnan(number(p.get("best_validation")))][:200]  # as many as a picture can name
if points:
    with open(os.path.join(work, "sweep.dat"), "w") as file:
        for best in (False, True):  # two blocks, each of a line at least, if only of a bar without length
            shares = [(i, number(p["best_validation"])) for i, p in enumerate(points) if (p.get("best") == "best") == best]
            file.write("".join(f"{i} {value:.9g}\n" for i, value in shares or [(0, 0.0)]) + "\n\n")
    pictures.append(["sweep", "sweep.dat", "sweep.png", [shown(p["folder"], 80) for p in points]])

with open(os.path.join(work, "list"), "wb") as file:
    for kind, data, picture, texts in pictures:
        for field in (kind, data, picture, str(len(texts)), "".join(text + "\x1f" for text in texts)):
            file.write(field.encode("utf-8", "replace") + b"\0")
PYTHON

# ARGV[1]: data, ARGV[2]: picture, ARGV[3]: number of texts, ARGV[4]: the texts.
cat >"$work/common.gp" <<'GNUPLOT'
set encoding utf8
set terminal pngcairo noenhanced size 900,700; set grid; set tics out; set border 3; set tics nomirror
first_end(s) = strstrt(s, "\037")
nth(s, n) = n == 1 ? s[1:first_end(s)-1] : nth(s[first_end(s)+1:*], n-1)
named(n) = nth(ARGV[4], n)
GNUPLOT
cat >"$work/curve.gp" <<'GNUPLOT'
load "common.gp"; set output ARGV[2]; count = int(ARGV[3])
set key top right
set xlabel "epoch"; set ylabel "loss, error"; set logscale y; set format y "%g"
plot for [i=1:count] ARGV[1] using 1:(column(i+1)) with linespoints linewidth 2 pointtype 7 pointsize 0.4 title named(i) noenhanced
GNUPLOT
cat >"$work/sweep.gp" <<'GNUPLOT'
load "common.gp"; count = int(ARGV[3])
set terminal pngcairo noenhanced size 1100,140+26*count; set output ARGV[2]
set xlabel "best validation value of the metric that decides"; set style fill solid 0.8; set key above
set yrange [count-0.4:-0.6]; set ytics () noenhanced
do for [i=1:count] { set ytics add (named(i) i-1) }
plot ARGV[1] index 0 using 2:1:(0):2:($1-0.35):($1+0.35) with boxxyerror linecolor "gray" notitle, \
  ARGV[1] index 1 using 2:1:(0):2:($1-0.35):($1+0.35) with boxxyerror linecolor "#1f77b4" title "best"
GNUPLOT
cat >"$work/parity.gp" <<'GNUPLOT'
load "common.gp"; set output ARGV[2]; count = int(ARGV[3])
set xlabel named(1) noenhanced; set ylabel named(2) noenhanced; set size ratio -1; set key outside top center vertical maxrows 4
plot x with lines linecolor "gray" notitle, \
  for [i=3:count] ARGV[1] index i-3 using 1:2 with points pointtype 7 pointsize 0.6 title named(i) noenhanced
GNUPLOT
cat >"$work/confusion.gp" <<'GNUPLOT'
load "common.gp"; count = int(ARGV[3]) - 1
set terminal pngcairo noenhanced size 420+45*count,360+45*count; set output ARGV[2]; unset grid
set title named(1) noenhanced; set xlabel "predicted"; set ylabel "known"; set size ratio -1; unset key
set xrange [-0.5:count-0.5]; set yrange [count-0.5:-0.5]; set xtics rotate by -40 () noenhanced; set ytics () noenhanced
do for [i=1:count] { set xtics add (named(i+1) i-1); set ytics add (named(i+1) i-1) }
set palette defined (0 "white", 1 "#1f77b4"); set cbrange [0:*]; unset colorbox
plot ARGV[1] using 1:2:3 with image, ARGV[1] using 1:2:(sprintf("%d", $3)) with labels notitle
GNUPLOT

while IFS= read -r -d '' kind && IFS= read -r -d '' data && IFS= read -r -d '' picture && IFS= read -r -d '' count && IFS= read -r -d '' texts; do
  (cd "$work" && gnuplot -c "$kind.gp" "$data" "$picture" "$count" "$texts")
  mv -- "$work/$picture" "$run_dir/$picture"
  printf 'plot: %s\n' "$run_dir/$picture"
done <"$work/list"
