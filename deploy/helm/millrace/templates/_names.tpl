{{- /* Names and labels. */ -}}

{{- define "millrace.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- /* What names of objects begin with. A StatefulSet's pods need room for a suffix. */ -}}
{{- define "millrace.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains (include "millrace.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "millrace.name" .) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "millrace.selector" -}}
app.kubernetes.io/name: {{ include "millrace.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end -}}

{{- /* Labels of an object: dict "root" $ "component" NAME. */ -}}
{{- define "millrace.labels" -}}
{{ include "millrace.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: millrace
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /* Labels of a pod: dict "root" $ "component" NAME "values" VALUES. Its selector is among them, and no version: that
       would replace pods for nothing. */ -}}
{{- define "millrace.podLabels" -}}
{{ include "millrace.selector" . }}
app.kubernetes.io/part-of: millrace
{{- with merge (dict) (.values.podLabels | default dict) .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "millrace.metadata" -}}
{{- $suffix := .suffix | default .component -}}
name: {{ include "millrace.fullname" .root }}{{ with $suffix }}-{{ . }}{{ end }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "millrace.labels" . | nindent 2 }}
{{- end -}}

{{- define "millrace.image" -}}
{{ .root.Values.image.registry }}/{{ .image }}:{{ .root.Values.image.tag | default .root.Chart.AppVersion }}
{{- end -}}

{{- /* Whether NATS asks for credentials. */ -}}
{{- define "millrace.credentials" -}}
{{- if or .Values.nats.enabled .Values.nats.credentialsSecret }}yes{{ end -}}
{{- end -}}

{{- /* Whether connections to NATS have certificates of ours. */ -}}
{{- define "millrace.tls" -}}
{{- if or .Values.nats.enabled .Values.nats.tlsSecret }}yes{{ end -}}
{{- end -}}

{{- define "millrace.natsURL" -}}
{{- if .Values.nats.enabled -}}
tls://{{ include "millrace.fullname" . }}-nats.{{ .Release.Namespace }}.svc:4222
{{- else -}}
{{ .Values.nats.url }}
{{- end -}}
{{- end -}}

{{- define "millrace.audience" -}}
{{ include "millrace.fullname" . }}.{{ .Release.Namespace }}.millrace.dev
{{- end -}}

{{- /* Exporters that have a name of their own, separated by commas. */ -}}
{{- define "millrace.destinations" -}}
{{- $named := list -}}
{{- range $name, $_ := .Values.exporters -}}
{{- if contains "/" $name }}{{ $named = append $named $name }}{{ end -}}
{{- end -}}
{{- $named | sortAlpha | join "," -}}
{{- end -}}

{{- /* nats.rotation as text. A number of values.yaml is a float to Helm. */ -}}
{{- define "millrace.rotation" -}}
{{- if kindIs "float64" .Values.nats.rotation }}{{ printf "%.0f" .Values.nats.rotation }}{{ else }}{{ toString .Values.nats.rotation }}{{ end -}}
{{- end -}}
