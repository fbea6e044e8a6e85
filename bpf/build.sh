#!/bin/bash
# build.sh [check] : compile the kernel side for every architecture, into objects/. With `check`, compile elsewhere and fail
# if the result differs from what is committed. Needs clang, llvm-strip and libbpf's headers, no kernel headers and no BTF.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

CLANG=${CLANG:-clang-16} STRIP=${STRIP:-llvm-strip-16}
out=objects
if [ "${1:-}" = check ]; then
  out=$(mktemp -d)
  trap 'rm -rf "$out"' EXIT
fi
status=0
for source in *.bpf.c; do
  name=${source%.bpf.c}
  for arch in amd64 arm64; do
    object=${name}_$arch.o
    target=${arch/amd64/x86}
    # Paths are left out of the debug information so that objects do not depend on where the tree is.
    "$CLANG" -O2 -g -Wall -Wextra -Wno-unused-parameter -Wno-sign-compare -Werror -target bpf -mcpu=v3 \
      -D__TARGET_ARCH_$target -ffile-prefix-map="$PWD"=. -I. -c "$source" -o "$out/$object"
    "$STRIP" -g "$out/$object"
    if [ "$out" != objects ] && ! cmp -s "$out/$object" "objects/$object"; then
      echo "bpf/objects/$object is not what $source compiles to: run bpf/build.sh and commit the result" >&2
      status=1
    fi
  done
done
exit $status
