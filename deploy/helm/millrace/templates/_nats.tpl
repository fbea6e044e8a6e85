{{- /* The configuration of a NATS server. Credentials and certificates are beside it, in files of the Secret. */ -}}
{{- define "millrace.natsConf" -}}
{{- $name := include "millrace.fullname" . -}}
{{- $peers := printf "%s-nats-peers.%s.svc" $name .Release.Namespace -}}
{{- $memory := eq .Values.nats.storage "memory" -}}
{{- $need := include "millrace.storage" . | int64 -}}
server_name: $POD_NAME
listen: "0.0.0.0:4222"
# For probes. It has no authentication: the NetworkPolicy lets nobody else reach it.
http: "0.0.0.0:8222"
# A batch is 64 KiB; one with a large event in it is larger.
max_payload: 8MB
write_deadline: "10s"
jetstream {
  store_dir: "/data/jetstream"
  {{- if $memory }}
  max_memory_store: {{ $need }}
  max_file_store: 16777216
  {{- else }}
  max_memory_store: 16777216
  max_file_store: {{ include "millrace.bytes" .Values.nats.persistence.size }}
  {{- end }}
}
tls {
  {{- include "millrace.natsTLS" . | nindent 2 }}
}
include "accounts.conf"
{{- if gt (int .Values.nats.replicas) 1 }}
cluster {
  name: {{ $name | quote }}
  listen: "0.0.0.0:6222"
  # Clients use the Service, and no addresses of pods.
  no_advertise: true
  routes: [
    {{- range $i := until (int .Values.nats.replicas) }}
    "nats-route://{{ $name }}-nats-{{ $i }}.{{ $peers }}:6222"
    {{- end }}
  ]
  tls {
    {{- include "millrace.natsTLS" . | nindent 4 }}
  }
}
{{- end }}
{{- end -}}

{{- define "millrace.natsTLS" -}}
cert_file: "/etc/nats/tls/tls.crt"
key_file: "/etc/nats/tls/tls.key"
ca_file: "/etc/nats/tls/ca.pem"
# Clients must have a certificate of the release; their credentials say what they may do.
verify: true
min_version: "1.3"
timeout: 5
{{- end -}}


{{- /* What the servers that run cannot become: streams would be gone without a word, or Kubernetes would say that a
       StatefulSet cannot change so. */ -}}
{{- define "millrace.checkServers" -}}
{{- $nats := .Values.nats -}}
{{- $runs := lookup "apps/v1" "StatefulSet" .Release.Namespace (printf "%s-nats" (include "millrace.fullname" .)) -}}
{{- if and $nats.enabled $runs -}}
{{- $again := "Remove the release and install it again; what was not exported until then is gone" -}}
{{- $servers := int $runs.spec.replicas -}}
{{- if and (gt $servers 0) (ne (eq $servers 1) (eq (int $nats.replicas) 1)) -}}
{{- fail (printf "nats.replicas=%d, and %d run: one server keeps its streams for itself, and a cluster does not find them. %s, or keep nats.replicas=%d" (int $nats.replicas) $servers $again $servers) -}}
{{- end -}}
{{- /* 32 is the default of config.bus.partitions. */ -}}
{{- $config := lookup "v1" "ConfigMap" .Release.Namespace (include "millrace.fullname" .) -}}
{{- $before := get (get ($config.data | default dict) "millrace.yaml" | default "" | fromYaml) "bus" | default dict -}}
{{- $now := .Values.config.bus | default dict -}}
{{- $partitions := list ($before.partitions | default 32 | int) ($now.partitions | default 32 | int) -}}
{{- if ne (first $partitions) (last $partitions) -}}
{{- fail (printf "config.bus.partitions=%d, and streams were made with %d. %s" (last $partitions) (first $partitions) $again) -}}
{{- end -}}
{{- if and $before.storage (ne $before.storage $nats.storage) -}}
{{- fail (printf "nats.storage=%s, and streams were made with %s. %s" $nats.storage $before.storage $again) -}}
{{- end -}}
{{- $claims := $runs.spec.volumeClaimTemplates | default list -}}
{{- $wanted := and $nats.persistence.enabled (eq $nats.storage "file") -}}
{{- if ne (empty $claims) (not $wanted) -}}
{{- fail (printf "nats.persistence.enabled=%t: a StatefulSet cannot get or lose its volumes. %s" $nats.persistence.enabled $again) -}}
{{- end -}}
{{- range $claims -}}
{{- if ne (include "millrace.bytes" .spec.resources.requests.storage) (include "millrace.bytes" $nats.persistence.size) -}}
{{- fail (printf "nats.persistence.size=%s, and volumes have %s: a StatefulSet cannot change the size of its volumes. %s, or keep the size" $nats.persistence.size .spec.resources.requests.storage $again) -}}
{{- end -}}
{{- if and $nats.persistence.storageClass (ne (.spec.storageClassName | default "") $nats.persistence.storageClass) -}}
{{- fail (printf "nats.persistence.storageClass=%s: volumes cannot move to another class. %s" $nats.persistence.storageClass $again) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
