#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Layout and lints of the sources:
#   scripts/lint.sh format [--fix]     clang-format 14 over src, tests and benchmarks; --fix rewrites
#   scripts/lint.sh tidy [REVISION]    clang-tidy over the sources that changed since REVISION (default: HEAD), as build/openmp compiles them
# Exit code 77: the tool is not installed. Versions of clang-format differ in what they make of one file: 14 (Debian 12) counts.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

sources() { find src tests benchmarks -name '*.cpp' -o -name '*.hpp' | sort; }

find_tool() { # NAME: NAME-14, or NAME if it is version 14
  local tool
  for tool in "$1-14" "$1"; do
    command -v "$tool" >/dev/null && "$tool" --version | grep -q 'version 14\.' && { echo "$tool"; return; }
  done
  echo "lint: $1 14 is not installed (Debian: $1-14)" >&2
  exit 77
}

case ${1:-} in
  format)
    tool=$(find_tool clang-format)
    if [ "${2:-}" = --fix ]; then sources | xargs "$tool" -i; else sources | xargs "$tool" --dry-run -Werror; fi
    ;;
  tidy)
    tool=$(find_tool clang-tidy)
    [ -f build/openmp/compile_commands.json ] || { echo "lint: no build/openmp/compile_commands.json; run scripts/build.sh" >&2; exit 2; }
    mapfile -t changed < <({ git diff --name-only --diff-filter=d "${2:-HEAD}"; git ls-files --others --exclude-standard; } | grep -E '^(src|tests)/.*\.cpp$' | sort -u || true)
    ((${#changed[@]})) || { echo "lint: no source changed"; exit 0; }
    printf '%s\n' "${changed[@]}" | xargs -P "$(nproc)" -n 4 "$tool" -p build/openmp --quiet
    ;;
  *) sed -n '3,7s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 2 ;;
esac
