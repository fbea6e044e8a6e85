package helm

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// sets are values that users have.
var sets = map[string]string{
	"default":    "{}",
	"otlp":       "exporters: {otlp: {endpoint: 'collector:4317', tls: {insecure: true}}}",
	"named":      "exporters: {otlp/tempo: {endpoint: 'tempo:4317'}, otlphttp/mimir: {endpoint: 'http://mimir'}, debug: {}}",
	"memory":     "nats: {storage: memory}\nconfig: {bus: {max_bytes: 64MiB}}",
	"persistent": "nats: {replicas: 3, persistence: {enabled: true, size: 100Gi, storageClass: fast}}\nconfig: {bus: {max_bytes: 8GiB, partitions: 64}}",
	"rotated":    "nats: {rotation: 20261201}",
	"retained":   "nats: {replicas: 5, persistence: {enabled: true, size: 10Gi, retain: true}}",
	"open NATS":  "nats: {enabled: false, url: 'nats://a:4222,nats://b:4223'}",
	"own NATS":   "nats: {enabled: false, url: 'tls://nats.messaging.svc', credentialsSecret: credentials, tlsSecret: tls, replicas: 3}",
	"scaled by CPU": "exporters: {prometheus: {endpoint: '0.0.0.0:9400'}}\ndecoder: {autoscaling: {hpa: {enabled: true, maxReplicas: 20}}}\n" +
		"enricher: {autoscaling: {hpa: {enabled: true}}}\nexporter: {autoscaling: {hpa: {enabled: true}}}",
	"scaled by lag": "exporters: {debug: {}}\ndecoder: {autoscaling: {keda: {enabled: true, prometheus: 'http://prometheus:9090'}}}\n" +
		"exporter: {autoscaling: {keda: {enabled: true, prometheus: 'http://prometheus:9090'}}}",
	"monitored": "exporters: {prometheus: {endpoint: ':9400'}}\nmonitoring: {podMonitor: {enabled: true, labels: {release: p}}, " +
		"serviceMonitor: {enabled: true}, rules: {enabled: true}}\ndashboards: {enabled: true, namespace: grafana, annotations: {folder: Millrace}}",
	"without Kubernetes": "config: {attributes: {kubernetes: {enable: 'false'}}}",
	"without rights":     "rbac: {create: false}\nnetworkPolicy: {enabled: false}\npodDisruptionBudget: {enabled: false}",
	"without capture":    "capture: {enabled: false}",
	"file": "exporters: {file: {path: /data/spans.jsonl}}\nexporter: {extraVolumes: [{name: data, emptyDir: {}}], " +
		"extraVolumeMounts: [{name: data, mountPath: /data}]}",
	"everything placed": "nameOverride: mr\nfullnameOverride: observability\ncommonLabels: {team: platform}\n" +
		"image: {registry: registry.example.com/x, tag: '1.2', pullPolicy: Always, pullSecrets: [one]}\n" +
		"capture: {priorityClassName: system-node-critical, maxUnavailable: 10%, capabilities: {sysAdmin: false, sysResource: true}, " +
		"seLinuxOptions: {type: spc_t}, env: [{name: MILLRACE_CAPTURE_CGROUP_PREFIX, value: /x}], podAnnotations: {a: b}, podLabels: {c: d}}\n" +
		"decoder: {nodeSelector: {pool: a}, tolerations: [{key: x, operator: Exists}], affinity: {nodeAffinity: {}}, replicas: 4}\n" +
		"exporter: {env: [{name: MILLRACE_EXPORTERS_OTLP_HEADERS__AUTHORIZATION, valueFrom: {secretKeyRef: {name: s, key: k}}}]}\n" +
		"exporters: {otlp: {endpoint: 'x:1'}}\nnats: {rotation: a b, nodeSelector: {pool: a}}\nnetworkPolicy: {metricsFrom: [{namespaceSelector: {}}]}",
}

// TestManifests: what is rendered is right by the types of the newest Kubernetes and the three before, and all pods
// but those of capture are as `restricted` asks.
func TestManifests(t *testing.T) {
	t.Parallel()
	rendered := map[string]string{}
	for name, values := range sets {
		manifests, problems, err := render(t, values)
		if err != nil {
			t.Errorf("%s: %v: %s", name, err, problems)
		}
		rendered[name] = manifests
	}
	versions, err := filepath.Glob("testdata/manifests/*.mod")
	if err != nil || len(versions) != 4 {
		t.Fatalf("versions of Kubernetes: %v, %v", versions, err)
	}
	for _, version := range versions {
		name := strings.TrimSuffix(filepath.Base(version), ".mod")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			program := filepath.Join(t.TempDir(), name)
			build := exec.CommandContext(t.Context(), "go", "build", "-modfile="+filepath.Base(version), "-o", program, ".")
			build.Dir, build.Env = "testdata/manifests", append(os.Environ(), "GOWORK=off")
			if out, err := build.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			check := func(manifests string) (string, error) {
				command := exec.CommandContext(t.Context(), program)
				command.Stdin = strings.NewReader(manifests)
				out, err := command.CombinedOutput()
				return string(out), err
			}
			for set, manifests := range rendered {
				if out, err := check(manifests); err != nil {
					t.Errorf("%s: %v: %s", set, err, out)
				}
			}
			for problem, manifests := range map[string]string{
				"a field that there is not": strings.ReplaceAll(rendered["default"], "revisionHistoryLimit", "revisionsHistoryLimit"),
				"another type":              strings.ReplaceAll(rendered["default"], "replicas: 1", "replicas: one"),
				"a pod that runs as root":   strings.ReplaceAll(rendered["default"], "runAsNonRoot: true", "runAsNonRoot: false"),
				"a capability":              strings.ReplaceAll(rendered["default"], "drop: [ALL]", "drop: [ALL], add: [NET_ADMIN]"),
				"nothing":                   "",
			} {
				if out, err := check(manifests); err == nil {
					t.Errorf("the check does not see %s: %s", problem, out)
				}
			}
		})
	}
}

// TestWrongValues: mistakes in values are refused, with words that name the value.
func TestWrongValues(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ values, want string }{
		{"typo: 1", "'typo' not allowed"},
		{"decoder: {replica: 1}", "'replica' not allowed"},
		{"decoder: {replicas: many}", "/decoder/replicas"},
		{"image: {pullPolicy: Sometimes}", "/image/pullPolicy"},
		{"image: {tag: 1.2}", "/image/tag"},
		{"exporters: {tempo: {endpoint: x}}", "'tempo' not allowed"},
		{"exporters: {otlp/a/b: {}}", "'otlp/a/b' not allowed"},
		{"exporters: {prometheus: {}}", "endpoint"},
		{"exporters: {prometheus: {endpoint: '127.0.0.1:9400'}}", "exporters.prometheus.endpoint"},
		{"exporters: {prometheus: {endpoint: '0.0.0.0:9401'}}", "9401"},
		{"exporters: {file: {path: x}}\nexporter: {replicas: 2}", "one writer"},
		{"exporters: {file/a: {path: x}}\nexporter: {autoscaling: {hpa: {enabled: true}}}", "one writer"},
		{"config: {exporters: {otlp: {}}}", "top of the values"},
		{"config: {bus: {url: x}}", "use nats.url"},
		{"config: {bus: {replicas: 3}}", "use nats.replicas"},
		{"config: {bus: {max_bytes: much}}", "is not a size"},
		{"config: {telemetry: {listen: ':1'}}", "config.telemetry.listen"},
		{"config: {capture: {node: a}}", "config.capture.node"},
		{"nats: {replicas: 2}", "/nats/replicas"},
		{"nats: {storage: disk}", "/nats/storage"},
		{"nats: {enabled: false}", "Millrace needs a NATS server"},
		{"nats: {url: 'nats://x:4222'}", "nats.enabled=false"},
		{"nats: {enabled: false, url: 'x:4222'}", "/nats/url"},
		{"nats: {credentialsSecret: x}", "for the NATS at nats.url"},
		{"nats: {storage: memory, persistence: {enabled: true}}", "nats.storage=file only"},
		{"nats: {persistence: {size: 1000Mi}}", "1073741824 bytes"},
		{"nats: {storage: memory, resources: {limits: {memory: 512Mi}}}", "nats.resources.limits.memory"},
		{"decoder: {autoscaling: {hpa: {enabled: true}, keda: {enabled: true, prometheus: 'http://p'}}}", "decoder.autoscaling"},
		{"enricher: {autoscaling: {keda: {enabled: true}}}", "enricher.autoscaling.keda.prometheus"},
		{"enricher: {autoscaling: {hpa: {enabled: true, minReplicas: 9}}}", "minReplicas"},
		{"monitoring: {serviceMonitor: {enabled: true}}", "exporters.prometheus.endpoint"},
		{"capture: {capabilities: {netAdmin: true}}", "'netAdmin' not allowed"},
		{"capture: {allowedObjects: [abc]}", "/capture/allowedObjects"},
		{"config: {capture: {allowed_objects: []}}", "use capture.allowedObjects"},
		{"fullnameOverride: Big", "/fullnameOverride"},
	} {
		_, problems, err := render(t, tt.values)
		if !exited(err) || !strings.Contains(problems, tt.want) {
			t.Errorf("%s: %v: %s\nwant %q", tt.values, err, problems, tt.want)
		}
	}
}

// TestLint: Helm's own check has nothing to say.
func TestLint(t *testing.T) {
	t.Parallel()
	for name, values := range sets {
		file := filepath.Join(t.TempDir(), "values.yaml")
		if err := os.WriteFile(file, []byte(values), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, problems, err := helm(t, "lint", "--strict", "--kube-version", "1.37.0", chart, "--values", file); err != nil {
			t.Errorf("%s: %v: %s%s", name, err, out, problems)
		}
	}
}
