#!/usr/bin/env bash
# Fails when a line of a comment or of a document is wider than 120 columns. Tables, code blocks and generated files may
# be wider.
set -euo pipefail
cd "$(dirname "$0")/.."

git ls-files -- '*.go' '*.c' '*.h' '*.proto' '*.md' |
  grep -vE '\.pb\.go$|_vtproto\.pb\.go$|^docs/(configuration|permissions|benchmarks|benchmarks-stages|benchmarks-rooms|accuracy)\.md$' |
  xargs awk '
    FNR == 1 { code = 0; document = FILENAME ~ /\.md$/ }
    document && /^ *```/ { code = !code }
    length($0) <= 120 || code || document && /^(\||    )/ { next }
    document || /^[ \t]*(\/\/|\*|\/\*)[^=]/ && !/^[ \t]*\*\(?[a-z_*]+/ { print FILENAME ":" FNR ": wider than 120 columns"; bad = 1 }
    END { exit bad }
  '
