{{- define "cyclecast.name" -}}
{{- ternary .Release.Name (printf "%s-cyclecast" .Release.Name) (contains "cyclecast" .Release.Name) | trunc 46 | trimSuffix "-" }}
{{- end }}

{{/* What a component is found by: (list $ "stream"). */}}
{{- define "cyclecast.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: cyclecast
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "cyclecast.labels" -}}
{{- $root := index . 0 -}}
{{ include "cyclecast.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ $root.Chart.Name }}-{{ $root.Chart.Version }}
{{- end }}

{{- define "cyclecast.port" -}}
{{ dig "http" "port" 8601 .Values.settings }}
{{- end }}

{{/* A tree of settings as lines of TOML, named as in docs/configuration.md: JSON's scalars are TOML's. */}}
{{- define "cyclecast.toml" -}}
{{- $prefix := .prefix }}
{{- range $key, $value := .tree }}
{{- if kindIs "map" $value }}
{{- include "cyclecast.toml" (dict "tree" $value "prefix" (printf "%s%s." $prefix $key)) }}
{{- else if not (kindIs "invalid" $value) }}
{{ $prefix }}{{ $key }} = {{ toJson $value }}
{{- end }}
{{- end }}
{{- end }}

{{- define "cyclecast.settings" -}}
{{- $device := ternary "cuda" "auto" .Values.gpu.enabled }}
{{- $tree := mergeOverwrite (dict "model" (dict "device" $device)) (deepCopy .Values.settings) }}
{{- include "cyclecast.toml" (dict "tree" $tree "prefix" "") | trim }}
{{- end }}

{{/* What the pods of all components have in common. (list $ "stream") */}}
{{- define "cyclecast.metadata" -}}
{{- $root := index . 0 -}}
labels:  # without the chart's version: a new chart that changes nothing rolls nothing
  {{- include "cyclecast.selector" . | nindent 2 }}
  {{- with $root.Values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
annotations:
  cyclecast/settings: {{ include "cyclecast.settings" $root | sha256sum }}
  {{- with $root.Values.podAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{- define "cyclecast.pod" -}}
# A Service named cyclecast would put CYCLECAST_* into the environment, where an unknown setting is an error.
enableServiceLinks: false
automountServiceAccountToken: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumes:
  - name: settings
    configMap: {name: {{ include "cyclecast.name" . }}}
  - name: tmp  # what is compiled or unpacked at run time is run from here
    emptyDir: {sizeLimit: 1Gi}
  {{- with include "cyclecast.files" . | trim }}
  - name: files
    projected:
      sources:
        {{- . | nindent 8 }}
  {{- end }}
{{- end }}

{{- define "cyclecast.files" -}}
{{- range $setting, $from := .Values.secrets }}
{{- if hasSuffix "_file" $setting }}
- secret: {name: {{ $from.secret | quote }}, items: [{key: {{ $from.key | quote }}, path: {{ $setting }}}]}
{{- end }}
{{- end }}
{{- end }}

{{- define "cyclecast.container" -}}
image: {{ printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{- define "cyclecast.environment" -}}
{{- range $setting, $from := .Values.secrets }}
- name: CYCLECAST_{{ $setting | upper | replace "." "__" }}
  {{- if hasSuffix "_file" $setting }}
  value: /run/cyclecast/{{ $setting }}
  {{- else }}
  valueFrom:
    secretKeyRef: {name: {{ $from.secret | quote }}, key: {{ $from.key | quote }}}
  {{- end }}
{{- end }}
{{- end }}

{{- define "cyclecast.mounts" -}}
- {name: settings, mountPath: /etc/cyclecast, readOnly: true}
- {name: tmp, mountPath: /tmp}
{{- if include "cyclecast.files" . }}
- {name: files, mountPath: /run/cyclecast, readOnly: true}
{{- end }}
{{- end }}
