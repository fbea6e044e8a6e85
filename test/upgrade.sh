#!/usr/bin/env bash
# Replaces an older version by this one under load: builds the millrace of the commit OLD beside this tree and runs TestUpgrade*.
set -euo pipefail
cd "$(dirname "$0")/.."
old=$(git rev-parse --verify "${OLD:?OLD names the commit of the older version}^{commit}")
beside=$(mktemp -d)
trap 'git worktree remove --force "$beside/tree" 2> /dev/null || true; rm -rf "$beside"' EXIT
git worktree add --quiet --detach "$beside/tree" "$old"
(cd "$beside/tree/cmd/millrace" && CGO_ENABLED=0 go build -trimpath -o "$beside/millrace" .)
cd test
MILLRACE_OLD=$beside/millrace go test -count=1 -timeout 20m -v -run '^TestUpgrade' ./chaos -args -chaos.duration=5s
