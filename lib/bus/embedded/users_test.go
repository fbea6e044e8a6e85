package embedded_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/bus/embedded"
	"millrace.dev/lib/config"
)

// The server does not listen to a network without users, whoever made the configuration.
func TestListenNeedsUsers(t *testing.T) {
	t.Parallel()
	for _, listen := range []string{":0", "0.0.0.0:0", "[::]:0", "example.invalid:0", "127.1:0"} {
		cfg := config.Default().Bus
		cfg.Embedded.Listen = listen
		server, err := embedded.Start(cfg, quiet())
		if err == nil {
			server.Shutdown()
			t.Errorf("%s: it listens", listen)
		} else if !strings.Contains(err.Error(), "bus.embedded.users_file") {
			t.Errorf("%s: %v", listen, err)
		}
	}
}

func write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestUsersFileErrors(t *testing.T) {
	t.Parallel()
	for content, want := range map[string]string{
		"":                           "no user",
		"# nobody\n":                 "no user",
		"observer\n":                 "line 1: write a role",
		"observer secret\n":          "shorter than 12",
		"nobody 0123456789abc\n":     "no role: one of",
		"observer 0123456789abc x\n": "write a role",
		"capture 0123456789abc\n":    "role capture is for one node",
		"observer 0123456789abc\nobserver 0123456789abc2 \n": "line 2: role observer has a password already",
	} {
		err := embedded.CheckUsers(write(t, "users", content))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "0123456789abc") {
			t.Errorf("%q: %v, want %q", content, err, want)
		}
	}
	if err := embedded.CheckUsers(filepath.Join(t.TempDir(), "missing")); err == nil {
		t.Error("no error for a file that is not there")
	}
}

// With users the process itself may do everything, a user what its role may, and others nothing, over TLS.
func TestUsers(t *testing.T) {
	t.Parallel()
	cfg := config.Default().Bus
	cfg.Embedded.Listen = "0.0.0.0:0"
	cfg.Embedded.UsersFile = write(t, "users", "# who looks\nobserver observers-password\n")
	cfg.Embedded.CertFile, cfg.Embedded.KeyFile = certificate(t)
	server, err := embedded.Start(cfg, quiet())
	if err != nil {
		t.Fatal(err)
	}
	defer server.Shutdown()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	own, err := bus.Connect(ctx, cfg, "test", server.InProcess())
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	if err := bus.Setup(ctx, own); err != nil {
		t.Fatal(err)
	}
	if control, err := own.Control(ctx); err != nil || !control.NATS().IsConnected() {
		t.Errorf("the second connection of the process: %v", err)
	}
	address, err := url.Parse(server.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	server127 := "nats://127.0.0.1:" + address.Port()
	secure := nats.RootCAs(cfg.Embedded.CertFile)
	for name, options := range map[string][]nats.Option{
		"nobody":           {secure},
		"a wrong password": {secure, nats.UserInfo("observer", "recorders-password")},
		"the own user":     {secure, nats.UserInfo("millrace", "")},
		"a stranger's CA":  {nats.UserInfo("observer", "observers-password")},
	} {
		if nc, err := nats.Connect(server127, options...); err == nil {
			nc.Close()
			t.Errorf("%s is let in", name)
		}
	}
	denied := make(chan error, 16)
	observer, err := nats.Connect(server127, secure, nats.UserInfo("observer", "observers-password"),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { denied <- err }))
	if err != nil {
		t.Fatal(err)
	}
	defer observer.Close()
	spans, err := observer.SubscribeSync("millrace.span.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := observer.Flush(); err != nil {
		t.Fatal(err)
	}
	if _, err := own.Publish(ctx, bus.SpanSubject(0, "", "shop"), "", []byte("span")); err != nil {
		t.Fatal(err)
	}
	if _, err := spans.NextMsgWithContext(ctx); err != nil {
		t.Errorf("an observer sees no spans: %v", err)
	}
	if _, err := observer.Subscribe("millrace.raw.>", func(*nats.Msg) {}); err != nil {
		t.Fatal(err)
	}
	if err := observer.Publish(bus.SpanSubject(0, "", "shop"), nil); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		select {
		case <-denied:
		case <-ctx.Done():
			t.Fatal("an observer may read payload, or write spans")
		}
	}
}

// certificate makes one for this machine, signed by itself.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	pair, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &pair.PublicKey, pair)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(pair)
	if err != nil {
		t.Fatal(err)
	}
	return write(t, "cert.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))),
		write(t, "key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
}
