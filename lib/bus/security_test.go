package bus_test

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
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/config"
)

// authority signs certificates for tests.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	pool        *x509.CertPool
	file        string
}

func newAuthority(t *testing.T, dir string) *authority {
	t.Helper()
	a := &authority{pool: x509.NewCertPool(), file: filepath.Join(dir, "ca.pem")}
	a.certificate, a.key = certificate(t, nil, &x509.Certificate{IsCA: true, KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true})
	a.pool.AddCert(a.certificate)
	write(t, a.file, "CERTIFICATE", a.certificate.Raw)
	return a
}

func certificate(t *testing.T, issuer *authority, template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.Subject = pkix.Name{CommonName: t.Name()}
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := template, key
	if issuer != nil {
		parent, signer = issuer.certificate, issuer.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

// client writes a client certificate and its key.
func (a *authority) client(t *testing.T, dir string) config.TLS {
	t.Helper()
	cert, key := certificate(t, a, &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	files := config.TLS{CAFile: a.file, CertFile: filepath.Join(dir, "client.pem"), KeyFile: filepath.Join(dir, "client.key")}
	write(t, files.CertFile, "CERTIFICATE", cert.Raw)
	write(t, files.KeyFile, "PRIVATE KEY", der)
	return files
}

func write(t *testing.T, path, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

// run starts a server with settings that the embedded one does not have.
func run(t *testing.T, options *server.Options) *server.Server {
	t.Helper()
	options.Host, options.Port = "127.0.0.1", server.RANDOM_PORT
	options.NoLog, options.NoSigs = true, true
	options.JetStream, options.StoreDir, options.JetStreamMaxMemory = true, t.TempDir(), 1<<30
	options.JetStreamMaxStore = 1 << 30
	ns, err := server.NewServer(options)
	if err != nil {
		t.Fatal(err)
	}
	ns.Start()
	t.Cleanup(func() { ns.Shutdown(); ns.WaitForShutdown() })
	if !ns.ReadyForConnections(10 * time.Second) {
		t.Fatal("the server is not ready")
	}
	return ns
}

// refused checks that no connection is made.
func refused(t *testing.T, what string, cfg config.Bus) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	conn, err := bus.Connect(ctx, cfg, "test")
	if err == nil {
		conn.Close()
		t.Errorf("%s: connected", what)
	} else if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%s: %v, want attempts until the context ends", what, err)
	}
}

// TestMutualTLS has both ends check the other's certificate.
func TestMutualTLS(t *testing.T) {
	t.Parallel()
	dir, otherDir := t.TempDir(), t.TempDir()
	ca, other := newAuthority(t, dir), newAuthority(t, otherDir)
	cert, key := certificate(t, ca, &x509.Certificate{
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	})
	ns := run(t, &server.Options{
		TLS: true, TLSVerify: true, TLSTimeout: 5,
		TLSConfig: &tls.Config{
			MinVersion:   tls.VersionTLS12,
			Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key}},
			ClientCAs:    ca.pool, ClientAuth: tls.RequireAndVerifyClientCert,
		},
	})
	cfg := config.Default().Bus
	cfg.MaxBytes = 16 * config.MiB
	cfg.URL = "tls://" + ns.Addr().String()
	cfg.TLS = ca.client(t, dir)
	conn := connect(t, cfg)
	future, err := conn.Publish(bounded(t), bus.FlowSubject(0), "", []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	if err := future.Wait(bounded(t)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.NATS().TLSConnectionState(); err != nil {
		t.Errorf("not over TLS: %v", err)
	}

	stranger := cfg
	stranger.TLS = other.client(t, otherDir)
	stranger.TLS.CAFile = ca.file
	refused(t, "a client of another authority", stranger)
	nobody := cfg
	nobody.TLS = config.TLS{CAFile: ca.file}
	refused(t, "a client without a certificate", nobody)
	distrustful := cfg
	distrustful.TLS.CAFile = other.file
	refused(t, "a server of another authority", distrustful)
}

// TestCredentials has a server with an operator, and accounts with and without JetStream.
func TestCredentials(t *testing.T) {
	t.Parallel()
	operator, system := keyPair(t, nkeys.CreateOperator), keyPair(t, nkeys.CreateAccount)
	operatorClaims := jwt.NewOperatorClaims(public(t, operator))
	operatorClaims.SystemAccount = public(t, system)
	resolver := &server.MemAccResolver{}
	account := func(name string, storage int64) nkeys.KeyPair {
		pair := keyPair(t, nkeys.CreateAccount)
		if name == "system" {
			pair = system
		}
		claims := jwt.NewAccountClaims(public(t, pair))
		claims.Name = name
		if storage > 0 {
			claims.Limits.JetStreamLimits = jwt.JetStreamLimits{
				MemoryStorage: storage, DiskStorage: storage, Streams: -1, Consumer: -1,
			}
		}
		if err := resolver.Store(public(t, pair), encode(t, claims, operator)); err != nil {
			t.Fatal(err)
		}
		return pair
	}
	account("system", 0)
	with, without, small := account("with", 256<<20), account("without", 0), account("small", 1<<20)
	signed, err := jwt.DecodeOperatorClaims(encode(t, operatorClaims, operator))
	if err != nil {
		t.Fatal(err)
	}
	ns := run(t, &server.Options{
		TrustedOperators: []*jwt.OperatorClaims{signed}, SystemAccount: public(t, system), AccountResolver: resolver,
	})

	cfg := config.Default().Bus
	cfg.MaxBytes = 16 * config.MiB
	cfg.URL = "nats://" + ns.Addr().String()
	refused(t, "nobody", cfg)
	cfg.CredentialsFile = credentials(t, with)
	conn := connect(t, cfg)
	// The permissions that docs/operations.md asks for are enough.
	if _, err := conn.KeyValue(bounded(t), bus.BucketLeases); err != nil {
		t.Error(err)
	}
	future, err := conn.Publish(bounded(t), bus.ExchangeSubject(0), "1", []byte("0 x"))
	if err != nil {
		t.Fatal(err)
	}
	if err := future.Wait(bounded(t)); err != nil {
		t.Error(err)
	}
	checkStored(t, conn, bus.ExchangeSubject(0), 1)
	for what, pair := range map[string]nkeys.KeyPair{"account without JetStream": without, "account with little storage": small} {
		cfg.CredentialsFile = credentials(t, pair)
		conn, err := bus.Connect(bounded(t), cfg, "test")
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		// The server enables JetStream for an account some time after its first client came.
		eventually(t, what+": an error that stays", func() bool {
			err = bus.EnsureStreams(bounded(t), conn)
			return err != nil && !bus.Temporary(err)
		})
		if want := map[nkeys.KeyPair]string{without: "enable JetStream for the account", small: "lower bus.max_bytes"}[pair]; !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", what, err, want)
		}
		conn.Close()
	}
	foreign := keyPair(t, nkeys.CreateAccount)
	cfg.CredentialsFile = credentials(t, foreign)
	refused(t, "user of an unknown account", cfg)
}

func keyPair(t *testing.T, create func() (nkeys.KeyPair, error)) nkeys.KeyPair {
	t.Helper()
	pair, err := create()
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

func public(t *testing.T, pair nkeys.KeyPair) string {
	t.Helper()
	key, err := pair.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func encode(t *testing.T, claims jwt.Claims, signer nkeys.KeyPair) string {
	t.Helper()
	token, err := claims.Encode(signer)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// credentials writes the file of a new user of an account.
func credentials(t *testing.T, account nkeys.KeyPair) string {
	t.Helper()
	user := keyPair(t, nkeys.CreateUser)
	seed, err := user.Seed()
	if err != nil {
		t.Fatal(err)
	}
	claims := jwt.NewUserClaims(public(t, user))
	allowed := []string{"millrace.>", "$JS.API.>", "$JS.ACK.>", "$KV.>", "_INBOX.>"}
	claims.Pub.Allow.Add(allowed...)
	claims.Sub.Allow.Add(allowed...)
	file, err := jwt.FormatUserConfig(encode(t, claims, account), seed)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "user.creds")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
