package redact

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"millrace.dev/lib/config"
)

// Built-in names of headers that carry credentials.
var credentialHeaders = []string{
	"authorization", "proxy-authorization", "cookie", "cookie2", "set-cookie", "set-cookie2",
	"x-api-key", "api-key", "apikey", "x-apikey", "x-auth-token", "x-access-token", "x-refresh-token", "x-id-token", "x-session-token",
	"x-csrf-token", "x-xsrf-token", "x-token", "x-secret", "x-amz-security-token", "x-vault-token", "x-consul-token", "x-nomad-token",
	"x-goog-api-key", "x-goog-iam-authorization-token", "x-functions-key", "x-gitlab-token", "private-token", "job-token",
	"x-forwarded-access-token", "x-forwarded-authorization", "x-original-authorization", "x-shopify-access-token", "x-rapidapi-key",
	"ocp-apim-subscription-key", "dd-api-key", "dd-application-key", "x-honeycomb-team", "x-hub-signature", "x-hub-signature-256",
}

// Built-in names of query parameters that carry credentials.
var credentialParameters = []string{
	"token", "access_token", "refresh_token", "id_token", "auth_token", "authtoken", "auth", "authorization", "bearer", "jwt",
	"api_key", "apikey", "api-key", "access_key", "accesskey", "private_key", "client_secret", "secret", "secret_key",
	"password", "passwd", "passphrase", "pass", "pwd", "credential", "credentials", "sig", "signature",
	"session", "sessionid", "session_id", "sid", "awsaccesskeyid",
	"x-amz-signature", "x-amz-security-token", "x-amz-credential", "x-goog-signature", "x-goog-credential",
}

// Names of headers whose values Millrace uses, and what it does with them.
var usedHeaders = map[string]headerKind{
	"content-length": headerLength, "transfer-encoding": headerCoding, "host": headerHost, "content-type": headerType,
	"user-agent": headerAgent, "traceparent": headerParent, "tracestate": headerState, "upgrade": headerUpgrade,
}

// Names of headers that say nothing about who sent them. Their values are blanked.
var commonHeaders = []string{
	"accept", "accept-charset", "accept-encoding", "accept-language", "accept-ranges", "access-control-allow-credentials",
	"access-control-allow-headers", "access-control-allow-methods", "access-control-allow-origin", "access-control-expose-headers",
	"access-control-max-age", "access-control-request-headers", "access-control-request-method", "age", "allow", "alt-svc", "b3", "baggage",
	"cache-control", "connection", "content-disposition", "content-encoding", "content-language", "content-location", "content-range",
	"content-security-policy", "date", "dnt", "etag", "expect", "expires", "forwarded", "from", "if-match", "if-modified-since", "if-none-match",
	"if-range", "if-unmodified-since", "keep-alive", "last-modified", "link", "location", "max-forwards", "origin", "pragma",
	"proxy-authenticate", "proxy-connection", "range", "referer", "referrer-policy", "refresh", "retry-after", "server", "server-timing",
	"strict-transport-security", "te", "trailer", "upgrade-insecure-requests", "vary", "via", "warning", "www-authenticate",
	"x-amzn-trace-id", "x-b3-parentspanid", "x-b3-sampled", "x-b3-spanid", "x-b3-traceid", "x-content-type-options", "x-correlation-id",
	"x-forwarded-for", "x-forwarded-host", "x-forwarded-port", "x-forwarded-proto", "x-frame-options", "x-powered-by", "x-real-ip",
	"x-request-id", "x-requested-with", "x-xss-protection",
}

// Names of query parameters whose values are kept unless they look like credentials themselves.
var plainParameters = []string{
	"a", "b", "c", "i", "k", "m", "n", "p", "q", "s", "v", "x", "y", "z", "id", "ids", "page", "page_size", "pagesize", "per_page", "size", "limit",
	"offset", "start", "end", "from", "to", "since", "until", "before", "after", "cursor_type", "sort", "sort_by", "order", "order_by", "orderby",
	"direction", "dir", "filter", "fields", "include", "exclude", "expand", "format", "type", "kind", "status", "category", "name", "item", "items",
	"count", "index", "query", "search", "term", "lang", "language", "locale", "region", "country", "city", "currency", "service", "method",
	"version", "api-version", "lookback", "step", "time", "date", "year", "month", "day", "width", "height", "lat", "lon", "lng", "zoom", "full",
	"verbose", "pretty", "debug", "dry_run", "dryrun", "action", "op", "mode", "view", "tab", "namespace", "resource", "product", "sku", "color",
}

// Names of path segments behind which a credential may follow.
var credentialSegments = []string{
	"token", "tokens", "access-token", "access_token", "accesstoken", "refresh-token", "refresh_token", "auth-token", "secret", "secrets",
	"password", "passwords", "passwd", "pwd", "reset-password", "reset_password", "resetpassword", "password-reset", "password_reset", "otp", "jwt",
	"apikey", "apikeys", "api-key", "api_key", "api-keys", "api_keys", "magic-link", "magic_link", "magiclink", "verify-email", "verify_email",
	"activate", "activation", "unsubscribe", "invite", "invites", "invitation", "webhookb2", "hooks", "bearer", "passphrase", "credential",
	"credentials", "sessionid", "jsessionid", "confirm", "confirmation", "reset",
}

// What is known of the name of a query parameter.
const (
	parameterUnknown uint8 = iota
	parameterBlanked
	parameterKept
)

// rules are the compiled configuration; immutable.
type rules struct {
	enable     bool
	literals   bool // of Redis commands are blanked
	headers    nameTable
	parameters nameTable
	pathNames  nameTable
}

func newRules(cfg config.Redact) (*rules, error) {
	r := &rules{enable: cfg.Enable, literals: cfg.Literals}
	// Of a name that is added twice, the first meaning holds: what is to be blanked is never kept.
	for _, list := range []struct {
		key     string
		names   []string
		table   *nameTable
		meaning uint8
	}{
		{"headers", cfg.Headers, &r.headers, uint8(headerBlanked)},
		{"", credentialHeaders, &r.headers, uint8(headerBlanked)},
		{"", slices.Sorted(maps.Keys(usedHeaders)), &r.headers, 0},
		{"allow_headers", cfg.AllowHeaders, &r.headers, uint8(headerKept)},
		{"", commonHeaders, &r.headers, uint8(headerBlanked)},
		{"query_parameters", cfg.QueryParameters, &r.parameters, parameterBlanked},
		{"", credentialParameters, &r.parameters, parameterBlanked},
		{"allow_query_parameters", cfg.AllowQueryParameters, &r.parameters, parameterKept},
		{"", plainParameters, &r.parameters, parameterKept},
		{"", credentialSegments, &r.pathNames, 1},
	} {
		for _, name := range list.names {
			meaning := list.meaning
			if meaning == 0 {
				meaning = uint8(usedHeaders[name])
			}
			if err := list.table.configure(name, meaning); err != nil {
				return nil, fmt.Errorf("%s: %w", list.key, err)
			}
		}
	}
	return r, nil
}

// header says what happens to the value of a header.
func (r *rules) header(name []byte) headerKind { return headerKind(r.headers.find(name)) }

// nameTable says what names mean, without regard to case. Most names are ruled out by their length and first letter
// alone.
type nameTable struct {
	first [maxText + 1]uint32 // by length: bit (first byte & 31)
	names [maxText + 1][]meaning
	globs []meaning
}

type meaning struct {
	name string
	what uint8
}

func (t *nameTable) configure(name string, what uint8) error {
	name = strings.ToLower(strings.TrimSpace(name))
	switch {
	case name == "":
		return errors.New("an empty name")
	case len(name) > maxText:
		return fmt.Errorf("%q is longer than %d bytes", name, maxText)
	case strings.ContainsAny(name, "*?"):
		t.globs = append(t.globs, meaning{name, what})
	default:
		t.first[len(name)] |= 1 << (name[0] & 31)
		t.names[len(name)] = append(t.names[len(name)], meaning{name, what})
	}
	return nil
}

// find gives the meaning of a name, 0 if it is not known. Globs of the configuration that blank go before names that
// are kept: a list of those to blank is the stronger one.
func (t *nameTable) find(name []byte) uint8 {
	if len(name) == 0 || len(name) > maxText {
		return 0
	}
	what := uint8(0)
	if t.first[len(name)]&(1<<(name[0]&31)) != 0 {
		for _, m := range t.names[len(name)] {
			// The last letter tells most of those apart that agree in length and first letter.
			if last := len(name) - 1; name[last]|0x20 == m.name[last]|0x20 && equalFold(name, m.name) {
				what = m.what
				break
			}
		}
	}
	for _, m := range t.globs {
		if (what == 0 || m.what == 1) && matchGlob(m.name, name) {
			return m.what
		}
	}
	return what
}

// begins reports whether a known name begins with b.
func (t *nameTable) begins(b []byte) bool {
	for n := len(b); n <= maxText; n++ {
		for _, m := range t.names[n] {
			if equalFold(b, m.name[:len(b)]) {
				return true
			}
		}
	}
	return false
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c | 0x20
	}
	return c
}

// equalFold compares b with want, which is in lower case, as ASCII.
func equalFold(b []byte, want string) bool {
	if len(b) != len(want) {
		return false
	}
	for i := range b {
		if lower(b[i]) != want[i] {
			return false
		}
	}
	return true
}

// matchGlob matches with '*' and '?'; glob is in lower case. Backtracking goes to the last star only, so the time is
// bounded by the product of the lengths.
func matchGlob(glob string, name []byte) bool {
	g, n, star, mark := 0, 0, -1, 0
	for n < len(name) {
		switch {
		case g < len(glob) && glob[g] == '*':
			star, mark = g, n
			g++
		case g < len(glob) && (glob[g] == '?' || glob[g] == lower(name[n])):
			g++
			n++
		case star >= 0:
			mark++
			g, n = star+1, mark
		default:
			return false
		}
	}
	for g < len(glob) && glob[g] == '*' {
		g++
	}
	return g == len(glob)
}
