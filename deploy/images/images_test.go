package main

import (
	"archive/tar"
	"bytes"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// folder is where `make images` wrote.
func folder(t *testing.T) string {
	path := os.Getenv("IMAGES")
	if path == "" {
		t.Skip("IMAGES is not set: `make test-images` builds them and sets it")
	}
	return path
}

// index opens the layout of an image: the index that has its name, and the manifests beside it.
func index(t *testing.T, path, image string) (v1.ImageIndex, []v1.Descriptor) {
	t.Helper()
	all, err := layout.ImageIndexFromPath(filepath.Join(path, image))
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(all); err != nil { // every digest and size, of all blobs
		t.Fatalf("layout: %v", err)
	}
	manifest, err := all.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	var named v1.ImageIndex
	var others []v1.Descriptor
	for _, d := range manifest.Manifests {
		if d.Annotations["org.opencontainers.image.ref.name"] == "" {
			others = append(others, d)
			continue
		}
		if named, err = all.ImageIndex(d.Digest); err != nil {
			t.Fatal(err)
		}
	}
	return named, others
}

// images are those of an index by architecture.
func images(t *testing.T, of v1.ImageIndex) map[string]v1.Image {
	t.Helper()
	manifest, err := of.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]v1.Image{}
	for _, d := range manifest.Manifests {
		if found[d.Platform.Architecture], err = of.Image(d.Digest); err != nil {
			t.Fatal(err)
		}
	}
	return found
}

// entries are the files of an image as a runtime sees them.
func entries(t *testing.T, image v1.Image) map[string]*tar.Header {
	t.Helper()
	found := map[string]*tar.Header{}
	stream := mutate.Extract(image)
	defer stream.Close()
	for r := tar.NewReader(stream); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return found
		}
		if err != nil {
			t.Fatal(err)
		}
		found["/"+strings.TrimSuffix(header.Name, "/")] = header
	}
}

// TestImages: each layout holds both architectures with the program, the user and the files that it should have, and a
// bill of materials that refers to each; the archive is the same image.
func TestImages(t *testing.T) {
	path := folder(t)
	for _, s := range specs {
		t.Run(s.name, func(t *testing.T) {
			named, others := index(t, path, s.name)
			found := images(t, named)
			if got := slices.Sorted(maps.Keys(found)); !slices.Equal(got, architectures) {
				t.Fatalf("architectures %v, want %v", got, architectures)
			}
			subjects := map[v1.Hash]bool{}
			for _, d := range others {
				subjects[checkReferrer(t, path, s.name, d)] = true
			}
			for arch, image := range found {
				digest, err := image.Digest()
				if err != nil {
					t.Fatal(err)
				}
				if !subjects[digest] {
					t.Errorf("%s: no bill of materials refers to it", arch)
				}
				checkConfig(t, s, arch, image)
				checkFiles(t, s, entries(t, image))
				checkArchive(t, filepath.Join(path, s.name+"-"+arch+".tar"), image)
			}
		})
	}
}

func checkConfig(t *testing.T, s spec, arch string, image v1.Image) {
	t.Helper()
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if config.Architecture != arch || config.OS != "linux" || config.Created.Unix() <= 0 {
		t.Errorf("platform %s/%s made at %v", config.OS, config.Architecture, config.Created)
	}
	got := config.Config
	if got.User != s.user || !slices.Equal(got.Entrypoint, []string{s.executable()}) || !slices.Equal(got.Cmd, s.command) {
		t.Errorf("user %q, entry point %q, arguments %q", got.User, got.Entrypoint, got.Cmd)
	}
	if len(got.Volumes)+len(got.ExposedPorts) != 0 {
		t.Errorf("volumes %v, ports %v: the images declare none", got.Volumes, got.ExposedPorts)
	}
	for _, label := range []string{"title", "description", "version", "revision", "created", "licenses", "vendor"} {
		if got.Labels["org.opencontainers.image."+label] == "" {
			t.Errorf("label %s is missing", label)
		}
	}
}

func checkFiles(t *testing.T, s spec, files map[string]*tar.Header) {
	t.Helper()
	for path, mode := range map[string]int64{
		"/etc/passwd": 0o644, "/etc/group": 0o644, "/etc/ssl/certs/ca-certificates.crt": 0o644, "/etc/millrace": 0o755,
		"/tmp": 0o1777, "/usr/share/doc/millrace/LICENSE": 0o644, s.executable(): 0o755,
	} {
		header := files[path]
		if header == nil || header.Mode != mode || header.Uid != 0 || header.Gid != 0 {
			t.Errorf("%s: %+v, want mode %o of root", path, header, mode)
		}
	}
	if state := files["/var/lib/millrace"]; state == nil || state.Uid != 65532 || state.Mode != 0o750 {
		t.Errorf("/var/lib/millrace: %+v", state)
	}
	for path, header := range files {
		if header.Typeflag == tar.TypeReg && strings.HasPrefix(path, "/usr/bin/") && path != s.executable() {
			t.Errorf("%s: a second program", path)
		}
		if header.Mode&0o6000 != 0 || len(header.PAXRecords) != 0 && header.Typeflag == tar.TypeReg && header.PAXRecords["SCHILY.xattr.security.capability"] != "" {
			t.Errorf("%s: gives privileges (%o)", path, header.Mode)
		}
	}
}

// checkReferrer: the manifest refers to an image and holds the bill of materials that is beside the layout. It returns
// the digest referred to.
func checkReferrer(t *testing.T, path, image string, d v1.Descriptor) v1.Hash {
	t.Helper()
	blob := func(h v1.Hash) []byte {
		b, err := os.ReadFile(filepath.Join(path, image, "blobs", h.Algorithm, h.Hex))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	var manifest v1.Manifest
	if err := json.Unmarshal(blob(d.Digest), &manifest); err != nil {
		t.Fatal(err)
	}
	if d.ArtifactType != sbomType || manifest.Subject == nil || len(manifest.Layers) != 1 {
		t.Fatalf("referrer %+v: %+v", d, manifest)
	}
	document := blob(manifest.Layers[0].Digest)
	beside := slices.ContainsFunc(architectures, func(arch string) bool {
		b, err := os.ReadFile(filepath.Join(path, image+"-"+arch+".cdx.json"))
		return err == nil && bytes.Equal(b, document)
	})
	var bom struct {
		BOMFormat string
		Metadata  struct {
			Component struct{ Name, Version string }
		}
		Components []struct{ Name, Version, PURL string }
	}
	if err := json.Unmarshal(document, &bom); err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, c := range bom.Components {
		names[c.Name] = true
	}
	if !beside || bom.BOMFormat != "CycloneDX" || !strings.HasSuffix(bom.Metadata.Component.Name, strings.TrimPrefix(image, "millrace-")) || !names["std"] ||
		!names["github.com/nats-io/nats.go"] {
		t.Errorf("bill of materials of %q: beside the layout %t, %d components", bom.Metadata.Component.Name, beside, len(bom.Components))
	}
	return manifest.Subject.Digest
}

func checkArchive(t *testing.T, path string, image v1.Image) {
	t.Helper()
	loaded, err := tarball.ImageFromPath(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(loaded); err != nil {
		t.Errorf("archive: %v", err)
	}
	want, _ := image.ConfigName()
	if got, err := loaded.ConfigName(); err != nil || got != want {
		t.Errorf("archive has image %v (%v), the layout %v", got, err, want)
	}
	manifest, err := tarball.LoadManifest(func() (io.ReadCloser, error) { return os.Open(path) })
	if err != nil || len(manifest) != 1 || len(manifest[0].RepoTags) != 1 {
		t.Fatalf("archive: %+v (%v)", manifest, err)
	}
	if _, err := name.NewTag(manifest[0].RepoTags[0]); err != nil {
		t.Error(err)
	}
}

// TestAuthorities: the file is one that TLS can use, and has what is in use.
func TestAuthorities(t *testing.T) {
	pool := x509.NewCertPool()
	pem := authorities()
	if !pool.AppendCertsFromPEM(pem) || bytes.Count(pem, []byte("BEGIN CERTIFICATE")) < 100 {
		t.Errorf("%d certificates", bytes.Count(pem, []byte("BEGIN CERTIFICATE")))
	}
}

// TestSame: images that are made again from the same executables have the same bytes.
func TestSame(t *testing.T) {
	path := folder(t)
	again := t.TempDir()
	config, err := images(t, first(index(t, path, specs[0].name)))[runtime.GOARCH].ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	labels := config.Config.Labels
	license, err := os.ReadFile("../../LICENSE")
	if err != nil {
		t.Fatal(err)
	}
	release := release{
		binaries: filepath.Join(path, "..", "release"), sboms: path, license: license, created: config.Created.Time,
		version: labels["org.opencontainers.image.version"], revision: labels["org.opencontainers.image.revision"],
	}
	base, err := layer(baseFiles(license), release.created)
	if err != nil {
		t.Fatal(err)
	}
	tag, _ := tarball.LoadManifest(func() (io.ReadCloser, error) {
		return os.Open(filepath.Join(path, specs[0].name+"-"+runtime.GOARCH+".tar"))
	})
	registry, _, _ := strings.Cut(tag[0].RepoTags[0], "/"+specs[0].name+":")
	for _, s := range specs {
		if err := release.write(s, base, registry, again); err != nil {
			t.Fatal(err)
		}
	}
	files := 0
	err = filepath.WalkDir(again, func(made string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		files++
		relative, _ := filepath.Rel(again, made)
		first, err := os.ReadFile(filepath.Join(path, relative))
		if err != nil {
			return err
		}
		second, err := os.ReadFile(made)
		if err == nil && !bytes.Equal(first, second) {
			t.Errorf("%s differs", relative)
		}
		return err
	})
	if err != nil || files < 50 {
		t.Errorf("%d files compared: %v", files, err)
	}
}

func first[A, B any](a A, _ B) A { return a }

// TestRuns: the program of each image starts with nothing but the image's files, as the image's user and without any
// capability, and finds the authorities where Go looks for them.
func TestRuns(t *testing.T) {
	path := folder(t)
	if os.Getuid() != 0 {
		t.Skip("changing the root directory needs root")
	}
	for _, s := range specs {
		t.Run(s.name, func(t *testing.T) {
			root := t.TempDir()
			if err := os.Chmod(root, 0o755); err != nil {
				t.Fatal(err)
			}
			unpack(t, images(t, first(index(t, path, s.name)))[runtime.GOARCH], root)
			for argument, want := range map[string]string{"--version": "", "--config=/none": "/none"} {
				arguments := []string{argument}
				if s.name == "millrace" && argument != "--version" {
					arguments = append(arguments, "config", "check")
				}
				cmd := exec.Command(s.executable(), arguments...)
				cmd.Path, cmd.Err = s.executable(), nil
				cmd.Dir, cmd.Env = "/", []string{"PATH=/usr/bin"}
				cmd.SysProcAttr = &syscall.SysProcAttr{
					Chroot: root, Credential: &syscall.Credential{Uid: 65532, Gid: 65532},
					Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS,
				}
				output, err := cmd.CombinedOutput()
				if (err == nil) != (want == "") || !strings.Contains(string(output), want) {
					t.Errorf("%v: %v, %s", arguments, err, output)
				}
			}
		})
	}
}

func unpack(t *testing.T, image v1.Image, root string) {
	t.Helper()
	stream := mutate.Extract(image)
	defer stream.Close()
	cmd := exec.Command("tar", "-x", "-p", "-C", root)
	cmd.Stdin = stream
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
}
