package destination

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"millrace.dev/lib/config"
)

// authority signs certificates of servers and clients in tests.
type authority struct {
	dir         string
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	pool        *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{dir: t.TempDir(), pool: x509.NewCertPool()}
	a.certificate, a.key = a.sign(t, "ca", nil)
	a.pool.AddCert(a.certificate)
	return a
}

// sign makes name.pem and name.key in the directory.
func (a *authority) sign(t *testing.T, name string, change func(*x509.Certificate)) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	parent, signer := a.certificate, a.key
	if parent == nil {
		template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
		parent, signer = template, key
	}
	if change != nil {
		change(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write := func(suffix, kind string, bytes []byte) {
		block := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: bytes})
		if err := os.WriteFile(filepath.Join(a.dir, name+suffix), block, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(".pem", "CERTIFICATE", der)
	write(".key", "EC PRIVATE KEY", encoded)
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return certificate, key
}

func (a *authority) path(name string) string { return filepath.Join(a.dir, name) }

func (a *authority) server(t *testing.T) *tls.Config {
	t.Helper()
	a.sign(t, "server", nil)
	pair, err := tls.LoadX509KeyPair(a.path("server.pem"), a.path("server.key"))
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: a.pool, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS12}
}

// guarded is an OTLP backend of metrics that wants a token.
type guarded struct {
	pmetricotlp.UnimplementedGRPCServer
	points chan int
}

func (g *guarded) Export(ctx context.Context, request pmetricotlp.ExportRequest) (pmetricotlp.ExportResponse, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	if strings.Join(md.Get("authorization"), "") != "Bearer s3cret" {
		return pmetricotlp.NewExportResponse(), status.Error(codes.Unauthenticated, "no token")
	}
	g.points <- request.Metrics().DataPointCount()
	return pmetricotlp.NewExportResponse(), nil
}

func (g *guarded) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "Bearer s3cret" {
		http.Error(w, "no token", http.StatusUnauthorized)
		return
	}
	body, err := io.ReadAll(r.Body)
	request := pmetricotlp.NewExportRequest()
	if err != nil || r.URL.Path != "/v1/metrics" || request.UnmarshalProto(body) != nil {
		http.Error(w, "bad request", http.StatusBadRequest)
		return
	}
	g.points <- request.Metrics().DataPointCount()
}

// Certificates of both ends and bearer tokens work as the Collector's settings say, over gRPC and HTTP, with names of
// one's own; a wrong token is refused for good, a certificate that is missing is tried again.
func TestMutualTLSAndToken(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	a.sign(t, "client", nil)
	backend := &guarded{points: make(chan int, 1)}

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	rpc := grpc.NewServer(grpc.Creds(credentials.NewTLS(a.server(t))))
	pmetricotlp.RegisterGRPCServer(rpc, backend)
	go func() { _ = rpc.Serve(listener) }()
	t.Cleanup(rpc.Stop)
	web := httptest.NewUnstartedServer(backend)
	web.TLS = a.server(t)
	web.StartTLS()
	t.Cleanup(web.Close)

	type m = map[string]any
	settings := func(endpoint, token, client string) m {
		security := m{"ca_file": a.path("ca.pem")}
		if client != "" {
			security["cert_file"], security["key_file"] = a.path(client+".pem"), a.path(client+".key")
		}
		return m{
			"endpoint": endpoint, "tls": security, "headers": m{"authorization": "Bearer " + token}, "timeout": "2s", "compression": "none",
			"retry_on_failure": m{"enabled": false}, "signals": []any{"metrics"},
		}
	}
	for name, endpoint := range map[string]string{"otlp/secure": listener.Addr().String(), "otlphttp/secure": web.URL} {
		for _, test := range []struct {
			token, client    string
			taken, permanent bool
		}{{"s3cret", "client", true, false}, {"wrong", "client", false, true}, {"s3cret", "", false, false}} {
			all, err := New(config.Exporters{Named: map[string]map[string]any{name: settings(endpoint, test.token, test.client)}}, "1")
			if err != nil || len(all) != 1 || all[0].Name() != name || all[0].Routing().Traces {
				t.Fatalf("%v, %v", all, err)
			}
			if err := all[0].Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			metrics := pmetric.NewMetrics()
			points := metrics.ResourceMetrics().AppendEmpty().ScopeMetrics().AppendEmpty().Metrics().AppendEmpty().SetEmptyGauge().DataPoints()
			points.AppendEmpty().SetDoubleValue(1)
			err = all[0].SendMetrics(t.Context(), metrics)
			if (err == nil) != test.taken || err != nil && IsPermanent(err) != test.permanent {
				t.Errorf("%s, token %q, certificate %q: %v", name, test.token, test.client, err)
			}
			if err == nil && <-backend.points != 1 {
				t.Errorf("%s: not one point", name)
			}
			_ = all[0].Shutdown(t.Context())
		}
	}
}

func TestRouting(t *testing.T) {
	t.Parallel()
	type m = map[string]any
	all, err := New(config.Exporters{
		OTLP: m{"endpoint": "a:1"},
		File: &config.FileExporter{Path: "/nowhere/spans", Signals: []string{"traces"}},
		Named: map[string]map[string]any{
			"otlp/tempo":   {"endpoint": "b:1", "signals": []any{"traces"}, "attributes": m{"spans": m{"exclude": []any{"url.query"}}}},
			"file/metrics": {"path": "/nowhere/metrics", "signals": []any{"metrics"}, "temporality": "delta"},
			"debug":        {},
		},
	}, "1")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]Routing{}
	for _, d := range all {
		got[d.Name()] = *d.Routing()
	}
	if r := got["otlp"]; !r.Traces || !r.Metrics || r.Delta || r.NewFilter() != nil {
		t.Errorf("otlp: %+v", r)
	}
	if r := got["otlp/tempo"]; !r.Traces || r.Metrics || r.NewFilter().SpanAttribute("url.query") || !r.NewFilter().SpanAttribute("url.path") {
		t.Errorf("otlp/tempo: %+v", r)
	}
	if r := got["file/metrics"]; r.Traces || !r.Metrics || !r.Delta {
		t.Errorf("file/metrics: %+v", r)
	}
	for mistake, cfg := range map[string]config.Exporters{
		`exporters.otlp/a: signals: "logs"`:         {Named: map[string]map[string]any{"otlp/a": {"endpoint": "a:1", "signals": []any{"logs"}}}},
		`temporality: "both"`:                       {OTLP: m{"endpoint": "a:1", "temporality": "both"}},
		`servces`:                                   {OTLP: m{"endpoint": "a:1", "filter": m{"servces": m{}}}},
		`filter.metrics: "[" is not a glob`:         {OTLP: m{"endpoint": "a:1", "filter": m{"metrics": m{"include": []any{"["}}}}},
		`exporters.file/a: path: must be set`:       {Named: map[string]map[string]any{"file/a": {}}},
		`pth`:                                       {Named: map[string]map[string]any{"file/a": {"pth": "x"}}},
		`exporters.file/b: exporters.file/a writes`: {Named: map[string]map[string]any{"file/a": {"path": "/x"}, "file/b": {"path": "/y", "metrics_path": "/./x"}}},
	} {
		if _, err := New(cfg, "1"); err == nil || !strings.Contains(err.Error(), mistake) {
			t.Errorf("error %v, want %q in it", err, mistake)
		}
	}
	if IsPermanent(errors.New("x")) {
		t.Error("any error is permanent")
	}
}
