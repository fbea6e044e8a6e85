package detail

import "testing"

func TestSplitHost(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]struct {
		host string
		port uint32
	}{
		"": {}, "a": {"a", 0}, "a:80": {"a", 80}, "[::1]:8080": {"::1", 8080}, "[::1]": {"::1", 0}, "::1": {"::1", 0}, "a:": {"a:", 0},
		"a:99999": {"a:99999", 0},
	} {
		if host, port := splitHost(in); host != want.host || port != want.port {
			t.Errorf("%q: %q %d", in, host, port)
		}
	}
}
