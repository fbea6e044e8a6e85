#!/usr/bin/env bash
# Starts a small polyglot shop on the loopback - Node.js front end, Python catalogue, Go basket and prices, Redis, a user - and Millrace
# beside it. Ends all of it when Millrace ends. DEMO_SECONDS ends it by itself; arguments after the program go to `millrace run`.
set -euo pipefail
millrace=$1
shift
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=$(mktemp -d)
pids=()
finish() {
  for pid in "${pids[@]}"; do kill "$pid" 2> /dev/null || true; done
  wait 2> /dev/null || true
  rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

echo "building the demo's services"
(cd "$here" && CGO_ENABLED=0 go build -o "$work/" ./cart ./pricing ./shopper)
start() { "$@" > "$work/log" 2>&1 & pids+=($!); }

start redis-server --port 16379 --bind 127.0.0.1 --save '' --dir "$work"
start "$work/pricing" 127.0.0.1:18083
start "$work/cart" 127.0.0.1:18082 127.0.0.1:16379
start python3 "$here/catalog.py" 127.0.0.1:18081 127.0.0.1:18083
if command -v node > /dev/null; then
  start node "$here/frontend.js" 127.0.0.1:18080 http://127.0.0.1:18081 http://127.0.0.1:18082
else
  echo "node is not installed: the front end is missing" >&2
  exit 1
fi
for port in 16379 18080 18081 18082 18083; do
  for _ in $(seq 50); do
    (exec 3<> "/dev/tcp/127.0.0.1/$port") 2> /dev/null && break
    sleep 0.1
  done
done
start "$work/shopper" -url http://127.0.0.1:18080 -rate "${DEMO_RATE:-20}"

if [ -n "${DEMO_SECONDS:-}" ]; then
  timeout --foreground --signal=INT "$DEMO_SECONDS" "$millrace" run "$@" || [ $? = 124 ]
else
  "$millrace" run "$@"
fi
