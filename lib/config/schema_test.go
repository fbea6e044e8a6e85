package config

import (
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestReferenceIsCurrent(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	if string(page) != Reference() {
		t.Error("docs/configuration.md is not current: run `go generate ./config` in lib")
	}
}

// TestSchema checks what the compiler cannot: every field has a key, a comment, and tags that make sense.
func TestSchema(t *testing.T) {
	t.Parallel()
	r := reference{comments: map[string]string{}}
	r.readComments()
	seen := map[reflect.Type]bool{}
	var check func(t *testing.T, of reflect.Type)
	check = func(t *testing.T, of reflect.Type) {
		if of.Kind() != reflect.Struct || seen[of] {
			return
		}
		seen[of] = true // Policies have policies inside.
		if r.comments[of.Name()] == "" {
			t.Errorf("%s has no comment", of.Name())
		}
		for _, f := range fieldsOf(of) {
			field := of.Field(f.index)
			name := of.Name() + "." + field.Name
			if f.key == "" {
				t.Errorf("%s has no key", name)
			}
			// Of sections, the section's own comment counts.
			if elementType(field.Type).Kind() != reflect.Struct && r.comments[name] == "" {
				t.Errorf("%s has no comment", name)
			}
			if f.least != "" {
				least, greatest := reflect.New(elementType(field.Type)).Elem(), reflect.New(elementType(field.Type)).Elem()
				if err := setText(least, f.least); err != nil {
					t.Errorf("%s: %v", name, err)
				}
				if err := setText(greatest, f.greatest); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
			switch f.check {
			case "", "optional", "address", "cidr", "ports", "power_of_two", "required":
			default:
				t.Errorf("%s: unknown check %q", name, f.check)
			}
			check(t, elementType(field.Type))
		}
	}
	check(t, reflect.TypeFor[Config]())
}

func TestVariableNamesAreUnique(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for _, v := range allVariables() {
		if other, found := seen[v.name]; found {
			t.Errorf("%s stands for %s and %s", v.name, other, v.path)
		}
		seen[v.name] = v.path
		if serviceLink.MatchString(v.name) {
			t.Errorf("%s looks like a variable that Kubernetes sets", v.name)
		}
	}
	for _, free := range allVariables() {
		for _, v := range allVariables() {
			if free.get(reflect.ValueOf(Default()).Elem()).Type() == freeFormType && strings.HasPrefix(v.name, free.name+"_") {
				t.Errorf("%s belongs to %s and %s", v.name, free.path, v.path)
			}
		}
	}
}

func TestDurationText(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		0: "0s", time.Second: "1s", time.Minute: "1m", 10 * time.Hour: "10h", 90 * time.Minute: "1h30m", 61 * time.Second: "1m1s",
		100 * time.Millisecond: "100ms", time.Hour + time.Second: "1h0m1s",
	} {
		if got := durationText(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
		if back, err := parseDuration(want); err != nil || back != d {
			t.Errorf("%s: %v, %v", want, back, err)
		}
	}
}

func TestByteSize(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]ByteSize{
		"0": 0, "1": 1, "4096": 4096, "64KiB": 64 * KiB, "64 kib": 64 * KiB, "1GB": 1e9, "1.5GiB": 3 * GiB / 2, "7B": 7, " 2MB ": 2e6, "1TiB": 1 << 40,
		"9223372036854775807": 1<<63 - 1,
	} {
		got, err := ParseByteSize(text)
		if err != nil || got != want {
			t.Errorf("%q: %d, %v; want %d", text, got, err, want)
		}
		if back, err := ParseByteSize(got.String()); err != nil || back != got {
			t.Errorf("%q: %s does not parse back: %v", text, got, err)
		}
	}
	for _, text := range []string{"", "B", "-1", "1PB", "x", "1.5", "0.3KiB", "9223372036854775808", "9000000000GiB", "1e5", "0x10", "inf", "1..2KB", "NaN", "."} {
		if got, err := ParseByteSize(text); err == nil {
			t.Errorf("%q: %d, want an error", text, got)
		}
	}
}

func TestPrintMasksSecretsAndLoadsAgain(t *testing.T) {
	t.Parallel()
	cfg := Default()
	cfg.Bus.URL = "nats://user:hunter2@one:4222,token-hunter2@two"
	cfg.Exporters.OTLP = map[string]any{
		"endpoint": "http://user:hunter2@host:1/path",
		"headers":  map[string]any{"x-tenant": "hunter2"},
		"auth":     map[string]any{"nested": []any{"hunter2", map[string]any{"deep": "hunter2"}}},
		"api_key":  "hunter2",
		"tls":      map[string]any{"key_pem": "hunter2", "insecure": true},
		"timeout":  "5s",
		"text":     "true",
		"number":   5,
		"nothing":  nil,
	}
	cfg.Exporters.Debug = map[string]any{}
	cfg.Discovery.Services = []Service{{Name: "80", OpenPorts: "80"}}
	cfg.Capture.MessageBytes = 1 << 20
	cfg.Attributes.Select = map[string]AttributeSelection{"b": {Include: []string{"x"}}, "a": {}}
	text, err := cfg.Print()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(text, "hunter2") {
		t.Errorf("a secret shows:\n%s", text)
	}
	back, err := Parse("printed", []byte(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if back.Exporters.OTLP["text"] != "true" || back.Exporters.OTLP["number"] != 5 || back.Exporters.OTLP["timeout"] != "5s" {
		t.Errorf("otlp: %#v", back.Exporters.OTLP)
	}
	back.Bus.URL, back.Exporters.OTLP = cfg.Bus.URL, cfg.Exporters.OTLP
	if again, err := back.Print(); err != nil || again != text {
		t.Errorf("not the same again (%v):\n%s\n%s", err, text, again)
	}
}
