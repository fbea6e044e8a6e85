package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"millrace.dev/test/internal/spans"
)

// certificateFiles writes a certificate of its own, and its key, into a directory.
func certificateFiles(t *testing.T, directory string) (certificate, key string) {
	t.Helper()
	made, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &made.PublicKey, made)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(made)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, b []byte) string {
		path := filepath.Join(directory, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return write("server.crt", "CERTIFICATE", der), write("server.key", "PRIVATE KEY", private)
}

// versions counts the spans of connections by the version of TLS, as databases name it.
func versions(list []*spans.Span, kind int) account {
	a := account{}
	for _, sp := range list {
		switch {
		case sp.Kind != kind:
		case sp.Name != "TLS handshake":
			a["also "+sp.String()]++
		default:
			a["TLSv"+sp.Text("tls.protocol.version")]++
		}
	}
	return a
}

// TestEncryptedDatabases: connections that go on as TLS behind a request in PostgreSQL's and in MySQL's protocol, with
// clients of Go and those of the databases. The truth is what the servers say of each connection. Nothing else is
// seen of them.
func TestEncryptedDatabases(t *testing.T) {
	t.Parallel()
	o := observing(t)
	d := startDatabase(t, true)
	home := t.TempDir()
	certificate, key := certificateFiles(t, home)
	mariadb, port := mariadbServer(t, "--ssl-cert="+certificate, "--ssl-key="+key)
	one, did := goClient(t, "encrypted", "postgres", fmt.Sprint("127.0.0.1:", d.port))
	two, sent := goClient(t, "encrypted", "mysql", fmt.Sprint("127.0.0.1:", port))
	truths, served := map[*program]account{one: did, two: sent}, account{}
	served.add(sent)
	ask := func(arguments ...string) {
		p := launchProgram(t, arguments...)
		line := p.line()
		version := regexp.MustCompile(`TLSv1\.\d`).FindString(line)
		if version == "" {
			t.Fatalf("%s: no version in %q", arguments[0], line)
		}
		truths[p] = account{version: 1}
		if arguments[0] == "mariadb" {
			served.add(truths[p])
		}
		p.wait()
	}
	ask("psql", "-X", "-t", fmt.Sprintf("host=127.0.0.1 port=%d user=app dbname=shop sslmode=require", d.port), "-c",
		"SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
	for _, version := range []string{"TLSv1.2", "TLSv1.3"} {
		ask("mariadb", "--no-defaults", "-h127.0.0.1", fmt.Sprint("-P", port), "-utester", "-phunter2hunter2", "--ssl", "--skip-ssl-verify-server-cert",
			"--tls-version="+version, "-N", "shop", "-e", "SHOW SESSION STATUS LIKE 'Ssl_version'")
	}
	if truthOnly {
		return
	}
	for p, truth := range truths {
		list := o.await(truth.total(), p.pid())
		same(t, fmt.Sprint(p.command.Args[0]), versions(list, spans.Client), truth)
		o.settled(t.Name(), truth.total(), p.pid())
	}
	list := o.await(served.total(), mariadb.pid())
	same(t, "mariadbd", versions(list, spans.Server), served)
}
