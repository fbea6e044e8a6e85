package image

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
)

func entries(t *testing.T, archive []byte) map[string][]byte {
	t.Helper()
	found := map[string][]byte{}
	for r := tar.NewReader(bytes.NewReader(archive)); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return found
		}
		if err != nil {
			t.Fatal(err)
		}
		if found[header.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
}

// What an archive says of itself is so: the layer has the digest that the configuration names, and the files.
func TestWrite(t *testing.T) {
	t.Parallel()
	to := filepath.Join(t.TempDir(), "x.tar")
	i := Image{Name: "localhost/x:test", Entrypoint: []string{"/usr/bin/x"}, Files: map[string]string{"/usr/bin/x": "image.go"}, User: 65532}
	if err := i.Write(to); err != nil {
		t.Fatal(err)
	}
	archive, err := os.ReadFile(to)
	if err != nil {
		t.Fatal(err)
	}
	all := entries(t, archive)
	var manifest []struct {
		Config           string
		RepoTags, Layers []string
	}
	if err := json.Unmarshal(all["manifest.json"], &manifest); err != nil || len(manifest) != 1 || manifest[0].RepoTags[0] != i.Name {
		t.Fatalf("%v %+v", err, manifest)
	}
	var config struct {
		Config struct{ User string }
		Rootfs struct {
			DiffIDs []string `json:"diff_ids"`
		}
	}
	layer := all[manifest[0].Layers[0]]
	if err := json.Unmarshal(all[manifest[0].Config], &config); err != nil || config.Config.User != "65532:65532" ||
		config.Rootfs.DiffIDs[0] != fmt.Sprintf("sha256:%x", sha256.Sum256(layer)) {
		t.Fatalf("%v %+v", err, config)
	}
	files := entries(t, layer)
	want, _ := os.ReadFile("image.go")
	if _, found := files["usr/bin/"]; !found || !bytes.Equal(files["usr/bin/x"], want) {
		t.Errorf("layer has %d files", len(files))
	}
}

func TestProgram(t *testing.T) {
	t.Parallel()
	files, err := Program("/bin/cat")
	if err != nil {
		t.Fatal(err)
	}
	loader := false
	for _, from := range files {
		if _, err := os.Stat(from); err != nil {
			t.Error(err)
		}
		name, _ := filepath.Match("ld-linux*", filepath.Base(from))
		loader = loader || name
	}
	if !loader || files["/bin/cat"] == "" {
		t.Errorf("%v", files)
	}
}
