{{/* Labels by which the pods are known; they never change, as a DaemonSet's selector cannot. */}}
{{- define "nsagent.selectorLabels" -}}
app.kubernetes.io/name: nsagent
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Labels of all objects. */}}
{{- define "nsagent.labels" -}}
{{ include "nsagent.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end }}

{{/* The image, by its digest where there is one. */}}
{{- define "nsagent.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{/* The config, or an error that says what the chart needs of it. */}}
{{- define "nsagent.config" -}}
{{- if .Values.config }}
{{- $config := fromYaml .Values.config }}
{{- if hasKey $config "Error" }}{{ fail (printf "config: %s" $config.Error) }}{{ end }}
{{- $listen := get (get $config "http" | default dict) "listen" | default "" | toString }}
{{- if not (hasSuffix ":9469" $listen) }}
{{- fail (printf "config: http.listen: expected [${POD_IP}]:9469, where the probes ask, got %q" $listen) }}
{{- end }}
{{- .Values.config }}
{{- else }}
{{- .Files.Get "files/config.yaml" }}
{{- end }}
{{- end }}

{{/*
What of the node is mounted for the names of containers and pods, as a YAML list: name, path, kind; why in a few words; `at` where it
is seen elsewhere below /host; `propagated` where the node mounts and unmounts in there.
A CRI socket is mounted by its directory: a runtime that starts again makes another socket.
*/}}
{{- define "nsagent.hostPaths" -}}
{{- $bundles := "Of each running container its pod, name and image." }}
{{- $cri := "CRI's socket: labels of pods, and images; of each running container its pod and name." }}
{{- $directories := dict
  "containerd" (list "/run/containerd" "/io.containerd.runtime.v2.task")
  "k3s" (list "/run/k3s/containerd" "/io.containerd.runtime.v2.task")
  "k0s" (list "/run/k0s" "/containerd/io.containerd.runtime.v2.task")
  "microk8s" (list "/var/snap/microk8s/common/run" "/containerd/io.containerd.runtime.v2.task")
}}
- {name: pod-logs, path: /var/log/containers, kind: DirectoryOrCreate, why: "Names of links: POD_NAMESPACE_CONTAINER-ID.log."}
{{- range .Values.runtimes }}
{{- if hasKey $directories . }}
{{- $parts := get $directories . }}
- name: {{ . }}
  path: {{ first $parts }}{{ if not $.Values.cri.enabled }}{{ last $parts }}{{ end }}
  kind: DirectoryOrCreate
  propagated: true
  why: {{ ternary $cri $bundles $.Values.cri.enabled | quote }}
{{- else if eq . "crio" }}
- {name: crio, path: /run/containers/storage/overlay-containers, kind: DirectoryOrCreate, propagated: true, why: {{ $bundles | quote }}}
{{- if $.Values.cri.enabled }}
- {name: crio-socket, path: /run/crio, kind: DirectoryOrCreate, why: "CRI's socket: labels of pods, and images."}
{{- end }}
{{- else if eq . "docker" }}
- name: docker
  path: /run/docker/containerd/daemon/io.containerd.runtime.v2.task
  kind: DirectoryOrCreate
  propagated: true
  why: {{ $bundles | quote }}
{{- if not (has "containerd" $.Values.runtimes) }}
- name: docker-system
  path: /run/containerd/io.containerd.runtime.v2.task
  kind: DirectoryOrCreate
  propagated: true
  why: "The same where Docker has its containers run by the containerd of the system, as that of packages does."
{{- end }}
{{- if $.Values.cri.enabled }}
- {name: cri-dockerd-socket, path: /run/cri-dockerd.sock, kind: Socket, why: "CRI's socket: labels of pods, and images."}
{{- end }}
{{- end }}
{{- end }}
{{- if .Values.docker.enabled }}
- {name: docker-socket, path: {{ .Values.docker.socket }}, at: /run/docker.sock, kind: Socket, why: "Docker's API: names, images and labels."}
{{- end }}
{{- end }}
