{{- /* Parts of pods. All take dict "root" $ "component" NAME "values" VALUES. */ -}}

{{- /* What the `restricted` Pod Security Standard asks for. */ -}}
{{- define "millrace.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "millrace.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{- /* Where a pod runs, and images' credentials. */ -}}
{{- define "millrace.placement" -}}
nodeSelector:
  {{- merge (dict) .values.nodeSelector (dict "kubernetes.io/os" "linux") | toYaml | nindent 2 }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
enableServiceLinks: false
{{- end -}}

{{- define "millrace.spread" -}}
topologySpreadConstraints:
  {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "millrace.selector" $ | nindent 8 }}
  {{- end }}
{{- end -}}

{{- /* Pods are replaced when what they read has changed. */ -}}
{{- define "millrace.podAnnotations" -}}
checksum/config: {{ include "millrace.config" .root | sha256sum }}
{{- if eq .component "exporter" }}
checksum/exporters: {{ .root.Values.exporters | toJson | sha256sum }}
{{- end }}
{{- with include "millrace.rotation" .root }}
millrace.dev/rotation: {{ . | quote }}
{{- end }}
{{- with .values.podAnnotations }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "millrace.probes" -}}
ports:
  - {name: telemetry, containerPort: 9401}
  {{- if and (eq .component "admin") (include "millrace.credentials" .root) }}
  - {name: credentials, containerPort: 8443}
  {{- end }}
  {{- if eq .component "exporter" }}
  {{- with include "millrace.prometheusPort" .root }}
  - {name: metrics, containerPort: {{ . }}}
  {{- end }}
  {{- end }}
livenessProbe:
  httpGet: {path: /healthz, port: telemetry}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /readyz, port: telemetry}
  periodSeconds: 5
  timeoutSeconds: 5
# The last lines of the log say why a container ended: `kubectl describe pod` shows them.
terminationMessagePolicy: FallbackToLogsOnError
{{- end -}}

{{- /* The Go runtime collects earlier when memory nears the limit. */ -}}
{{- define "millrace.env" -}}
{{- if (.values.resources.limits | default dict).memory }}
- name: GOMEMLIMIT
  valueFrom: {resourceFieldRef: {resource: limits.memory}}
{{- end }}
{{- with .values.env }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "millrace.mounts" -}}
- {name: config, mountPath: /etc/millrace/config, readOnly: true}
{{- if include "millrace.credentials" .root }}
- {name: credentials, mountPath: /etc/millrace/credentials, readOnly: true}
{{- end }}
{{- if include "millrace.tls" .root }}
- {name: bus, mountPath: /etc/millrace/bus, readOnly: true}
{{- end }}
{{- end -}}

{{- /* The configuration; the service's own credential, and no other's; certificates. A pod waits for Secrets that are
       still empty: `kubectl describe pod` says "references non-existent secret key" until the Job of the keys is done. */ -}}
{{- define "millrace.volumes" -}}
{{- $name := include "millrace.fullname" .root -}}
- name: config
{{- if eq .component "exporter" }}
  secret: {secretName: {{ $name }}-exporter-config, defaultMode: 0440}
{{- else }}
  configMap: {name: {{ $name }}}
{{- end }}
{{- if include "millrace.tls" .root }}
- name: bus
  secret:
    secretName: {{ .root.Values.nats.tlsSecret | default (printf "%s-%s" $name .component) }}
    defaultMode: 0440
    items:
      - {key: ca.pem, path: ca.pem}
      - {key: tls.crt, path: tls.crt}
      - {key: tls.key, path: tls.key}
{{- end }}
{{- if and (include "millrace.credentials" .root) (not (has .component (list "capture" "test"))) }}
- name: credentials
  secret:
    secretName: {{ .root.Values.nats.credentialsSecret | default (printf "%s-%s" $name .component) }}
    defaultMode: 0440
    items:
      - {key: {{ ternary (printf "%s.creds" .component) "nats.creds" (ne .root.Values.nats.credentialsSecret "") }}, path: nats.creds}
{{- end }}
{{- end -}}
