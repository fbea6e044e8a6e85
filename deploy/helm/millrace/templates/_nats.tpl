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
