package metrics

import (
	"millrace.dev/services/enricher/internal/spans"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// readHTTP takes what HTTP tells. The query of a target never is part of a metric.
func (f *facts) readHTTP(h *millracev1.HttpExchange) {
	f.http = h
	f.scheme, f.path, _ = spans.SplitTarget(h.Target)
	if f.client && !f.x.HostForwarded {
		host, port := spans.SplitHost(h.Host)
		f.serverName = host
		if port != 0 {
			f.serverPort = port
		}
	}
}

var httpFields = []field{
	{"http.request.method", func(dst []byte, f *facts) []byte {
		if f.http == nil {
			return append(dst, absent)
		}
		return appendText(dst, spans.Method(f.http))
	}},
	{"http.response.status_code", func(dst []byte, f *facts) []byte {
		if f.http == nil || f.http.Status == 0 {
			return append(dst, absent)
		}
		return appendNumber(dst, uint64(f.http.Status))
	}},
	{"http.route", func(dst []byte, f *facts) []byte {
		if f.client {
			return append(dst, absent)
		}
		return appendText(dst, f.route)
	}},
	{"url.template", func(dst []byte, f *facts) []byte {
		if !f.client {
			return append(dst, absent)
		}
		return appendText(dst, f.route)
	}},
	{"url.scheme", func(dst []byte, f *facts) []byte {
		if f.http == nil {
			return append(dst, absent)
		}
		if f.scheme == "" {
			return appendText(dst, "http")
		}
		return appendText(dst, f.scheme)
	}},
	{"url.path", func(dst []byte, f *facts) []byte { return appendText(dst, f.path) }},
	{"network.protocol.version", func(dst []byte, f *facts) []byte {
		if f.http == nil {
			return append(dst, absent)
		}
		return appendText(dst, f.http.Version)
	}},
}
