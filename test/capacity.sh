#!/usr/bin/env bash
# What one request costs: bytes on each stream and processor time of each service, from processes of their own and an external NATS server with
# files. The load is HTTP over loopback with both ends observed. Writes a table for docs/operations.md. Takes about 50 s; needs root.
#   test/capacity.sh [REQUESTS] [CONCURRENCY] [PARTITIONS]
set -euo pipefail
requests=${1:-60000} concurrency=${2:-8} partitions=${3:-32}
cd "$(dirname "$0")"
work=$(mktemp -d)
pids=()
finish() {
  for pid in "${pids[@]}"; do kill "$pid" 2> /dev/null || true; done
  wait
  rm -rf "$work"
}
trap finish EXIT
go build -o "$work/" ./apps/edge ./apps/loadgen github.com/nats-io/nats-server/v2 millrace.dev/cmd/millrace
base=$((20000 + RANDOM % 10000))
cat > "$work/nats.conf" << END
listen: 127.0.0.1:$base
http: 127.0.0.1:$((base + 1))
max_payload: 8MB
jetstream { store_dir: "$work/jetstream", max_file_store: 8GB, max_memory_store: 1GB }
END
"$work/nats-server" -c "$work/nats.conf" > "$work/nats.log" 2>&1 &
pids+=($!)
"$work/edge" -listen "127.0.0.1:$((base + 2))" > "$work/edge.log" 2>&1 &
pids+=($!)
sleep 1
names=(capture decoder enricher exporter)
services=()
for name in "${names[@]}"; do
  cat > "$work/$name.yaml" << END
bus: {url: "nats://127.0.0.1:$base", storage: file, max_bytes: 512MiB, partitions: $partitions}
discovery: {services: [{name: edge, open_ports: "$((base + 2))"}]}
END
  if [ "$name" = exporter ]; then echo "exporters: {file: {path: $work/spans.jsonl}}" >> "$work/$name.yaml"; fi
  "$work/millrace" "$name" --config "$work/$name.yaml" > "$work/$name.log" 2>&1 &
  services+=($!)
done
services+=("${pids[0]}") # NATS
pids+=("${services[@]}")
sleep 6
ticks() { for pid in "${services[@]}"; do awk '{printf "%d ", $14 + $15}' "/proc/$pid/stat"; done; }
streams() { curl -sf "http://127.0.0.1:$((base + 1))/jsz?streams=1"; }
streams > "$work/before.json"
idle=$(ticks)
sleep 10
before=$(ticks)
"$work/loadgen" -url "http://127.0.0.1:$((base + 2))/cart/items" -concurrency "$concurrency" -count "$requests" -id r- > "$work/load.json"
sleep 8 # until the last trace is decided and written
after=$(ticks)
streams > "$work/after.json"
memory=$(for pid in "${services[@]}"; do awk '/VmHWM/ {printf "%d ", $2}' "/proc/$pid/status"; done)
python3 - "$work" "$requests" "$partitions" "$idle" "$before" "$after" "$memory" "$(getconf CLK_TCK)" "$(uptime | sed 's/.*average: //')" << 'END'
import json, sys
work, requests, partitions = sys.argv[1], int(sys.argv[2]), sys.argv[3]
idle, before, after, memory = [[int(x) for x in a.split()] for a in sys.argv[4:8]]
hertz, load = int(sys.argv[8]), json.load(open(work + "/load.json"))
def streams(name):
    d = json.load(open(f"{work}/{name}.json"))
    return {s["name"]: s["state"] for a in d["account_details"] for s in a["stream_detail"]}
first, last = streams("before"), streams("after")
spans = open(work + "/spans.jsonl").read().count('"spanId"')
seconds = load["seconds"] + 8
print(f'{load["requests"]} requests at {load["rate"]:.0f}/s, {partitions} partitions, {spans} spans; load average {sys.argv[9]}\n')
print("| stream | messages | bytes a request |\n|---|---|---|")
for name in ("MILLRACE_RAW", "MILLRACE_EXCHANGE", "MILLRACE_SPAN", "MILLRACE_METRIC", "KV_millrace_checkpoints"):
    if name in last:
        m, b = (last[name][k] - first[name][k] for k in ("messages", "bytes"))
        print(f"| {name} | {m} | {b / requests:.0f} |" if name[0] == "M" else f"| {name} | | {last[name]['bytes']} in all |")
print("\n| process | s of CPU per 1,000,000 requests | the same without what it takes when idle | idle, share of a core | peak memory |\n|---|---|---|---|---|")
for i, name in enumerate(("capture", "decoder", "enricher", "exporter, file", "NATS, one node")):
    rest = (before[i] - idle[i]) / 10  # ticks a second
    used = after[i] - before[i]
    per = lambda ticks: ticks / hertz / requests * 1e6
    print(f"| {name} | {per(used):.1f} | {per(max(0, used - rest * seconds)):.1f} | {rest / hertz * 100:.1f} % | {memory[i] / 1024:.0f} MB |")
END
