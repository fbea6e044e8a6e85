{{- /* The Deployment of a service: dict "root" $ "component" NAME "values" VALUES. */ -}}
{{- define "millrace.deployment" -}}
{{- $root := .root -}}
{{- $scaled := or .values.autoscaling.hpa.enabled .values.autoscaling.keda.enabled -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  {{- include "millrace.metadata" . | nindent 2 }}
spec:
  {{- if not $scaled }}
  replicas: {{ .values.replicas }}
  {{- end }}
  revisionHistoryLimit: 3
  # A new instance takes over before an old one stops: partitions change hands, and nothing is lost.
  strategy:
    type: RollingUpdate
    {{- if and (eq .component "exporter") (include "millrace.writesFile" $root) }}
    rollingUpdate: {maxSurge: 0, maxUnavailable: 1}
    {{- else }}
    rollingUpdate: {maxSurge: 1, maxUnavailable: 0}
    {{- end }}
  selector:
    matchLabels:
      {{- include "millrace.selector" . | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "millrace.podLabels" . | nindent 8 }}
      annotations:
        {{- include "millrace.podAnnotations" . | nindent 8 }}
    spec:
      {{- if and (eq .component "enricher") (include "millrace.watches" $root) }}
      serviceAccountName: {{ include "millrace.fullname" $root }}-enricher
      automountServiceAccountToken: true
      {{- else }}
      automountServiceAccountToken: false
      {{- end }}
      # Stopped, an instance reads on for a second, hands over for up to 20, and the rest is margin.
      terminationGracePeriodSeconds: 30
      securityContext:
        {{- include "millrace.podSecurity" . | nindent 8 }}
      {{- include "millrace.placement" . | nindent 6 }}
      {{- include "millrace.spread" . | nindent 6 }}
      containers:
        - name: {{ .component }}
          image: {{ include "millrace.image" (dict "root" $root "image" (printf "millrace-%s" .component)) | quote }}
          imagePullPolicy: {{ $root.Values.image.pullPolicy }}
          args: [--config, /etc/millrace/config/millrace.yaml]
          {{- with include "millrace.env" . | trim }}
          env:
            {{- . | nindent 12 }}
          {{- end }}
          {{- include "millrace.probes" . | nindent 10 }}
          resources:
            {{- toYaml .values.resources | nindent 12 }}
          securityContext:
            {{- include "millrace.containerSecurity" . | nindent 12 }}
          volumeMounts:
            {{- include "millrace.mounts" . | nindent 12 }}
            {{- if eq .component "exporter" }}
            {{- with .values.extraVolumeMounts }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
            {{- end }}
      volumes:
        {{- include "millrace.volumes" . | nindent 8 }}
        {{- if eq .component "exporter" }}
        {{- with .values.extraVolumes }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
        {{- end }}
{{- end -}}

{{- define "millrace.writesFile" -}}
{{- range $name, $_ := .Values.exporters -}}
{{- if eq (regexReplaceAll "/.*" $name "") "file" }}yes{{ end -}}
{{- end -}}
{{- end -}}
