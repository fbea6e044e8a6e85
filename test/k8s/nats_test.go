package k8s

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"millrace.dev/test/internal/product"
)

// natsNamespace is where a NATS runs that is not the chart's.
const natsNamespace = "mr-nats"

// servers: a release with three NATS servers, one of which is killed while requests are made; it does not become one of
// a single server.
func (c *cluster) servers(t *testing.T) {
	if c.short {
		t.Skip("in the long form only")
	}
	c.helm(t, "install", "--create-namespace", "--set", "nats.replicas=3")
	c.reconnect(t)
	requests := c.size(1200)
	client, prefix := c.begin(t, requests)
	replace(t, "nats", "--grace-period=0", "--force")
	c.ended(t, client, requests)
	c.exact(t, client, prefix, requests)
	out, err := run(t.Context(), "", "helm", c.arguments("upgrade", "--set", "nats.replicas=1")...)
	if err == nil || !strings.Contains(err.Error(), "nats.replicas=1, and 3 run") {
		t.Errorf("an upgrade to a single server: %s, %v", out, err)
	}
	must(t, "helm", "uninstall", "-n", ourNamespace, release, "--wait", "--timeout", patience.String())
}

// ownNATS: a release without NATS uses one that there is, with credentials as docs/kubernetes.md has them made.
func (c *cluster) ownNATS(t *testing.T) {
	if c.short {
		t.Skip("in the long form only")
	}
	folder := t.TempDir()
	binary, err := product.Binary(folder)
	if err != nil {
		t.Fatal(err)
	}
	keys := filepath.Join(folder, "keys")
	must(t, binary, "nats", "init", keys)
	accounts, err := os.ReadFile(filepath.Join(keys, "accounts.conf"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("testdata/nats.yaml")
	if err != nil {
		t.Fatal(err)
	}
	included := strings.ReplaceAll(strings.TrimSpace(string(accounts)), "\n", "\n    ")
	apply(t, strings.NewReplacer("NAMESPACE", natsNamespace, "ACCOUNTS", included).Replace(string(text)))
	rolledOut(t, natsNamespace, "deployment/nats")

	secret := []string{"create", "secret", "generic", "millrace-credentials", "-n", ourNamespace}
	for _, role := range []string{"decoder", "enricher", "exporter", "admin"} {
		file := filepath.Join(folder, role+".creds")
		must(t, binary, "nats", "credentials", keys, role, "-o", file)
		secret = append(secret, "--from-file="+file)
	}
	public := filepath.Join(folder, "account.pub")
	if err := os.WriteFile(public, []byte(must(t, binary, "nats", "account", keys)), 0o600); err != nil {
		t.Fatal(err)
	}
	secret = append(secret, "--from-file="+public)
	for _, role := range []string{"capture", "observer"} {
		secret = append(secret, "--from-file="+filepath.Join(keys, "keys", "role-"+role+".nk"))
	}
	must(t, "kubectl", secret...)
	c.helm(t, "install", "-f", "testdata/own-nats.yaml")
	must(t, "helm", "test", "-n", ourNamespace, release, "--timeout", patience.String())
	c.reconnect(t)
	client, prefix := c.load(t, 100)
	c.exact(t, client, prefix, 100)
	must(t, "helm", "uninstall", "-n", ourNamespace, release, "--wait", "--timeout", patience.String())
}
