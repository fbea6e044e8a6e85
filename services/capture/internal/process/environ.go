package process

import (
	"net/url"
	"strings"

	"millrace.dev/protocols/edge/secret"
)

// Bounds of what is taken from the environment.
const (
	maxAttribute  = 256 // bytes of a key or a value
	maxAttributes = 32
)

// environment is what a process's own environment says about OpenTelemetry. Nothing else is taken from it.
type environment struct {
	serviceName   string
	attributes    map[string]string
	sdkConfigured bool
}

// parseEnviron reads /proc/pid/environ.
func parseEnviron(text []byte) environment {
	var e environment
	resourceName := ""
	for entry := range strings.SplitSeq(string(text), "\x00") {
		if !strings.HasPrefix(entry, "OTEL_") {
			continue
		}
		name, value, _ := strings.Cut(entry, "=")
		value = strings.ToValidUTF8(value, "?")
		switch {
		case name == "OTEL_SERVICE_NAME":
			e.serviceName = cut(strings.TrimSpace(value))
		case name == "OTEL_RESOURCE_ATTRIBUTES":
			e.attributes, resourceName = parseAttributes(value)
		case strings.HasPrefix(name, "OTEL_EXPORTER_OTLP_") && strings.HasSuffix(name, "ENDPOINT") && value != "":
			e.sdkConfigured = true
		}
	}
	if e.serviceName == "" {
		e.serviceName = resourceName
	}
	e.serviceName = screenValue(e.serviceName)
	return e
}

// parseAttributes reads "key=value,key=value" with percent-encoded values, as the OpenTelemetry SDK specification has
// it, without service.name, which it gives apart.
func parseAttributes(text string) (attributes map[string]string, serviceName string) {
	for pair := range strings.SplitSeq(text, ",") {
		key, value, found := strings.Cut(pair, "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		if !found || key == "" || len(key) > maxAttribute {
			continue
		}
		if decoded, err := url.PathUnescape(value); err == nil {
			value = strings.ToValidUTF8(decoded, "?")
		}
		if key == "service.name" {
			serviceName = cut(value)
			continue
		}
		if secret.Name([]byte(key)) || looksSecret(key) || len(attributes) == maxAttributes {
			continue
		}
		if attributes == nil {
			attributes = map[string]string{}
		}
		attributes[key] = cut(screenValue(value))
	}
	return attributes, serviceName
}

func cut(s string) string {
	if len(s) <= maxAttribute {
		return s
	}
	return strings.ToValidUTF8(s[:maxAttribute], "")
}
