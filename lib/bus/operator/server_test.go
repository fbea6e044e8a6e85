package operator_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/bus/access"
	"millrace.dev/lib/bus/operator"
	"millrace.dev/lib/config"
)

const node = "Node.1" // Has what a subject token may not have, and upper case.

// site is a server with the configuration that deploy/nats delivers, and its operator.
type site struct {
	operator *operator.Operator
	server   *server.Server
	dir      string
	config   string
	bus      config.Bus
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{dir: t.TempDir()}
	var err error
	if s.operator, err = operator.Create(s.dir); err != nil {
		t.Fatal(err)
	}
	certificates(t, s.dir)
	s.config = s.delivered(t, "nats-server.conf", "nats-server.conf", "jetstream")
	s.server = start(t, s.config)
	if !s.server.ReadyForConnections(20 * time.Second) {
		t.Fatal("the server is not ready")
	}
	s.bus = config.Default().Bus
	s.bus.Storage, s.bus.MaxBytes, s.bus.Partitions = config.StorageFile, 16*config.MiB, 4
	s.bus.URL = "tls://" + s.server.Addr().String()
	s.bus.TLS = config.TLS{
		CAFile: filepath.Join(s.dir, "ca.pem"), CertFile: filepath.Join(s.dir, "client.pem"), KeyFile: filepath.Join(s.dir, "client.key"),
	}
	return s
}

// delivered writes a configuration of deploy/nats as it is, but for addresses and paths, and further changes.
func (s *site) delivered(t *testing.T, from, to, store string, changes ...string) string {
	t.Helper()
	text, err := os.ReadFile("../../../deploy/nats/" + from)
	if err != nil {
		t.Fatal(err)
	}
	changes = append(changes, `"tls/`, `"`+s.dir+`/`)
	if from == "nats-server.conf" {
		changes = append(changes, `"0.0.0.0:4222"`, `"127.0.0.1:-1"`, `http: "127.0.0.1:8222"`, "", `"jetstream"`, `"`+filepath.Join(s.dir, store)+`"`, "64GB", "4GB")
	}
	for i := 0; i < len(changes); i += 2 {
		if !strings.Contains(string(text), changes[i]) {
			t.Fatalf("the delivered configuration has no %s", changes[i])
		}
		text = []byte(strings.ReplaceAll(string(text), changes[i], changes[i+1]))
	}
	path := filepath.Join(s.dir, to)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func start(t *testing.T, file string) *server.Server {
	t.Helper()
	options, err := server.ProcessConfigFile(file)
	if err != nil {
		t.Fatal(err)
	}
	options.NoLog, options.NoSigs = true, true
	ns, err := server.NewServer(options)
	if err != nil {
		t.Fatal(err)
	}
	ns.Start()
	t.Cleanup(func() { ns.Shutdown(); ns.WaitForShutdown() })
	return ns
}

// of is the configuration with a credential of a role.
func (s *site) of(t *testing.T, role, node string) config.Bus {
	t.Helper()
	credentials, err := s.operator.Issue(role, node, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	cfg := s.bus
	cfg.CredentialsFile = filepath.Join(s.dir, role+bus.Token(node)+".creds")
	if err := os.WriteFile(cfg.CredentialsFile, credentials, 0o600); err != nil {
		t.Fatal(err)
	}
	return cfg
}

// connect connects as a service of a role does. The connection tells every refusal to the channel.
func (s *site) connect(t *testing.T, role, node string) (*bus.Conn, chan error) {
	t.Helper()
	refusals := make(chan error, 64)
	conn, err := bus.Connect(bounded(t), s.of(t, role, node), "millrace-"+role, nats.CustomInboxPrefix(access.InboxPrefix(role, node)),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			if errors.Is(err, nats.ErrPermissionViolation) {
				refusals <- err
			}
		}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn, refusals
}

// setUp creates streams and buckets as an administrator does.
func (s *site) setUp(t *testing.T) {
	t.Helper()
	conn, err := bus.Connect(bounded(t), s.of(t, access.Admin, ""), "millrace-admin")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	if err := bus.EnsureStreams(bounded(t), conn); err != nil {
		t.Fatal(err)
	}
	if err := bus.EnsureBuckets(bounded(t), conn); err != nil {
		t.Fatal(err)
	}
}

func bounded(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// certificates makes an authority, a server's and a client's certificate.
func certificates(t *testing.T, dir string) {
	t.Helper()
	authority := &x509.Certificate{IsCA: true, KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true}
	key := sign(t, dir, "ca", authority, authority, nil)
	sign(t, dir, "server", &x509.Certificate{
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}, authority, key)
	sign(t, dir, "client", &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, authority, key)
}

func sign(t *testing.T, dir, name string, template, parent *x509.Certificate, signer *ecdsa.PrivateKey) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if signer == nil {
		signer = key
	}
	template.SerialNumber, template.Subject = big.NewInt(time.Now().UnixNano()), pkix.Name{CommonName: name}
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{
		name + ".pem": {Type: "CERTIFICATE", Bytes: der}, name + ".key": {Type: "PRIVATE KEY", Bytes: private},
	} {
		if err := os.WriteFile(filepath.Join(dir, file), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return key
}
