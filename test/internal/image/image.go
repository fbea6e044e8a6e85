// Package image writes container images for tests without an engine, a registry or a base image: one layer of files of
// this machine, in the archive that `docker save` makes and that containerd, kind, k3d and minikube load.
package image

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path"
	"regexp"
	"runtime"
	"slices"
	"strings"
)

// Image is what to write.
type Image struct {
	// Name with its tag. The tag is not `latest`: kubelets would ask a registry for it.
	Name string
	// Entrypoint is the command line; its first word is a path in the image.
	Entrypoint []string
	// Files are paths of this machine by their paths in the image.
	Files map[string]string
	// User is a number, with which nobody's permissions on this machine go.
	User int
}

// Write writes the archive to a file.
func (i Image) Write(to string) error {
	layer, err := i.layer()
	if err != nil {
		return fmt.Errorf("image %s: %w", i.Name, err)
	}
	digest := func(b []byte) string { return fmt.Sprintf("%x", sha256.Sum256(b)) }
	config, err := json.Marshal(map[string]any{
		"architecture": runtime.GOARCH, "os": "linux",
		"config": map[string]any{"Entrypoint": i.Entrypoint, "User": fmt.Sprintf("%d:%[1]d", i.User), "Env": []string{"PATH=/usr/bin"}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + digest(layer)}},
	})
	if err != nil {
		return err
	}
	manifest, err := json.Marshal([]any{map[string]any{
		"Config": digest(config) + ".json", "RepoTags": []string{i.Name}, "Layers": []string{digest(layer) + ".tar"},
	}})
	if err != nil {
		return err
	}
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	for _, f := range []struct {
		name string
		body []byte
	}{{digest(config) + ".json", config}, {digest(layer) + ".tar", layer}, {"manifest.json", manifest}} {
		if err := add(w, f.name, 0o644, f.body); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	return os.WriteFile(to, archive.Bytes(), 0o600)
}

// layer has the files with the folders that they are in, and /tmp.
func (i Image) layer() ([]byte, error) {
	var packed bytes.Buffer
	w := tar.NewWriter(&packed)
	folders := map[string]bool{"tmp": true}
	for name := range i.Files {
		for folder := path.Dir(strings.Trim(name, "/")); folder != "."; folder = path.Dir(folder) {
			folders[folder] = true
		}
	}
	var names []string
	for folder := range folders {
		names = append(names, folder)
	}
	slices.Sort(names)
	for _, folder := range names {
		mode := int64(0o755)
		if folder == "tmp" {
			mode = 0o1777
		}
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: folder + "/", Mode: mode}); err != nil {
			return nil, err
		}
	}
	for name, from := range i.Files {
		body, err := os.ReadFile(from)
		if err != nil {
			return nil, err
		}
		if err := add(w, strings.Trim(name, "/"), 0o755, body); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return packed.Bytes(), nil
}

func add(w *tar.Writer, name string, mode int64, body []byte) error {
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: int64(len(body))}); err != nil {
		return err
	}
	_, err := w.Write(body)
	return err
}

// library is a line of ldd: a library with where it is, or the loader by its path.
var library = regexp.MustCompile(`^\s*(?:\S+ => )?(/\S+) \(0x`)

// Program gives the files that a program of this machine needs: itself, the loader and its libraries.
func Program(file string) (map[string]string, error) {
	out, err := exec.Command("ldd", file).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("ldd %s: %w: %s", file, err, out)
	}
	files := map[string]string{file: file}
	for line := range strings.Lines(string(out)) {
		if found := library.FindStringSubmatch(line); found != nil {
			files[found[1]] = found[1]
		}
	}
	return files, nil
}
