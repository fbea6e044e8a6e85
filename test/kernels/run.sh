#!/bin/bash
# run.sh [VERSION...] : the kernel side's tests on other kernels. Prints a Markdown table; exits with 1 if a kernel failed.
#
# TEST_VM names a script that runs a static program as root on a kernel: `$TEST_VM VERSION PROGRAM ARGUMENT...`, with the
# program's output on stdout and its exit status. Default versions: 5.10 6.1 6.12 newest. The log of each goes to build/kernels/.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

: "${TEST_VM:?set it to a script that runs a program on another kernel: SCRIPT VERSION PROGRAM ARGUMENT...}"
[ $# -gt 0 ] || set -- 5.10 6.1 6.12 newest
tests=${TEST_VM_RUN:-'^(TestFeatures|TestHTTP|TestBothEndsAgree|TestEnds|TestFinWithData|TestUnixSockets|TestURing|TestRetransmissions|TestCrowd|TestManyMessages|TestProcessesAndTasks|TestJoinedBeforeItIsKnown|TestArrivals|TestArrivalAtOpening|TestArrivalsWrap|TestArrivalsUnderLoss|TestUnsent)$'}
# Emulation is slow, and slower beside other work. Most of it is the verifier of 5.10: it follows some 160,000 steps for
# each loading of the programs, which takes minutes there and a quarter of a second on a machine.
export VM_TIMEOUT=${VM_TIMEOUT:-1500}
logs=build/kernels
mkdir -p "$logs"
(cd services/capture && CGO_ENABLED=0 go test -c -o "../../$logs/kernel.test" ./internal/kernel)

status=0
echo "| kernel | HTTP exchange, same ids at both ends | tests passed | failed | skipped | not available |"
echo "|---|---|--:|--:|--:|---|"
for version in "$@"; do
  log=$logs/$version.log
  if "$TEST_VM" "$version" "$logs/kernel.test" -test.v -test.timeout 1480s -test.run "$tests" > "$log" 2> "$log.err"; then
    ended=0
  else
    ended=$? status=1
  fi
  count() { grep -c "^ *--- $1:" "$log" || true; }
  release=$(sed -n 's/.*kernel release: \([^ ]*\).*/\1/p' "$log" | head -1)
  http=no
  grep -q '^--- PASS: TestHTTP ' "$log" && http=yes
  missing=$(sed -n 's/.*not available: \([^(]*\) (.*/\1/p' "$log" | sort -u | paste -sd, | sed 's/,/, /g' | tr -d '\r')
  echo "| ${release:-$version} | $http | $(count PASS) | $(count FAIL) | $(count SKIP) | ${missing:--} |"
  [ "$ended" = 0 ] || echo "$version ended with $ended; see $log" >&2
done
exit $status
