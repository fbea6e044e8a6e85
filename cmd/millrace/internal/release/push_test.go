package release

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"millrace.dev/lib/bus/access"
)

// startServers starts a cluster with the entries of the Secret, in the form in which the chart configures it.
func startServers(t *testing.T, entries map[string][]byte, count int) (url string) {
	t.Helper()
	dir := t.TempDir()
	for name, content := range entries {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tls := "{ cert_file: tls.crt, key_file: tls.key, ca_file: ca.pem, verify: true, min_version: \"1.3\" }"
	var routes string
	var addresses []string
	for range count {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addresses = append(addresses, l.Addr().String())
		// The name in certificates is localhost.
		_, port, _ := net.SplitHostPort(l.Addr().String())
		routes += fmt.Sprintf("%q, ", "nats-route://localhost:"+port)
		_ = l.Close()
	}
	t.Chdir(dir) // Paths in the configuration are relative.
	for i := range count {
		path := filepath.Join(dir, fmt.Sprintf("nats-%d.conf", i))
		text := fmt.Sprintf("server_name: n%d\nlisten: \"127.0.0.1:-1\"\ntls %s\ninclude \"accounts.conf\"\njetstream { store_dir: %q }\n", i, tls, filepath.Join(dir, fmt.Sprint("js", i)))
		if count > 1 {
			text += fmt.Sprintf("cluster { name: m, listen: %q, no_advertise: true, routes: [%s], tls %s }\n", addresses[i], strings.TrimSuffix(routes, ", "), tls)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		options, err := server.ProcessConfigFile(path)
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
		if !ns.ReadyForConnections(20 * time.Second) {
			t.Fatal("a server is not ready")
		}
		_, port, _ := net.SplitHostPort(ns.Addr().String())
		url = "tls://localhost:" + port
	}
	return url
}

// TestPush: running servers, also those of a cluster, take up new permissions and let old credentials go without a
// reload. t.Chdir excludes other tests meanwhile.
func TestPush(t *testing.T) {
	for _, servers := range []int{1, 3} {
		t.Run(fmt.Sprint(servers), func(t *testing.T) {
			k := testKeys()
			fake, api := newFakeAPI(t, k.SecretNames()...)
			first := keep(t, k, api)
			url := startServers(t, fake.secrets["m-nats"].Data, servers)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if err := Push(ctx, first, url, servers, t.TempDir()); err != nil {
				t.Fatal(err)
			}
			conn := connect(t, fake, access.Exporter, url)
			subject := "$KV.millrace_leases.exporter-otlp_tempo.0"
			if refused(t, conn, subject) == nil {
				t.Fatal("the exporter may write keys of a destination that nobody named")
			}

			k.Destinations = []string{"otlp/tempo"}
			if err := Push(ctx, keep(t, k, api), url, servers, t.TempDir()); err != nil {
				t.Fatal(err)
			}
			// The server drops connections whose permissions have changed; the client makes them again.
			conn.Close()
			conn = connect(t, fake, access.Exporter, url)
			if err := refused(t, conn, subject); err != nil {
				t.Errorf("after the accounts were pushed: %v", err)
			}

			old := fake.secrets["m-exporter"].Data["nats.creds"]
			k.Rotation = "2"
			if err := Push(ctx, keep(t, k, api), url, servers, t.TempDir()); err != nil {
				t.Fatal(err)
			}
			if again := connect(t, fake, access.Exporter, url); again.Status() != nats.CONNECTED {
				t.Errorf("with the credential of the rotation: %v", again.Status())
			}
			fake.secrets["m-exporter"].Data["nats.creds"] = old
			if _, err := nats.Connect(url, options(t, fake, access.Exporter)...); err == nil {
				t.Error("a credential from before the rotation is let in")
			}
		})
	}
}

// TestPushWithoutServers ends with a reason.
func TestPushWithoutServers(t *testing.T) {
	t.Parallel()
	k := testKeys()
	_, api := newFakeAPI(t, k.SecretNames()...)
	kept := keep(t, k, api)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := Push(ctx, kept, "tls://localhost:1", 1, t.TempDir()); err == nil {
		t.Error("no error")
	}
}

func options(t *testing.T, fake *fakeAPI, role string) []nats.Option {
	t.Helper()
	dir := t.TempDir()
	for name, content := range fake.secrets["m-"+role].Data {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return []nats.Option{
		nats.UserCredentials(filepath.Join(dir, "nats.creds")), nats.RootCAs(filepath.Join(dir, "ca.pem")),
		nats.ClientCert(filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")), nats.Timeout(10 * time.Second),
		nats.CustomInboxPrefix(access.InboxPrefix(role, "")),
	}
}

func connect(t *testing.T, fake *fakeAPI, role, url string) *nats.Conn {
	t.Helper()
	conn, err := nats.Connect(url, options(t, fake, role)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn
}

// refused gives the server's refusal of a message on a subject; nil: it was taken.
func refused(t *testing.T, conn *nats.Conn, subject string) error {
	t.Helper()
	if err := conn.Publish(subject, nil); err != nil {
		t.Fatal(err)
	}
	if err := conn.FlushTimeout(10 * time.Second); err != nil { // The server answers in order.
		t.Fatal(err)
	}
	return conn.LastError()
}
