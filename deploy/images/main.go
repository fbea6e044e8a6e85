package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "images:", err)
		os.Exit(1)
	}
}

func run() error {
	var r release
	var out, license, registry, tree string
	var created int64
	flag.StringVar(&r.binaries, "binaries", "", "`folder` of the executables, ARCH/NAME")
	flag.StringVar(&r.sboms, "sboms", "", "`folder` of the bills of materials, NAME-ARCH.cdx.json")
	flag.StringVar(&r.version, "version", "", "version, also the tag")
	flag.StringVar(&r.revision, "revision", "", "commit")
	flag.Int64Var(&created, "created", 0, "time of everything, `seconds` since the Unix epoch (SOURCE_DATE_EPOCH)")
	flag.StringVar(&license, "license", "LICENSE", "`file` of the licence")
	flag.StringVar(&registry, "registry", "localhost", "registry and path before the images' names")
	flag.StringVar(&out, "o", "", "`folder` to write to")
	flag.Func("architectures", "`list` of architectures instead of all, separated by commas", func(list string) error {
		only := strings.Split(list, ",")
		for _, arch := range only {
			if !slices.Contains(architectures, arch) {
				return fmt.Errorf("%q is none of %v", arch, architectures)
			}
		}
		architectures = only
		return nil
	})
	flag.StringVar(&tree, "base", "", "write the files that all images have to this `folder`, for the Dockerfile, and nothing else")
	flag.Parse()
	if tree != "" {
		return writeBase(tree, license)
	}
	if r.binaries == "" || r.sboms == "" || r.version == "" || out == "" || created <= 0 {
		return errors.New("-binaries, -sboms, -version, -created and -o are needed")
	}
	r.created = time.Unix(created, 0).UTC()
	var err error
	if r.license, err = os.ReadFile(license); err != nil {
		return fmt.Errorf("read licence: %w", err)
	}
	base, err := layer(baseFiles(r.license), r.created)
	if err != nil {
		return err
	}
	for _, s := range specs {
		if err := r.write(s, base, registry, out); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}

// writeBase writes the base files as they are, but for their owners.
func writeBase(tree, license string) error {
	text, err := os.ReadFile(license)
	if err != nil {
		return fmt.Errorf("read licence: %w", err)
	}
	for _, f := range baseFiles(text) {
		path := filepath.Join(tree, f.path)
		if f.path[len(f.path)-1] == '/' {
			err = os.MkdirAll(path, 0o755)
		} else {
			err = os.WriteFile(path, f.body, 0o644)
		}
		if err == nil {
			err = os.Chmod(path, os.FileMode(f.mode&0o777)|sticky(f.mode))
		}
		if err != nil {
			return fmt.Errorf("write base files: %w", err)
		}
	}
	return nil
}

func sticky(mode int64) os.FileMode {
	if mode&0o1000 != 0 {
		return os.ModeSticky
	}
	return 0
}

// write makes one image for every architecture and writes what there is of it: layout, archives, documents.
func (r release) write(s spec, base v1.Layer, registry, out string) error {
	tag, err := name.NewTag(registry + "/" + s.name + ":" + r.version)
	if err != nil {
		return fmt.Errorf("name image: %w", err)
	}
	var images, referrers []mutate.IndexAddendum
	for _, arch := range architectures {
		image, err := r.image(s, arch, base)
		if err != nil {
			return fmt.Errorf("%s: %w", arch, err)
		}
		referrer, document, err := r.sbom(s, arch, image)
		if err != nil {
			return fmt.Errorf("%s: %w", arch, err)
		}
		path := filepath.Join(out, s.name+"-"+arch)
		if err := os.WriteFile(path+".cdx.json", document, 0o644); err != nil {
			return fmt.Errorf("write bill of materials: %w", err)
		}
		if err := tarball.WriteToFile(path+".tar", tag, image); err != nil {
			return fmt.Errorf("write archive: %w", err)
		}
		platform := &v1.Platform{OS: "linux", Architecture: arch}
		if arch == "arm64" {
			platform.Variant = "v8"
		}
		images = append(images, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{Platform: platform}})
		referrers = append(referrers, mutate.IndexAddendum{Add: referrer, Descriptor: v1.Descriptor{ArtifactType: sbomType}})
	}
	index := mutate.IndexMediaType(mutate.AppendManifests(empty.Index, images...), types.OCIImageIndex)
	digest, err := index.Digest()
	if err != nil {
		return fmt.Errorf("digest: %w", err)
	}
	// Only the index has a name: those who copy the layout find the documents by the digest that they refer to.
	named := mutate.IndexAddendum{Add: index, Descriptor: v1.Descriptor{Annotations: map[string]string{
		"org.opencontainers.image.ref.name": r.version,
		"io.containerd.image.name":          tag.Name(),
	}}}
	all := mutate.AppendManifests(empty.Index, append([]mutate.IndexAddendum{named}, referrers...)...)
	folder := filepath.Join(out, s.name)
	if err := os.RemoveAll(folder); err != nil { // a layout that is written over keeps blobs of before
		return fmt.Errorf("remove old layout: %w", err)
	}
	if _, err := layout.Write(folder, all); err != nil {
		return fmt.Errorf("write layout: %w", err)
	}
	fmt.Printf("%s %s\n", tag.Name(), digest)
	return nil
}
