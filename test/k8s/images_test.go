package k8s

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"millrace.dev/test/internal/image"
	"millrace.dev/test/internal/product"
)

// nobody runs the application.
const nobody = 65532

// testTag is the tag of the application's images.
const testTag = "test"

// loadImages makes the application's images of programs of this repository and of Debian's Redis, and loads them and
// Millrace's into the nodes.
func loadImages(t *testing.T) {
	t.Helper()
	load := strings.Fields(os.Getenv("K8S_LOAD"))
	if len(load) == 0 {
		return
	}
	folder := t.TempDir()
	var archives []string
	write := func(name string, entrypoint []string, files map[string]string) {
		to := filepath.Join(folder, name+".tar")
		i := image.Image{Name: registry() + "/millrace-test-" + name + ":" + testTag, Entrypoint: entrypoint, Files: files, User: nobody}
		if err := i.Write(to); err != nil {
			t.Fatal(err)
		}
		archives = append(archives, to)
	}
	for _, name := range []string{"edge", "loadgen", "sink"} {
		program, err := product.Build(folder, "millrace.dev/test/apps/"+name)
		if err != nil {
			t.Fatal(err)
		}
		inside := "/usr/bin/" + name
		write(name, []string{inside}, map[string]string{inside: program})
	}
	redis, err := exec.LookPath("redis-server")
	if err != nil {
		t.Fatalf("the application's store is Debian's redis-server: %v", err)
	}
	if redis, err = filepath.EvalSymlinks(redis); err != nil {
		t.Fatal(err)
	}
	files, err := image.Program(redis)
	if err != nil {
		t.Fatal(err)
	}
	files["/usr/bin/redis-server"] = redis // Debian's is a link to a program of two names.
	write("redis", []string{"/usr/bin/redis-server"}, files)

	ours, err := filepath.Glob(filepath.Join(os.Getenv("K8S_IMAGES"), "*-amd64.tar"))
	if err != nil || len(ours) == 0 {
		t.Fatalf("K8S_IMAGES has no archives: run `make images` (%v)", err)
	}
	must(t, load[0], append(append(load[1:], ours...), archives...)...)
}

func registry() string { return setting("K8S_REGISTRY", "localhost") }
