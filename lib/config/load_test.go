package config_test

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"millrace.dev/lib/config"
)

func TestDefaultIsValid(t *testing.T) {
	t.Parallel()
	if err := config.Default().Validate(); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load("", nil)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(cfg, config.Default()) {
		t.Errorf("Load of nothing is not the default: %+v", cfg)
	}
	if keys := cfg.Inactive(); len(keys) > 0 {
		t.Errorf("inactive keys of the default: %v", keys)
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	cfg, err := config.Parse("millrace.yaml", []byte(`
bus: &bus
  url: nats://user:secret@nats-1:4222, nats://nats-2
  partitions: 8
  max_age: 1h30m
  max_bytes: 1.5GiB
capture:
  # everything below is a comment
exporters:
  otlp:
    endpoint: localhost:4317
    tls: {insecure: true}
  debug:
  file: {path: /var/log/spans.jsonl}
discovery:
  services:
    - {name: web, open_ports: "80,8000-8999"}
    - {exe_path: /usr/bin/*, k8s_pod_labels: {app: "web*"}}
attributes:
  kubernetes: {enable: true}
  select:
    "http.*": {include: [a, b], exclude: [c]}
network: {enable: true, cidrs: [10.0.0.0/8, {cidr: 10.1.0.0/16, name: office}]}
ebpf: {heuristic_sql_detect: true}
sampling:
  policies:
    - {name: slow, type: latency, latency: {threshold_ms: 500}}
    - {name: errors, type: status_code, status_code: {status_codes: [ERROR]}}
`))
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Bus.Partitions != 8 || cfg.Bus.MaxAge != 90*time.Minute || cfg.Bus.MaxBytes != 3*config.GiB/2 {
		t.Errorf("bus: %+v", cfg.Bus)
	}
	if cfg.Bus.Storage != config.StorageMemory || !reflect.DeepEqual(cfg.Capture, config.Default().Capture) {
		t.Error("what is not in the file lost its default")
	}
	if want := map[string]any{"endpoint": "localhost:4317", "tls": map[string]any{"insecure": true}}; !reflect.DeepEqual(cfg.Exporters.OTLP, want) {
		t.Errorf("otlp: %#v", cfg.Exporters.OTLP)
	}
	if cfg.Exporters.Debug == nil || cfg.Exporters.OTLPHTTP != nil {
		t.Error("an empty section is set, an absent one is not")
	}
	if cfg.Exporters.File == nil || cfg.Exporters.File.Path != "/var/log/spans.jsonl" {
		t.Errorf("file: %+v", cfg.Exporters.File)
	}
	if len(cfg.Discovery.Services) != 2 || cfg.Discovery.Services[0].Name != "web" || !cfg.Discovery.Services[1].Selects() {
		t.Errorf("services: %+v", cfg.Discovery.Services)
	}
	if want := []config.CIDR{{CIDR: "10.0.0.0/8"}, {CIDR: "10.1.0.0/16", Name: "office"}}; !slices.Equal(cfg.Network.CIDRs, want) || !cfg.Flows() {
		t.Errorf("network: %+v", cfg.Network)
	}
	want := []string{"ebpf.heuristic_sql_detect"}
	if got := cfg.Inactive(); !reflect.DeepEqual(got, want) {
		t.Errorf("inactive: %v, want %v", got, want)
	}
}

func TestParseErrors(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, text, want string }{
		{"unknown key", "bus:\n  partition: 3", `f.yaml:2: unknown key "bus.partition": did you mean "bus.partitions"?`},
		{"unknown section", "buss: {}", `f.yaml:1: unknown key "buss": did you mean "bus"?`},
		{"key of another section", "capture:\n  hold_time: 3s", `did you mean "enricher.hold_time"?`},
		{"nothing near", "xyzzyxyzzy: 1", "known keys here: attributes, bus,"},
		{"unknown key in a list", "discovery:\n  services:\n    - open_port: 80", `f.yaml:3: unknown key "discovery.services[0].open_port": did you mean "discovery.services[0].open_ports"?`},
		{"two errors", "bus:\n  url_: a\n  partitions: many", `f.yaml:3: bus.partitions: "many" is not a whole number`},
		{"twice", "bus: {replicas: 1, replicas: 3}", "replicas"},
		{"number for a duration", "bus:\n  max_age: 60", `f.yaml:2: bus.max_age: "60" has no unit: write for example 60ms or 60s`},
		{"size", "bus:\n  max_bytes: 1XB", `f.yaml:2: bus.max_bytes: "1XB" is not a size`},
		{"hash", "capture: {allowed_objects: [abc]}", `capture.allowed_objects: "abc" is not a SHA-256 hash`},
		{"boolean", "capture: {redact: {enable: 1}}", `capture.redact.enable: "1" is neither true nor false`},
		{"list for a scalar", "bus: {url: [a]}", "bus.url: want a single value"},
		{"scalar for a section", "bus: 3", "f.yaml:1: bus: want keys and values below it"},
		{"scalar for a list", "discovery: {services: web}", "discovery.services: want a list"},
		{"scalar for everything", "hello", "f.yaml:1: configuration: want keys"},
		{"scalar for an exporter", "exporters: {otlp: 3}", "exporters.otlp: want keys"},
		{"two documents", "bus: {}\n---\nbus: {}", "a second document"},
		{"not YAML", "bus: [", "f.yaml: "},
		{"tab", "bus:\n\turl: x", "f.yaml: "},
		{"alias of itself", "bus: &a\n  <<: *a", "f.yaml"},
		{"out of range", "bus: {partitions: 0}", "f.yaml: bus.partitions: 0 is outside 1 to 4096"},
		{"duration out of range", "enricher: {hold_time: 1h}", "enricher.hold_time: 1h is outside 10ms to 10m"},
		{"not one of", "bus: {storage: disk}", `bus.storage: "disk" is none of memory, file`},
		{"replicas", "bus: {replicas: 2}", `bus.replicas: "2" is none of 1, 3, 5`},
		{"pattern", "routes: {patterns: [user/:id]}", `routes.patterns: "user/:id" does not begin with "/"`},
		{"ignored pattern", "routes: {ignored_patterns: ['/user/{id']}", `routes.ignored_patterns: "/user/{id": a brace in segment "{id"`},
		{"pattern of a service", "discovery: {services: [{name: a, exe_path: b, routes: {incoming: [x]}}]}", `discovery.services[0].routes.incoming: "x"`},
		{"override without name", "discovery: {services: [{exe_path: b, exports: [traces]}]}", `discovery.services[0]: routes, metrics, exports and sampling need a name`},
		{"exports", "discovery: {services: [{name: a, exe_path: b, exports: [logs]}]}", `discovery.services[0].exports[0]: "logs" is none of`},
		{"features of a service", "discovery: {services: [{name: a, exe_path: b, metrics: {features: [x]}}]}", `discovery.services[0].metrics.features[0]: "x" is none of`},
		{"no criterion", "discovery: {services: [{name: a, exports: [traces]}]}", `discovery.services[0]: the rule has no criterion`},
		{"bounds", "metrics: {buckets: {duration_histogram: [1, 1]}}", `metrics.buckets.duration_histogram: bounds must ascend, and 1 follows 1`},
		{"negative bound", "metrics: {buckets: {request_size_histogram: [-1]}}", `metrics.buckets.request_size_histogram: -1 is outside`},
		{"aggregation", "metrics: {histogram_aggregation: explicit}", `metrics.histogram_aggregation: "explicit" is none of`},
		{"selection", "attributes: {select: {'[': {include: [a]}}}", `attributes.select.[: "[" is not a glob`},
		{"selected attribute", "attributes: {select: {'*': {exclude: ['[']}}}", `attributes.select.*.exclude: "[" is not a glob`},
		{"feature", "metrics: {features: [applications]}", `metrics.features[0]: "applications" is none of application,`},
		{"address", "telemetry: {listen: 9090}", `telemetry.listen: "9090" is not an address`},
		{"port", "telemetry: {listen: ':http'}", "the port is not a number"},
		{"url", "bus: {url: 'http://x:4222'}", `bus.url: scheme "http" is none of`},
		{"url with a password", "bus: {url: 'nats://u:hunter2@['}", "bus.url: not a list of addresses"},
		{"power of two", "capture: {ring_buffer: 100000}", "capture.ring_buffer: 100000 is not a power of two"},
		{"ports", "discovery: {services: [{open_ports: '80-70'}]}", `discovery.services[0].open_ports: "80-70" is not a port`},
		{"no criterion", "discovery: {services: [{name: web}]}", "discovery.services[0]: the rule has no criterion"},
		{"sampling of a rule", "discovery: {services: [{name: a, exe_path: x, sampling: '1.5'}]}", "discovery.services[0].sampling: 1.5 is outside 0 to 1"},
		{"sampling by no policy", "discovery: {services: [{name: a, exe_path: x, sampling: slow}]}", `discovery.services[0].sampling: "slow" is neither a share`},
		{"sampling without a name", "discovery: {services: [{exe_path: x, sampling: '0.5'}]}", "exports and sampling need a name"},
		{"glob of a label", "discovery: {services: [{k8s_pod_labels: {app: '{a'}}]}", `discovery.services[0].k8s_pod_labels.app: "{a" is not a glob`},
		{"glob", "discovery: {exclude_services: [{exe_path: '[a'}]}", `discovery.exclude_services[0].exe_path: "[a" is not a glob`},
		{"certificate without key", "bus: {tls: {cert_file: a}}", "bus.tls: cert_file and key_file go together"},
		{"file without path", "exporters: {file: }", "exporters.file.path: must be set"},
		{"policy", "sampling: {policies: [{name: a, type: latency}]}", "sampling.policies[0].latency: must be set"},
		{"policy of another type", "sampling: {policies: [{name: a, type: always_sample, latency: {}}]}", `the policy's type is "always_sample"`},
		{"policy with two sections", "sampling: {policies: [{name: a, type: latency, latency: {threshold_ms: 1}, span_count: {min_spans: 1}}]}", `sampling.policies[0].span_count: the policy's type is "latency": only`},
		{"policy of no type", "sampling: {policies: [{name: a, type: errors}]}", `sampling.policies[0].type: "errors" is none of always_sample, latency,`},
		{"policy without a name", "sampling: {policies: [{type: always_sample}]}", "sampling.policies[0].name: must be set"},
		{"policies of one name", "sampling: {policies: [{name: a, type: always_sample}, {name: a, type: trace_flags}]}", `sampling.policies[1].name: "a" is the name of sampling.policies[0] too`},
		{"ottl", "sampling: {policies: [{name: a, type: ottl_condition, ottl_condition: {span: [x]}}]}", "sampling.policies[0].ottl_condition: not supported"},
		{"regular expression", "sampling: {policies: [{name: a, type: string_attribute, string_attribute: {key: k, values: ['a', '(b'], enabled_regex_matching: true}}]}", `sampling.policies[0].string_attribute.values[1]: "(b" is not a regular expression`},
		{"percentage", "sampling: {policies: [{name: a, type: probabilistic, probabilistic: {sampling_percentage: 101}}]}", "sampling.policies[0].probabilistic.sampling_percentage: 101 is outside 0 to 100"},
		{"numbers without bounds", "sampling: {policies: [{name: a, type: numeric_attribute, numeric_attribute: {key: k}}]}", "numeric_attribute: set min_value, max_value or both"},
		{"numbers the wrong way round", "sampling: {policies: [{name: a, type: numeric_attribute, numeric_attribute: {key: k, min_value: 5, max_value: 4}}]}", "min_value: 5 is more than max_value, which is 4"},
		{"latencies the wrong way round", "sampling: {policies: [{name: a, type: latency, latency: {threshold_ms: 5, upper_threshold_ms: 5}}]}", "upper_threshold_ms: 5 is not more than threshold_ms"},
		{"span counts the wrong way round", "sampling: {policies: [{name: a, type: span_count, span_count: {min_spans: 5, max_spans: 4}}]}", "max_spans: 4 is less than min_spans"},
		{"kernel policy without a symptom", "sampling: {policies: [{name: a, type: kernel, kernel: {}}]}", "sampling.policies[0].kernel: give at least one of min_retransmits,"},
		{"kernel outcome", "sampling: {policies: [{name: a, type: kernel, kernel: {outcomes: [rst]}}]}", `kernel.outcomes[0]: "rst" is none of closed, reset,`},
		{"drop inside", "sampling: {policies: [{name: a, type: and, and: {and_sub_policy: [{name: b, type: drop, drop: {drop_sub_policy: [{name: c, type: always_sample}]}}]}}]}", `and.and_sub_policy[0].type: "drop" is not allowed inside of a policy of type "and"`},
		{"policy inside", "sampling: {policies: [{name: a, type: not, not: {not_sub_policy: {name: b, type: latency}}}]}", "sampling.policies[0].not.not_sub_policy.latency: must be set"},
		{"nothing inside", "sampling: {policies: [{name: a, type: not, not: {}}]}", "not.not_sub_policy: must be set"},
		{"composite order", "sampling: {policies: [{name: a, type: composite, composite: {max_total_spans_per_second: 1, policy_order: [b, x], composite_sub_policy: [{name: b, type: always_sample}]}}]}", `composite.policy_order[1]: "x" is no policy of this composite: there are b`},
		{"composite order twice", "sampling: {policies: [{name: a, type: composite, composite: {max_total_spans_per_second: 1, policy_order: [b, b], composite_sub_policy: [{name: b, type: always_sample}]}}]}", `policy_order[1]: "b" is named twice`},
		{"composite allocation", "sampling: {policies: [{name: a, type: composite, composite: {max_total_spans_per_second: 1, composite_sub_policy: [{name: b, type: always_sample}], rate_allocation: [{policy: c, percent: 5}]}}]}", `rate_allocation[0].policy: "c" is no policy`},
		{"head", "sampling: {head: yes}", `sampling.head: "yes" is none of auto, respect, ignore`},
		{"send buffer", "capture: {send_buffer: 1MiB, batch_bytes: 2MiB}", "capture.send_buffer: 1MiB does not hold one batch"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := config.Parse("f.yaml", []byte(tt.text))
			if err == nil {
				t.Fatal("no error")
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %q, want %q", err, tt.want)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error shows a password: %s", err)
			}
		})
	}
}

func TestMergeKeys(t *testing.T) {
	t.Parallel()
	cfg, err := config.Parse("f.yaml", []byte("bus: &x\n  tls: &tls {ca_file: a, key_file: k}\n  <<: {url: 'nats://one', replicas: 3}\n  replicas: 5\n"+
		"  tls: {cert_file: c, <<: {ca_file: b, key_file: k}, ca_file: d}"))
	if err == nil {
		t.Fatalf("a key that is set twice was accepted: %+v", cfg)
	}
	cfg, err = config.Parse("f.yaml", []byte("bus:\n  <<: {url: 'nats://one', replicas: 3}\n  replicas: 5"))
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Bus.URL != "nats://one" || cfg.Bus.Replicas != 5 {
		t.Errorf("bus: %+v", cfg.Bus)
	}
}

func TestEnvironment(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "millrace.yaml")
	if err := os.WriteFile(path, []byte("bus: {url: nats://file, replicas: 3}\nexporters: {otlp: {endpoint: a}}"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(path, []string{
		"PATH=/bin",
		"MILLRACE_CONFIG=ignored",
		"MILLRACE_BUS_URL=nats://environment",
		"MILLRACE_BUS_STORAGE=",
		"MILLRACE_CAPTURE_FLUSH_INTERVAL=150ms",
		"MILLRACE_CAPTURE_REDACT_ENABLE=false",
		"MILLRACE_CAPTURE_REDACT_HEADERS=X-One, X-Two",
		"MILLRACE_BUS_MAX_BYTES=64MiB",
		"MILLRACE_EXPORTERS_FILE_PATH=/tmp/spans",
		"MILLRACE_EXPORTERS_OTLP_TLS__INSECURE=true",
		"MILLRACE_EXPORTERS_OTLP_HEADERS__AUTHORIZATION=*x",
		"MILLRACE_EXPORTERS_OTLPHTTP_ENDPOINT=http://b",
		"MILLRACE_NATS_SERVICE_HOST=10.0.0.1",
		"MILLRACE_NATS_SERVICE_PORT_CLIENT=4222",
		"MILLRACE_NATS_PORT=tcp://10.0.0.1:4222",
		"MILLRACE_NATS_PORT_4222_TCP_ADDR=10.0.0.1",
	})
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Bus.URL != "nats://environment" || cfg.Bus.Replicas != 3 || cfg.Bus.MaxBytes != 64*config.MiB || cfg.Bus.Storage != "memory" {
		t.Errorf("bus: %+v", cfg.Bus)
	}
	if c := cfg.Capture; c.FlushInterval != 150*time.Millisecond || c.Redact.Enable || !reflect.DeepEqual(c.Redact.Headers, []string{"X-One", "X-Two"}) {
		t.Errorf("capture: %+v", c)
	}
	want := map[string]any{
		"endpoint": "a", "tls": map[string]any{"insecure": true}, "headers": map[string]any{"authorization": "*x"},
	}
	if !reflect.DeepEqual(cfg.Exporters.OTLP, want) {
		t.Errorf("otlp: %#v", cfg.Exporters.OTLP)
	}
	if cfg.Exporters.OTLPHTTP["endpoint"] != "http://b" || cfg.Exporters.File.Path != "/tmp/spans" {
		t.Errorf("exporters: %+v", cfg.Exporters)
	}
}

func TestEnvironmentErrors(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ entry, want string }{
		{"MILLRACE_BUS_URLS=x", "unknown environment variable MILLRACE_BUS_URLS: did you mean MILLRACE_BUS_URL?"},
		{"MILLRACE_=x", "unknown environment variable MILLRACE_"},
		{"MILLRACE_BUS_PARTITIONS=x", `environment variable MILLRACE_BUS_PARTITIONS: "x" is not a whole number`},
		{"MILLRACE_BUS_PARTITIONS=5000", "bus.partitions: 5000 is outside"},
	} {
		if _, err := config.Load("", []string{tt.entry}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want %q", tt.entry, err, tt.want)
		}
	}
}

func TestLoadFileErrors(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := config.Load(filepath.Join(dir, "none"), nil); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("absent file: %v", err)
	}
	if _, err := config.Load(dir, nil); err == nil {
		t.Error("a directory is no error")
	}
	large := filepath.Join(dir, "large")
	if err := os.WriteFile(large, make([]byte, 5<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := config.Load(large, nil); err == nil || !strings.Contains(err.Error(), "more than 4MiB") {
		t.Errorf("large file: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("bus: {url: nats://x, partitions: 3}")
	f.Add("bus: &a\n  <<: [*a, *a]")
	f.Add("a: &a [*a]\nbus: *a")
	f.Add("exporters: {otlp: &o {a: *o}}")
	f.Add("exporters:\n  otlp: {a: [1, {b: c}]}\n  file:\nsampling: {policies: [{name: a, type: latency, latency: {threshold_ms: 5}}]}")
	f.Add("attributes: {select: {? [a] : b}}")
	f.Add("discovery: {services: [{open_ports: '1-2', k8s_pod_labels: {a: b}}]}")
	f.Fuzz(func(t *testing.T, text string) {
		cfg, err := config.Parse("f.yaml", []byte(text))
		if err != nil {
			if cfg != nil {
				t.Fatal("a configuration besides an error")
			}
			return
		}
		if _, err := cfg.Print(); err != nil {
			t.Fatal(err)
		}
		cfg.Inactive()
	})
}

func FuzzEnvironment(f *testing.F) {
	f.Add("BUS_URL", "x")
	f.Add("EXPORTERS_OTLP_A__B", "{a: [")
	f.Fuzz(func(t *testing.T, name, value string) {
		if cfg, err := config.Load("", []string{"MILLRACE_" + name + "=" + value}); err == nil {
			if err := cfg.Validate(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// The Collector's own example of policies, without what is not supported, is accepted as it is.
func TestCollectorPolicies(t *testing.T) {
	t.Parallel()
	cfg, err := config.Parse("f.yaml", []byte(`
sampling:
  decision_wait: 10s
  num_traces: 100
  decision_cache:
    sampled_cache_size: 100_000
    non_sampled_cache_size: 100_000
  policies:
    [
      {name: test-policy-1, type: always_sample},
      {name: test-policy-2, type: latency, latency: {threshold_ms: 5000, upper_threshold_ms: 10000}},
      {name: test-policy-3, type: numeric_attribute, numeric_attribute: {key: key1, min_value: 50, max_value: 100}},
      {name: test-policy-4, type: probabilistic, probabilistic: {sampling_percentage: 10}},
      {name: test-policy-5, type: status_code, status_code: {status_codes: [ERROR, UNSET]}},
      {name: test-policy-7, type: string_attribute, string_attribute: {key: key2, values: [value1, val*], enabled_regex_matching: true, cache_max_size: 10}},
      {name: test-policy-8, type: rate_limiting, rate_limiting: {spans_per_second: 35}},
      {name: test-policy-9, type: bytes_limiting, bytes_limiting: {bytes_per_second: 1024000, burst_capacity: 2048000}},
      {name: test-policy-10, type: span_count, span_count: {min_spans: 2, max_spans: 20}},
      {name: test-policy-11, type: trace_state, trace_state: { key: key3, values: [value1, value2] }},
      {name: test-policy-12, type: boolean_attribute, boolean_attribute: {key: key4, value: true}},
      {name: and-policy-1, type: and, and: {and_sub_policy: [
        {name: test-and-policy-1, type: numeric_attribute, numeric_attribute: { key: key1, min_value: 50, max_value: 100 }},
        {name: test-and-policy-2, type: not, not: {not_sub_policy: {name: x, type: string_attribute, string_attribute: { key: key2, values: [ value1 ] }}}},
      ]}},
      {name: drop-policy-1, type: drop, drop: {drop_sub_policy: [
        {name: test-drop-policy-1, type: string_attribute, string_attribute: {key: url.path, values: [\/health, \/metrics], enabled_regex_matching: true}},
      ]}},
      {name: composite-policy-1, type: composite, composite: {
        max_total_spans_per_second: 1000,
        policy_order: [test-composite-policy-1, test-composite-policy-2, test-composite-policy-3],
        composite_sub_policy: [
          {name: test-composite-policy-1, type: numeric_attribute, numeric_attribute: {key: key1, min_value: 50}},
          {name: test-composite-policy-2, type: string_attribute, string_attribute: {key: key2, values: [value1, value2]}},
          {name: test-composite-policy-3, type: always_sample},
        ],
        rate_allocation: [{policy: test-composite-policy-1, percent: 50}, {policy: test-composite-policy-2, percent: 25}]}},
    ]
`))
	if err != nil {
		t.Fatal(err)
	}
	if !cfg.Sampling.Enabled() || !cfg.Sampling.RespectsHead() || len(cfg.Inactive()) != 0 {
		t.Errorf("enabled %v, inactive %v", cfg.Sampling.Enabled(), cfg.Inactive())
	}
	if c := cfg.Sampling.Policies[13].Composite; c.Policies[2].Type != "always_sample" || c.RateAllocation[1].Percent != 25 {
		t.Errorf("composite: %+v", c)
	}
	text, err := cfg.Print()
	if err != nil {
		t.Fatal(err)
	}
	again, err := config.Parse("printed", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(again.Sampling.Policies[12].Drop, cfg.Sampling.Policies[12].Drop) {
		t.Errorf("what is printed is not what was read:\n%s", text)
	}
}

func TestSamplingEnabled(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		head              string
		policies          int
		enabled, respects bool
	}{
		{"auto", 0, false, false},
		{"respect", 0, true, true},
		{"ignore", 0, false, false},
		{"auto", 1, true, true},
		{"respect", 1, true, true},
		{"ignore", 1, true, false},
	} {
		s := config.Sampling{Head: tt.head, Policies: make([]config.SamplingPolicy, tt.policies)}
		if s.Enabled() != tt.enabled || s.RespectsHead() != tt.respects {
			t.Errorf("%+v: enabled %v, respects %v", tt, s.Enabled(), s.RespectsHead())
		}
	}
}

func TestUnmatched(t *testing.T) {
	t.Parallel()
	cfg := config.Default()
	cfg.Attributes.Select = map[string]config.AttributeSelection{
		"http_server_request_duration_seconds": {Include: []string{"http.*", "http_rout", "http.rout", "test.shop"}, Exclude: []string{"k8s.*"}},
		"http.server.*":                        {Exclude: []string{"*"}},
		"http.server.duration":                 {},
	}
	got := cfg.Unmatched()
	if len(got) != 4 || !strings.Contains(got[0], `attributes.select.http.server.duration: no such metric: `) || !strings.Contains(got[1], `http_rout: did you mean "http.route"?`) ||
		!strings.Contains(got[2], `http.rout: did you mean "http.route"?`) || !strings.Contains(got[3], "no such attribute k8s.*") {
		t.Errorf("%q", got)
	}
}

// An override that is an empty list is not the same as none, also when it is printed and read again.
func TestEmptyOverride(t *testing.T) {
	t.Parallel()
	cfg, err := config.Parse("a", []byte("discovery: {services: [{name: a, exe_path: b, exports: [], metrics: {features: []}}, {name: c, exe_path: d}]}"))
	if err != nil {
		t.Fatal(err)
	}
	printed, err := cfg.Print()
	if err != nil {
		t.Fatal(err)
	}
	again, err := config.Parse("b", []byte(printed))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []*config.Config{cfg, again} {
		if rules := c.Discovery.Services; rules[0].Exports == nil || rules[0].Metrics.Features == nil || rules[1].Exports != nil || rules[1].Overrides() {
			t.Errorf("%+v", rules)
		}
	}
}
