// Package kubetest starts a Kubernetes API server for tests: a real one, without nodes, so that pods stay what the test
// makes of them.
package kubetest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

// Environment names a folder with api-only.sh: `up` starts an API server as any user and prints where its kubeconfig
// is, `down` ends it. KT_API_ONLY_PORT is its port, KT_API_ONLY_ETCD_PORT that of its store.
const Environment = "TEST_KUBE"

// kubeconfig is a line of what api-only.sh prints.
var kubeconfig = regexp.MustCompile(`KUBECONFIG=(\S+)`)

// Start starts an API server on a port of the loopback, with its store on one of the next, until the test ends, and
// gives the path of an administrator's kubeconfig. Tests that may run at the same time need ports of their own. Where
// [Environment] is not set, it skips the test.
func Start(t testing.TB, port int) string {
	t.Helper()
	folder := os.Getenv(Environment)
	if folder == "" {
		t.Skip(Environment + " names no folder with api-only.sh, which starts a Kubernetes API server")
	}
	script := filepath.Join(folder, "api-only.sh")
	environment := append(os.Environ(), fmt.Sprint("KT_API_ONLY_PORT=", port), fmt.Sprint("KT_API_ONLY_ETCD_PORT=", port+1))
	said, err := os.Create(filepath.Join(t.TempDir(), "up")) // Not a pipe: what is started would keep it open.
	if err != nil {
		t.Fatal(err)
	}
	defer said.Close()
	up := exec.Command(script, "up")
	up.Env, up.Stdout, up.Stderr = environment, said, said
	failed := up.Run()
	text, err := os.ReadFile(said.Name())
	if err != nil {
		t.Fatal(err)
	}
	if failed != nil {
		t.Fatalf("%s up: %v: %s", script, failed, text)
	}
	t.Cleanup(func() {
		down := exec.Command(script, "down")
		down.Env = environment
		if out, err := down.CombinedOutput(); err != nil {
			t.Errorf("%s down: %v: %s", script, err, out)
		}
	})
	found := kubeconfig.FindSubmatch(text)
	if found == nil {
		t.Fatalf("%s up names no kubeconfig: %s", script, text)
	}
	return string(found[1])
}
