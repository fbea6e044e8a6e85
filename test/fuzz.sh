#!/usr/bin/env bash
# Runs every fuzz target of every module for FUZZTIME (default 30s) each.
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
