package config

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"millrace.dev/lib/glob"
)

// Validate checks every value. All errors that were found are reported, each on a line of its own, with the key, its
// value and what is allowed. [Load] calls it; code that changes a configuration calls it again.
func (c *Config) Validate() error {
	v := &validator{}
	v.walk(reflect.ValueOf(c).Elem(), "", field{})
	v.bus(c.Bus)
	v.discovery("discovery.services", c.Discovery.Services)
	v.ruleSampling(c)
	v.discovery("discovery.exclude_services", c.Discovery.ExcludeServices)
	for _, hash := range c.Capture.AllowedObjects {
		if raw, err := hex.DecodeString(hash); err != nil || len(raw) != sha256.Size || strings.ToLower(hash) != hash {
			v.fail("capture.allowed_objects", "%q is not a SHA-256 hash of 64 small hexadecimal digits", clip(hash))
		}
	}
	v.globs("capture.redact.headers", c.Capture.Redact.Headers)
	v.globs("capture.redact.allow_headers", c.Capture.Redact.AllowHeaders)
	v.globs("capture.redact.allow_query_parameters", c.Capture.Redact.AllowQueryParameters)
	v.policies("sampling.policies", c.Sampling.Policies, "")
	v.metrics(c.Metrics, c.Attributes.Select)
	v.patterns("routes.patterns", c.Routes.Patterns)
	v.patterns("routes.ignored_patterns", c.Routes.IgnoredPatterns)
	v.exporters(&c.Exporters)
	if len(c.DNS.Ports) > MaxDNSPorts {
		v.fail("dns.ports", "%d ports are more than %d", len(c.DNS.Ports), MaxDNSPorts)
	}
	if c.Routes.WildcardChar != "" && utf8.RuneCountInString(c.Routes.WildcardChar) != 1 {
		v.fail("routes.wildcard_char", "%q is not one character", c.Routes.WildcardChar)
	}
	if c.Capture.SendBuffer < c.Capture.BatchBytes {
		v.fail("capture.send_buffer", "%s does not hold one batch (capture.batch_bytes is %s)", c.Capture.SendBuffer, c.Capture.BatchBytes)
	}
	return errors.Join(v.errs...)
}

type validator struct{ errs []error }

func (v *validator) fail(path, format string, args ...any) {
	if len(v.errs) < maxErrors {
		v.errs = append(v.errs, fmt.Errorf("%s: %s", path, fmt.Sprintf(format, args...)))
	}
}

// walk applies the tags of the schema.
func (v *validator) walk(value reflect.Value, at string, f field) {
	switch value.Kind() {
	case reflect.Struct:
		for _, f := range fieldsOf(value.Type()) {
			v.walk(value.Field(f.index), join(at, f.key), f)
		}
		return
	case reflect.Pointer:
		if !value.IsNil() {
			v.walk(value.Elem(), at, field{})
		}
		return
	case reflect.Map:
		if value.Type() == freeFormType {
			return
		}
		for _, key := range slices.SortedFunc(slices.Values(value.MapKeys()), func(a, b reflect.Value) int {
			return cmp.Compare(a.String(), b.String())
		}) {
			v.walk(value.MapIndex(key), join(at, clip(key.String())), f)
		}
		return
	case reflect.Slice:
		if f.check == "required" && value.Len() == 0 {
			v.fail(at, "must be set")
		}
		f.check = ""
		for i := range value.Len() {
			v.walk(value.Index(i), fmt.Sprintf("%s[%d]", at, i), f)
		}
		return
	}
	v.scalar(value, at, f)
}

func (v *validator) scalar(value reflect.Value, at string, f field) {
	text := textOf(value)
	if f.check == "required" && text == "" {
		v.fail(at, "must be set")
		return
	}
	if f.check == "optional" && text == "" {
		return
	}
	if len(f.oneof) > 0 && !slices.Contains(f.oneof, text) {
		v.fail(at, "%q is none of %s", clip(text), strings.Join(f.oneof, ", "))
	}
	if f.least != "" && outside(value, f) {
		v.fail(at, "%s is outside %s to %s", text, f.least, f.greatest)
	}
	if text == "" {
		return
	}
	var err error
	switch f.check {
	case "address":
		err = checkAddress(text)
	case "ports":
		_, err = ParsePorts(text)
	case "cidr":
		if _, err = netip.ParsePrefix(text); err != nil {
			err = fmt.Errorf("%q is not a range of addresses such as 10.0.0.0/8", clip(text))
		}
	case "power_of_two":
		if n := value.Int(); n&(n-1) != 0 {
			err = fmt.Errorf("%s is not a power of two", text)
		}
	}
	if err != nil {
		v.fail(at, "%v", err)
	}
}

// outside reports whether a number is outside of the range of its tag. The bounds are constants that a test checks.
func outside(value reflect.Value, f field) bool {
	least, greatest := reflect.New(value.Type()).Elem(), reflect.New(value.Type()).Elem()
	if setText(least, f.least) != nil || setText(greatest, f.greatest) != nil {
		return true
	}
	if value.Kind() == reflect.Float64 {
		return value.Float() < least.Float() || value.Float() > greatest.Float()
	}
	return value.Int() < least.Int() || value.Int() > greatest.Int()
}

func checkAddress(text string) error {
	_, port, err := net.SplitHostPort(text)
	if err != nil {
		return fmt.Errorf("%q is not an address: write host:port, for example 127.0.0.1:9090 or :9090", clip(text))
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("%q: the port is not a number from 0 to 65535", clip(text))
	}
	return nil
}

// NeedsUsers is the reason why an address that others can reach is refused, and what to do.
const NeedsUsers = "others than this machine could read all payload and write on the bus: set bus.embedded.users_file " +
	"(docs/security.md says how), or listen on 127.0.0.1, or use a NATS server of its own with bus.url"

// Local reports whether the address is certainly one that only this machine can reach: a loopback address, or
// localhost. Other names may lead anywhere, and an empty host is every address of the machine.
func (e Embedded) Local() bool {
	host, _, err := net.SplitHostPort(e.Listen)
	if err != nil {
		return e.Listen == ""
	}
	host, _, _ = strings.Cut(host, "%") // a zone
	if ip := net.ParseIP(host); ip != nil {
		return ip.IsLoopback()
	}
	return strings.EqualFold(strings.TrimSuffix(host, "."), "localhost")
}

func (v *validator) bus(b Bus) {
	if (b.TLS.CertFile == "") != (b.TLS.KeyFile == "") {
		v.fail("bus.tls", "cert_file and key_file go together")
	}
	if (b.Embedded.CertFile == "") != (b.Embedded.KeyFile == "") {
		v.fail("bus.embedded", "cert_file and key_file go together")
	}
	if b.Embedded.CertFile != "" && b.Embedded.UsersFile == "" {
		v.fail("bus.embedded.cert_file", "a certificate says nothing about clients: set bus.embedded.users_file as well")
	}
	if b.URL == "" {
		if b.Embedded.UsersFile == "" && checkAddress(b.Embedded.Listen) == nil && !b.Embedded.Local() {
			v.fail("bus.embedded.listen", "%q: %s", clip(b.Embedded.Listen), NeedsUsers)
		}
		return
	}
	for _, one := range strings.Split(b.URL, ",") {
		one = strings.TrimSpace(one)
		if !strings.Contains(one, "://") {
			one = "nats://" + one
		}
		u, err := url.Parse(one)
		if err != nil || u.Host == "" {
			// The error of url.Parse holds the password.
			v.fail("bus.url", "not a list of addresses: write for example nats://127.0.0.1:4222")
			return
		}
		if !slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme) {
			v.fail("bus.url", "scheme %q is none of nats, tls, ws, wss", clip(u.Scheme))
		}
	}
}

func (v *validator) discovery(at string, rules []Service) {
	for i, rule := range rules {
		here := fmt.Sprintf("%s[%d]", at, i)
		bare := rule
		bare.Name, bare.Namespace = "", ""
		bare.Routes, bare.Metrics, bare.Exports, bare.Sampling = ServiceRoutes{}, ServiceMetrics{}, nil, ""
		if reflect.ValueOf(bare).IsZero() {
			v.fail(here, "the rule has no criterion: give at least one of open_ports, exe_path, languages, or of those that begin with k8s_")
		}
		if rule.Overrides() && rule.Name == "" {
			v.fail(here, "routes, metrics, exports and sampling need a name: the services are known by it")
		}
		v.patterns(join(here, "routes.incoming"), rule.Routes.Incoming)
		v.patterns(join(here, "routes.outgoing"), rule.Routes.Outgoing)
		for _, f := range fieldsOf(reflect.TypeFor[Service]()) {
			value := reflect.ValueOf(rule).Field(f.index)
			switch {
			case f.key == "name", f.key == "namespace", f.key == "sampling", f.check != "":
			case value.Kind() == reflect.String:
				v.criterion(join(here, f.key), value.String())
			case value.Kind() == reflect.Map:
				for _, key := range value.MapKeys() {
					v.criterion(join(join(here, f.key), clip(key.String())), value.MapIndex(key).String())
				}
			}
		}
	}
}

// ruleSampling checks what rules say of sampling.
func (v *validator) ruleSampling(c *Config) {
	for i, rule := range c.Discovery.Services {
		at := fmt.Sprintf("discovery.services[%d].sampling", i)
		share, number := rule.SampledShare()
		named := func(p SamplingPolicy) bool { return p.Name == rule.Sampling && p.Type != "drop" }
		switch {
		case rule.Sampling == "", number && share >= 0 && share <= 1:
		case number:
			v.fail(at, "%s is outside 0 to 1", clip(rule.Sampling))
		case !slices.ContainsFunc(c.Sampling.Policies, named):
			v.fail(at, "%q is neither a share from 0 to 1 nor the name of a policy of sampling.policies that keeps traces", clip(rule.Sampling))
		}
	}
}

// criterion checks a pattern of a rule. Those with alternatives, which path does not know, are globs as well.
func (v *validator) criterion(at, pattern string) {
	if _, err := glob.Compile(pattern); err != nil {
		v.fail(at, "%q is not a glob", clip(pattern))
		return
	}
	v.globs(at, []string{pattern})
}

func (v *validator) exporters(e *Exporters) {
	if e.File != nil {
		v.export("exporters.file", &e.File.Filter, &e.File.Attributes)
	}
	if e.Prometheus != nil {
		v.export("exporters.prometheus", &e.Prometheus.Filter, &e.Prometheus.Attributes)
	}
}

func (v *validator) export(at string, filter *ExportFilter, attributes *ExportAttributes) {
	for _, section := range []struct {
		key   string
		globs *Globs
	}{
		{"filter.services", &filter.Services},
		{"filter.namespaces", &filter.Namespaces},
		{"filter.metrics", &filter.Metrics},
		{"attributes.spans", &attributes.Spans},
		{"attributes.metrics", &attributes.Metrics},
		{"attributes.resource", &attributes.Resource},
	} {
		v.globs(join(join(at, section.key), "include"), section.globs.Include)
		v.globs(join(join(at, section.key), "exclude"), section.globs.Exclude)
	}
}

func (v *validator) globs(at string, globs []string) {
	for _, glob := range globs {
		if _, err := path.Match(glob, ""); err != nil {
			v.fail(at, "%q is not a glob: %v", clip(glob), err)
		}
	}
}
