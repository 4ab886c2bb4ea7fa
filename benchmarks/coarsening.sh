#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Time of pooling's coarse edges against the size of the batch: a table, and a picture if gnuplot is there.
#   benchmarks/coarsening.sh MOLECULES.csv OUTPUT.svg [key=value ...]
# The first 32, 64, ... molecules of the file, top 3 clusters an atom and dense. Environment: GNN_HPC_PROGRAM (build/openmp/gnn_hpc).
set -euo pipefail

if (($# < 2)); then
  sed -n '3,5s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
  exit 2
fi
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
program=${GNN_HPC_PROGRAM:-$root/build/openmp/gnn_hpc}
molecules=$1 picture=$2
shift 2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
rows=$(($(wc -l <"$molecules") - 1))
for topk in 3 0; do
  printf 'topk %d: molecules, atoms, edges, clusters, coarse edges, milliseconds\n' $topk
  for ((batch = 32; batch <= rows; batch *= 2)); do
    "$program" bench "$root/inputs/dmpnn_diffpool_egc.yaml" --what coarsen --batch $batch --repeat 20 "data.path=$molecules" \
      "data.cache_dir=$work/cache" "run.dir=$work/run" model.diffpool_topk=$topk "$@" 2>"$work/messages" >"$work/json" || { cat "$work/messages" >&2; exit 1; }
    python3 -c 'import json, sys; j = json.load(open(sys.argv[1])); print(j["graphs"], j["nodes"], j["edges"], j["clusters"], j["coarse_edges"],
                "%.4f" % (1e3 * j["median_seconds"]))' "$work/json" | tee -a "$work/topk$topk.dat"
  done
done
if ! command -v gnuplot >/dev/null; then
  echo "coarsening: gnuplot is not installed; no picture is drawn"
  exit 0
fi
gnuplot <<GNUPLOT
set terminal svg size 760,520 background "white"; set output "$picture"
set logscale xy; set grid; set key top left; set format y "%g"
set xlabel "atoms in the batch"; set ylabel "coarse edges and their features, ms"
plot "$work/topk3.dat" using 2:6 with linespoints pointtype 7 title "top 3 clusters an atom", \
  "$work/topk0.dat" using 2:6 with linespoints pointtype 5 title "dense: all clusters", \
  "$work/topk3.dat" using 2:(3e-4*\$2) with lines dashtype 2 linecolor "gray" title "0.3 us an atom"
GNUPLOT
echo "coarsening: $picture"
