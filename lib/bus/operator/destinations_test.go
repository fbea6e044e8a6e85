package operator_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/jwt/v2"

	"millrace.dev/lib/bus/operator"
)

// The exporter's role has the stages of destinations with names of their own, and no other role has.
func TestDestinations(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "operator")
	if _, err := operator.Create(dir); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"tempo", "otlp/", "otlp/a.b", "kafka/x", "otlp/a\notlp/b"} {
		if operator.SetDestinations(dir, []string{name}) == nil {
			t.Errorf("%q was taken", name)
		}
	}
	if err := operator.SetDestinations(dir, []string{"otlp/tempo", "otlphttp/mimir"}); err != nil {
		t.Fatal(err)
	}
	if _, err := operator.Open(dir); err != nil {
		t.Fatal(err)
	}
	token, err := os.ReadFile(filepath.Join(dir, "account.jwt"))
	if err != nil {
		t.Fatal(err)
	}
	account, err := jwt.DecodeAccountClaims(strings.TrimSpace(string(token)))
	if err != nil {
		t.Fatal(err)
	}
	for _, scope := range account.SigningKeys {
		s := scope.(*jwt.UserScope)
		for _, stage := range []string{"exporter-otlp_tempo", "exporter-metrics-otlp_tempo", "exporter-metrics-otlphttp_mimir", "exporter-metrics-otlp"} {
			may := strings.Contains(strings.Join(s.Template.Pub.Allow, "\n"), "."+stage+".")
			if want := s.Role == "exporter" || s.Role == "all"; may != want {
				t.Errorf("%s may use the keys of %s: %v, want %v", s.Role, stage, may, want)
			}
		}
	}
}
