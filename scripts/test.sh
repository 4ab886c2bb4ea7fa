#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds everything and runs all tests:
#   scripts/test.sh [PRESET] [-DCMAKE_OPTION=VALUE ...] [ctest arguments ...]      e.g. scripts/test.sh asan -L io
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
preset=openmp
case ${1:-} in
  openmp | serial | cuda | hip | device | debug | asan | tsan) preset=$1; shift ;;
esac
options=()
while [[ ${1:-} == -D*=* ]]; do options+=("$1"); shift; done

scripts/build.sh "$preset" "${options[@]}"
if [ ! -d "${GNN_HPC_SHARED:-$root/../shared}" ]; then
  echo "test: the reference material (GNN_HPC_SHARED, default ../shared) is not here; the tests that need it are skipped"
fi
# The tests that did not run are listed by ctest after its summary; here they come first, so that the summary is the end.
report=$root/build/$preset/ctest.txt
status=0
ctest --test-dir "build/$preset" --output-on-failure --no-label-summary --output-junit "$root/build/$preset/ctest.xml" \
  -j "${GNN_HPC_JOBS:-$(nproc)}" "$@" </dev/null 2>&1 | tee "$report" || status=$?
sed -n '/^The following tests did not run:/,/^$/p' "$report"
grep -E '^[0-9]+% tests passed|^No tests were found' "$report"
exit "$status"
