#!/usr/bin/env bash
# Runs every fuzz target of every module for FUZZTIME each: a time (default 30s), or a number of runs ("2000x"). Numbers are for CI: a time
# that ends while the fuzzer minimises is reported as a failure ("context deadline exceeded").
set -euo pipefail
cd "$(dirname "$0")/.."
fuzztime=${FUZZTIME:-30s}
found=0
while IFS=: read -r file target; do
  found=$((found + 1))
  echo "== $file $target ($fuzztime)"
  (cd "$(dirname "$file")" && go test -run '^$' -fuzz "^$target\$" -fuzztime "$fuzztime" -fuzzminimizetime 1s -parallel 2 .)
done < <(grep -rHoE --include='*_test.go' '^func (Fuzz[A-Za-z0-9_]+)' . | sed -E 's/:func /:/' | sort)
echo "$found fuzz targets"
[ "$found" -gt 0 ]
