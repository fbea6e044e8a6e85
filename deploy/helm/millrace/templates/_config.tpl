{{- /* The configuration, and mistakes in values that a schema cannot see. */ -}}

{{- define "millrace.config" -}}
{{- $bus := dict "url" (include "millrace.natsURL" .) "storage" .Values.nats.storage "replicas" (.Values.nats.replicas | int) -}}
{{- if include "millrace.credentials" . -}}
{{- $_ := set $bus "credentials_file" "/etc/millrace/credentials/nats.creds" -}}
{{- end -}}
{{- if include "millrace.tls" . -}}
{{- $_ := set $bus "tls" (dict "ca_file" "/etc/millrace/bus/ca.pem" "cert_file" "/etc/millrace/bus/tls.crt" "key_file" "/etc/millrace/bus/tls.key") -}}
{{- end -}}
{{- $ours := dict "bus" $bus "telemetry" (dict "listen" "0.0.0.0:9401") -}}
{{- with .Values.capture.allowedObjects -}}
{{- $_ := set $ours "capture" (dict "allowed_objects" .) -}}
{{- end -}}
{{- $defaults := dict "attributes" (dict "kubernetes" (dict "enable" "true")) -}}
{{- mergeOverwrite $defaults (deepCopy .Values.config) $ours | toYaml -}}
{{- end -}}

{{- /* That of the exporter: the same with the exporters. */ -}}
{{- define "millrace.exporterConfig" -}}
{{- $config := include "millrace.config" . | fromYaml -}}
{{- $_ := set $config "exporters" .Values.exporters -}}
{{- $config | toYaml -}}
{{- end -}}

{{- /* Whether the enricher watches the cluster. */ -}}
{{- define "millrace.watches" -}}
{{- $config := include "millrace.config" . | fromYaml -}}
{{- if ne (toString $config.attributes.kubernetes.enable) "false" }}yes{{ end -}}
{{- end -}}

{{- /* A size as Millrace or Kubernetes writes it, in bytes. */ -}}
{{- define "millrace.bytes" -}}
{{- $text := toString . | trim -}}
{{- $number := regexFind "^[0-9]+(\\.[0-9]+)?" $text -}}
{{- $unit := trimPrefix $number $text | trim | trimSuffix "B" | upper -}}
{{- $units := dict "" 1 "K" 1000 "M" 1000000 "G" 1000000000 "T" 1000000000000 "KI" 1024 "MI" 1048576 "GI" 1073741824 "TI" 1099511627776 -}}
{{- if or (not $number) (not (hasKey $units $unit)) -}}
{{- fail (printf "%q is not a size, such as 256MiB or 4Gi" $text) -}}
{{- end -}}
{{- printf "%.0f" (mulf (float64 $number) (float64 (get $units $unit))) -}}
{{- end -}}

{{- /* What the streams take of a server, and 256 MB for the buckets. */ -}}
{{- define "millrace.storage" -}}
{{- $bus := .Values.config.bus | default dict -}}
{{- add (mul 6 (include "millrace.bytes" ($bus.max_bytes | default "256MiB") | int64)) 268435456 -}}
{{- end -}}

{{- define "millrace.checkValues" -}}
{{- $nats := .Values.nats -}}
{{- $bus := .Values.config.bus | default dict -}}
{{- if hasKey .Values.config "exporters" -}}
{{- fail "config.exporters: write exporters at the top of the values, not below config: they may hold secrets, and only the exporter reads them" -}}
{{- end -}}
{{- range $key, $instead := dict "url" "nats.url" "storage" "nats.storage" "replicas" "nats.replicas" "credentials_file" "nats.credentialsSecret" "tls" "nats.tlsSecret" "embedded" "nats.enabled" -}}
{{- if hasKey $bus $key -}}
{{- fail (printf "config.bus.%s: the chart sets it; use %s" $key $instead) -}}
{{- end -}}
{{- end -}}
{{- if hasKey (.Values.config.telemetry | default dict) "listen" -}}
{{- fail "config.telemetry.listen: the chart sets it, for probes and monitoring" -}}
{{- end -}}
{{- if hasKey (.Values.config.capture | default dict) "node" -}}
{{- fail "config.capture.node: the chart sets it, to the name of each node" -}}
{{- end -}}
{{- if hasKey (.Values.config.capture | default dict) "allowed_objects" -}}
{{- fail "config.capture.allowed_objects: use capture.allowedObjects" -}}
{{- end -}}
{{- if and $nats.enabled $nats.url -}}
{{- fail "nats.url is set, and nats.enabled as well: set nats.enabled=false to use the NATS at nats.url" -}}
{{- end -}}
{{- if and (not $nats.enabled) (not $nats.url) -}}
{{- fail "nats.enabled is false and nats.url is empty: Millrace needs a NATS server; name one, for example nats.url=nats://nats.nats.svc:4222, or leave nats.enabled=true" -}}
{{- end -}}
{{- if and $nats.enabled (or $nats.credentialsSecret $nats.tlsSecret) -}}
{{- fail "nats.credentialsSecret and nats.tlsSecret are for the NATS at nats.url: the chart makes those of its own NATS" -}}
{{- end -}}
{{- $need := include "millrace.storage" . | int64 -}}
{{- if and $nats.enabled (eq $nats.storage "memory") $nats.persistence.enabled -}}
{{- fail "nats.storage is memory, and nats.persistence.enabled is true: streams are on volumes with nats.storage=file only" -}}
{{- end -}}
{{- if and $nats.enabled (eq $nats.storage "file") (lt (include "millrace.bytes" $nats.persistence.size | int64) $need) -}}
{{- fail (printf "nats.persistence.size=%s is less than what the streams need: six times config.bus.max_bytes and 256 MiB, %d bytes. Raise the one or lower the other" $nats.persistence.size $need) -}}
{{- end -}}
{{- with $nats.resources.limits -}}
{{- if and $nats.enabled (eq $nats.storage "memory") .memory (lt (include "millrace.bytes" .memory | int64) $need) -}}
{{- fail (printf "nats.resources.limits.memory=%v is less than what the streams need with nats.storage=memory: six times config.bus.max_bytes and 256 MiB, %d bytes" .memory $need) -}}
{{- end -}}
{{- end -}}
{{- include "millrace.checkServers" . -}}
{{- range $name := list "decoder" "enricher" "exporter" -}}
{{- $scaling := (get $.Values $name).autoscaling -}}
{{- if and $scaling.hpa.enabled $scaling.keda.enabled -}}
{{- fail (printf "%s.autoscaling: hpa and keda cannot both be enabled, they would undo each other's work" $name) -}}
{{- end -}}
{{- if and $scaling.keda.enabled (not $scaling.keda.prometheus) -}}
{{- fail (printf "%s.autoscaling.keda.prometheus: name the Prometheus that scrapes Millrace, for example http://prometheus.monitoring.svc:9090" $name) -}}
{{- end -}}
{{- range $kind := list "hpa" "keda" -}}
{{- $one := get $scaling $kind -}}
{{- if and $one.enabled (gt (int $one.minReplicas) (int $one.maxReplicas)) -}}
{{- fail (printf "%s.autoscaling.%s: minReplicas is more than maxReplicas" $name $kind) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $scaling := .Values.exporter.autoscaling -}}
{{- range $name, $settings := .Values.exporters -}}
{{- if eq (regexReplaceAll "/.*" $name "") "file" -}}
{{- if or (gt (int $.Values.exporter.replicas) 1) $scaling.hpa.enabled $scaling.keda.enabled -}}
{{- fail (printf "exporters.%s: a file has one writer, so exporter.replicas must be 1 and exporter.autoscaling off" $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- with .Values.exporters.prometheus -}}
{{- if not (regexMatch "^(0\\.0\\.0\\.0|\\[::\\])?:[0-9]+$" (.endpoint | default "")) -}}
{{- fail (printf "exporters.prometheus.endpoint=%q: in a pod it must be all addresses and a port, for example 0.0.0.0:9400" (.endpoint | default "")) -}}
{{- end -}}
{{- if regexMatch ":9401$" .endpoint -}}
{{- fail "exporters.prometheus.endpoint: port 9401 is that of telemetry.listen" -}}
{{- end -}}
{{- end -}}
{{- if .Values.monitoring.serviceMonitor.enabled -}}
{{- if not .Values.exporters.prometheus -}}
{{- fail "monitoring.serviceMonitor scrapes metrics of services: set exporters.prometheus.endpoint=0.0.0.0:9400" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "millrace.prometheusPort" -}}
{{- with .Values.exporters.prometheus }}{{ regexFind "[0-9]+$" .endpoint }}{{ end -}}
{{- end -}}
