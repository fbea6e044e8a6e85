package release

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/jwt/v2"
	"github.com/prometheus/client_golang/prometheus"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/bus/access"
)

// TestIssuer: a capture gets a credential of the node that the API server names, and nobody else gets any.
func TestIssuer(t *testing.T) {
	t.Parallel()
	k := testKeys()
	k.Rotation = "1"
	fake, api := newFakeAPI(t, k.SecretNames()...)
	kept := keep(t, k, api)
	fake.tokens = map[string]bearer{
		"capture":  {"system:serviceaccount:shop:m-capture", "Worker.1"},
		"unbound":  {"system:serviceaccount:shop:m-capture", ""},
		"somebody": {"system:serviceaccount:shop:default", "Worker.1"},
	}
	dir := t.TempDir()
	for name, content := range fake.secrets["m-admin"].Data {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	issuer := &Issuer{API: api, Account: "shop:m-capture", Audience: "m.shop", Dir: dir, Log: slog.New(slog.DiscardHandler)}
	if err := issuer.Register(prometheus.NewRegistry()); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- issuer.serve(ctx, listener) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	authorities := x509.NewCertPool()
	authorities.AppendCertsFromPEM(fake.secrets["m-capture"].Data["ca.pem"])
	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: authorities, ServerName: "localhost"}, DisableKeepAlives: true,
	}}
	for _, tt := range []struct {
		name, method, token, rotation string
		status                        int
		want                          string
	}{
		{"capture", "POST", "Bearer capture", "1", 200, "BEGIN NATS USER JWT"},
		{"another method", "GET", "Bearer capture", "1", 405, ""},
		{"no token", "POST", "", "1", 403, "is needed"},
		{"another scheme", "POST", "Basic capture", "1", 403, "is needed"},
		{"a token that nobody knows", "POST", "Bearer none", "1", 403, "not valid"},
		{"another service account", "POST", "Bearer somebody", "1", 403, "only capture"},
		{"a token of no pod", "POST", "Bearer unbound", "1", 403, "not bound"},
		{"keys of an older rotation", "POST", "Bearer capture", "2", 503, "not yet"},
	} {
		request, err := http.NewRequestWithContext(t.Context(), tt.method, "https://"+listener.Addr().String()+CredentialPath+"?rotation="+tt.rotation, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if tt.token != "" {
			request.Header.Set("Authorization", tt.token)
		}
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil || response.StatusCode != tt.status || !strings.Contains(string(body), tt.want) {
			t.Errorf("%s: %d %q %v, want %d %q", tt.name, response.StatusCode, body, err, tt.status, tt.want)
		}
		if tt.status != 200 {
			continue
		}
		if err := kept.Operator.Check(access.Capture, body); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		token, err := jwt.ParseDecoratedJWT(body)
		if err != nil {
			t.Fatal(err)
		}
		claims, err := jwt.DecodeUserClaims(token)
		if err != nil || claims.Name != bus.Token("Worker.1") {
			t.Errorf("the credential is of %q (%v), want the node", claims.Name, err)
		}
	}
}
