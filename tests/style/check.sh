#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What the compiler cannot see: tests/style/check.sh {includes|systems|backends|headers|addresses|paths}, run by ctest on the source tree.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

# Each rule prints the lines that break it.
includes() { # each folder knows those before it; a system knows no other (models/protein is none), and nobody but the table knows one
  local folders=(base io graph nn dataset train verify models cli) right i model name
  for i in "${!folders[@]}"; do
    right=$(IFS='|'; echo "${folders[*]:i+1}")
    [ -z "$right" ] || grep -rnE "#include \"($right)/" "src/${folders[i]}" || true
  done
  for model in src/models/*/; do
    name=$(basename "$model")
    grep -rnE '#include "models/[^/"]+/' "$model" | grep -vE "#include \"models/($name|protein)/" || true
  done
  grep -rnE '#include "(nn|train)/' src/dataset || true # beside nn, not on top of it
  grep -rnE '#include "models/[^"]*/' src/cli src/models/*.?pp || true
}

systems() { # what the systems share names none of them: the table in src/models/systems.cpp does
  local names
  names=$(sed -nE 's/^set\(systems (.*)\)$/\1/p' src/models/CMakeLists.txt | tr ' ' '|')
  [ -n "$names" ] || echo "src/models/CMakeLists.txt: no line set(systems ...)"
  grep -rnE "($names)" src/dataset src/train src/verify src/cli scripts || true
}

backends() { # only src/base/config.hpp names one
  local pattern='KOKKOS_ENABLE_|Kokkos::(Experimental::)?(Cuda|HIP|OpenMP|Serial|Threads|SYCL)'
  pattern+='|__(CUDA|HIP|NVCC|SYCL)|_OPENMP|#pragma omp|\bomp_[a-z_]+\(|\b(cuda|hip)[A-Z][A-Za-z]+\('
  grep -rnE "$pattern" src tests --include='*.hpp' --include='*.cpp' | grep -v '^src/base/config.hpp:' || true
}

headers() {
  local file
  while IFS= read -r file; do
    head -n 1 "$file" | grep -q 'SPDX-License-Identifier: Apache-2.0' || echo "$file: the first line is not the SPDX line"
    [[ $file != *.hpp ]] || grep -q '^#pragma once' "$file" || echo "$file: no #pragma once"
  done < <(find src tests -name '*.hpp' -o -name '*.cpp')
}

addresses() { # taking the address of an element reads the View, and the host may not read device memory: row_elements() computes it
  grep -rnE 'View[123]<[^>]*>\(&' src --include='*.hpp' --include='*.cpp' || true
}

paths() { # what the documentation names is there; NAME stands for any
  local file name
  grep -roE '`(src|tests|scripts|cmake|benchmarks|docs)/[A-Za-z0-9_./{},-]+\.[a-z{},]+`' README.md CONTRIBUTING.md docs tests/reference/README.md --include='*.md' |
    grep -v NAME | tr -d '`' | while IFS=: read -r file name; do
    for name in $(eval "echo $name"); do [ -e "$name" ] || echo "$file: names $name, which is not there"; done
  done
}

lines=$("${1:?usage: check.sh includes|systems|backends|headers|addresses|paths}")
[ -z "$lines" ] || { echo "rule '$1' is broken by:"; echo "$lines"; exit 1; }
