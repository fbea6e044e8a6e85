#!/usr/bin/env bash
# Tries on a real API server what the chart makes: that the server takes every object, those of the Prometheus operator
# and of KEDA by these operators' definitions; that the enricher works with exactly its rights, and the Job of the keys
# and the issuer of credentials with theirs; that upgrades are refused which lose the streams.
# TEST_API is a program that starts the server (up, prints what to eval) and stops it (down); HELM names helm.
set -euo pipefail
cd "$(dirname "$0")/../../.."
if [ -z "${TEST_API:-}" ]; then
  echo "SKIPPED: rights on a real API server; TEST_API names none" >&2
  exit 0
fi
export KT_API_ONLY_PORT=${KT_API_ONLY_PORT:-26543} KT_API_ONLY_ETCD_PORT=${KT_API_ONLY_ETCD_PORT:-23890}
trap '"$TEST_API" down' EXIT
environment=$("$TEST_API" up)
eval "$environment"

manifests=$(mktemp)
trap '"$TEST_API" down; rm -f "$manifests"' EXIT
kubectl create namespace observe
kubectl -n observe wait --for=create serviceaccount/default --timeout=60s > /dev/null # pods are refused before
"$HELM" template millrace deploy/helm/millrace --namespace observe --kube-version 1.36.0 --set exporters.otlp.endpoint=x:4317 \
  --set nats.replicas=3 --set nats.persistence.enabled=true --set dashboards.enabled=true \
  --set decoder.autoscaling.hpa.enabled=true 2> /dev/null > "$manifests"
echo "== every object, as the server checks it"
kubectl create --dry-run=server -f "$manifests" > /dev/null
# Pods of everything but capture, under the standard that the namespace then enforces.
kubectl label namespace observe pod-security.kubernetes.io/warn=restricted
if kubectl create --dry-run=server -f "$manifests" 2>&1 > /dev/null | grep 'would violate' | grep -v hostPID; then
  echo "more than capture needs privileges" >&2
  exit 1
fi
kubectl label namespace observe pod-security.kubernetes.io/warn-
kubectl apply -f "$manifests" > /dev/null

echo "== objects of operators, by the definitions that the operators install"
module() { GOWORK=off go mod download -json "$1" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p'; }
monitoring=$(module github.com/prometheus-operator/prometheus-operator@v0.92.0)/example/prometheus-operator-crd
keda=$(module github.com/kedacore/keda/v2@v2.21.0)/config/crd/bases
kubectl create -f "$monitoring/monitoring.coreos.com_servicemonitors.yaml" -f "$monitoring/monitoring.coreos.com_podmonitors.yaml" \
  -f "$monitoring/monitoring.coreos.com_prometheusrules.yaml" -f "$keda/keda.sh_scaledobjects.yaml" > /dev/null
kubectl wait --for=condition=Established --timeout=60s customresourcedefinitions --all > /dev/null
"$HELM" template millrace deploy/helm/millrace --namespace observe --kube-version 1.36.0 --set exporters.prometheus.endpoint=0.0.0.0:9400 \
  --set monitoring.serviceMonitor.enabled=true --set monitoring.podMonitor.enabled=true --set monitoring.rules.enabled=true \
  --set monitoring.rules.labels.team=a --set monitoring.podMonitor.labels.team=a --set monitoring.serviceMonitor.labels.team=a \
  --set decoder.autoscaling.keda.enabled=true --set decoder.autoscaling.keda.prometheus=http://prometheus.monitoring:9090 \
  --set enricher.autoscaling.keda.enabled=true --set enricher.autoscaling.keda.prometheus=http://prometheus.monitoring:9090 \
  --set exporter.autoscaling.keda.enabled=true --set exporter.autoscaling.keda.prometheus=http://prometheus.monitoring:9090 \
  > "$manifests"
of_operators() { kubectl create --dry-run=server --validate=strict -f "$manifests" 2>&1 | grep -cE '^(servicemonitor|podmonitor|prometheusrule|scaledobject)\..* created'; }
if [ "$(of_operators)" != 8 ]; then
  kubectl create --dry-run=server --validate=strict -f "$manifests" >&2 || true
  echo "of 8 objects of operators $(of_operators) are taken" >&2
  exit 1
fi
sed -i 's/^\( *\)podMetricsEndpoints:/\1podMetricEndpoints:/; s/^\( *\)maxReplicaCount: .*/\1maxReplicaCount: many/; s/^\( *\)groups:/\1rules:/' "$manifests"
if [ "$(of_operators)" != 1 ]; then # The ServiceMonitor alone was left as it is.
  echo "objects with mistakes in them are taken" >&2
  exit 1
fi

export TEST_RIGHTS_KUBECONFIG=$KUBECONFIG
echo "== the enricher with the rights of the chart, and with fewer"
(cd services/enricher && go test -count=1 -run '^TestRights$' ./internal/kube)
echo "== the keys and the issuer of credentials"
(cd cmd/millrace && go test -count=1 -run '^TestReal' ./internal/release)

echo "== what servers that run cannot become"
servers=(mr deploy/helm/millrace --namespace servers --no-hooks --set nats.persistence.enabled=true)
"$HELM" install "${servers[@]}" --create-namespace > /dev/null
refused() {
  local want=$1 said
  shift
  if said=$("$HELM" upgrade "${servers[@]}" "$@" 2>&1) || ! grep -qF "$want" <<< "$said"; then
    printf 'helm upgrade %s: %s\nwant: %s\n' "$*" "$said" "$want" >&2
    exit 1
  fi
}
refused "nats.replicas=3, and 1 run" --set nats.replicas=3
refused "config.bus.partitions=16, and streams were made with 32" --set config.bus.partitions=16
refused "nats.storage=memory, and streams were made with file" --set nats.persistence.enabled=false --set nats.storage=memory
refused "nats.persistence.enabled=false" --set nats.persistence.enabled=false
refused "nats.persistence.size=8Gi, and volumes have 4Gi" --set nats.persistence.size=8Gi
refused "nats.persistence.storageClass=fast" --set nats.persistence.storageClass=fast
"$HELM" upgrade "${servers[@]}" --set nats.persistence.size=4096Mi --set decoder.replicas=2 > /dev/null
