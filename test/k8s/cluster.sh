#!/usr/bin/env bash
# cluster.sh FOLDER : the tests of this folder on a cluster that FOLDER/up.sh makes on this machine, with nodes that share
# its kernel, and that FOLDER/down.sh removes. The cluster's programs have to be built: FOLDER/build.sh.
set -euo pipefail
cluster=${1:?usage: cluster.sh FOLDER}
cd "$(dirname "$0")/../.."
trap '"$cluster/down.sh"' EXIT
KT_NODES=${KT_NODES:-2} "$cluster/up.sh"
. "${KT_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/kt}/run/env"
K8S_LOAD=$cluster/load-image.sh K8S_SHARED_KERNEL=1 make --no-print-directory e2e-k8s
