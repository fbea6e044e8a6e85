package redact

import (
	"fmt"
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

// rules are the compiled configuration; immutable.
type rules struct {
	enable     bool
	headers    nameSet
	parameters nameSet
}

func newRules(cfg config.Redact) (*rules, error) {
	r := &rules{enable: cfg.Enable}
	for _, name := range credentialHeaders {
		r.headers.add(name)
	}
	for _, name := range credentialParameters {
		r.parameters.add(name)
	}
	for _, name := range cfg.Headers {
		if err := r.headers.configure(name); err != nil {
			return nil, fmt.Errorf("headers: %w", err)
		}
	}
	for _, name := range cfg.QueryParameters {
		if err := r.parameters.configure(name); err != nil {
			return nil, fmt.Errorf("query_parameters: %w", err)
		}
	}
	return r, nil
}

// nameSet matches names without regard to case. Most names are ruled out by their length and first letter alone.
type nameSet struct {
	first [maxText + 1]uint32 // by length: bit (first byte & 31)
	names [maxText + 1][]string
	globs []string
}

func (s *nameSet) add(name string) {
	s.first[len(name)] |= 1 << (name[0] & 31)
	s.names[len(name)] = append(s.names[len(name)], name)
}

func (s *nameSet) configure(name string) error {
	name = strings.ToLower(strings.TrimSpace(name))
	switch {
	case name == "":
		return fmt.Errorf("an empty name")
	case len(name) > maxText:
		return fmt.Errorf("%q is longer than %d bytes", name, maxText)
	case strings.ContainsAny(name, "*?"):
		s.globs = append(s.globs, name)
	default:
		s.add(name)
	}
	return nil
}

func (s *nameSet) match(name []byte) bool {
	if len(name) == 0 || len(name) > maxText {
		return len(name) != 0 // Too long to be judged: blanked.
	}
	if s.first[len(name)]&(1<<(name[0]&31)) != 0 {
		for _, candidate := range s.names[len(name)] {
			if equalFold(name, candidate) {
				return true
			}
		}
	}
	for _, glob := range s.globs {
		if matchGlob(glob, name) {
			return true
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
