#!/usr/bin/env bash
# Runs every fuzz target of every module for FUZZTIME each: a time (default 30s), or a number of runs ("2000x"). Numbers are for CI: a time
# that ends while the fuzzer minimises is reported as a failure ("context deadline exceeded"). FUZZJOBS packages (default: one for each
# processor) are built and fuzzed at once, each with one worker: linking, which is most of a short run, uses one processor only.
set -euo pipefail
cd "$(dirname "$0")/.."
export FUZZTIME=${FUZZTIME:-30s}
export WORK
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT

# package builds the tests of a package with the fuzzer's instrumentation and runs its targets one after the other. What it prints comes at
# its end, so that the lines of two packages do not mix.
package() {
  local directory=$1 binary cache log
  binary=$WORK/${directory//\//_}.test log=$WORK/${directory//\//_}.log
  cache=$(go env GOCACHE)/fuzz/$directory
  mkdir -p "$cache"
  local status=0
  (
    cd "$directory" || exit 1
    go test -c -fuzz . -o "$binary" . || exit 1 # Bash does not stop at an error here, left of "||".
    grep -hoE '^func Fuzz[A-Za-z0-9_]+' ./*_test.go | sed 's/func //' | sort | while read -r target; do
      echo "== $directory $target ($FUZZTIME)"
      "$binary" -test.run '^$' -test.fuzz "^$target\$" -test.fuzztime "$FUZZTIME" -test.fuzzminimizetime 1s -test.parallel 1 \
        -test.fuzzcachedir "$cache" || exit 1
    done
  ) > "$log" 2>&1 || status=$?
  cat "$log"
  rm -f "$binary"
  return "$status"
}
export -f package

found=$(grep -rhoE --include='*_test.go' '^func Fuzz[A-Za-z0-9_]+' . | wc -l)
grep -rlE --include='*_test.go' '^func Fuzz' . | xargs -n 1 dirname | sort -u |
  xargs -P "${FUZZJOBS:-$(nproc)}" -I {} bash -euo pipefail -c 'package {}'
echo "$found fuzz targets"
[ "$found" -gt 0 ]
