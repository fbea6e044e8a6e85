package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// sbomType is the media type of CycloneDX documents, as IANA lists it.
const sbomType = "application/vnd.cyclonedx+json"

// release is what the images are made of.
type release struct {
	binaries string // folder of ARCH/NAME
	sboms    string // folder of NAME-ARCH.cdx.json
	license  []byte
	version  string
	revision string
	created  time.Time
}

// labels say what an image is, under the names of OCI's image specification.
func (r release) labels(s spec) map[string]string {
	return map[string]string{
		"org.opencontainers.image.title":       s.title,
		"org.opencontainers.image.description": s.description,
		"org.opencontainers.image.version":     r.version,
		"org.opencontainers.image.revision":    r.revision,
		"org.opencontainers.image.created":     r.created.Format(time.RFC3339),
		"org.opencontainers.image.licenses":    "Apache-2.0",
		"org.opencontainers.image.vendor":      "Millrace",
	}
}

// image makes the image of one architecture. base is the layer that all images share.
func (r release) image(s spec, arch string, base v1.Layer) (v1.Image, error) {
	files, err := programFiles(s.name, filepath.Join(r.binaries, arch, s.name))
	if err != nil {
		return nil, err
	}
	program, err := layer(files, r.created)
	if err != nil {
		return nil, err
	}
	created := v1.Time{Time: r.created}
	history := func(what string) v1.History { return v1.History{Created: created, CreatedBy: what} }
	image, err := mutate.Append(mutate.MediaType(mutate.ConfigMediaType(empty.Image, types.OCIConfigJSON), types.OCIManifestSchema1),
		mutate.Addendum{Layer: base, History: history("accounts, certificate authorities, folders"), MediaType: types.OCILayer},
		mutate.Addendum{Layer: program, History: history(s.executable()), MediaType: types.OCILayer})
	if err != nil {
		return nil, fmt.Errorf("append layers: %w", err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	config = config.DeepCopy()
	config.Architecture, config.OS, config.Created, config.Container = arch, "linux", created, ""
	if arch == "arm64" {
		config.Variant = "v8"
	}
	config.Config = v1.Config{
		User: s.user, Entrypoint: []string{s.executable()}, Cmd: s.command, WorkingDir: "/", Labels: r.labels(s),
		Env: []string{"PATH=/usr/bin"},
	}
	return mutate.ConfigFile(image, config)
}

// sbom makes the referrer that attaches the document of an executable to its image, and returns it with the document.
func (r release) sbom(s spec, arch string, of v1.Image) (v1.Image, []byte, error) {
	document, err := os.ReadFile(filepath.Join(r.sboms, s.name+"-"+arch+".cdx.json"))
	if err != nil {
		return nil, nil, fmt.Errorf("read bill of materials: %w", err)
	}
	subject, err := partial.Descriptor(of)
	if err != nil {
		return nil, nil, fmt.Errorf("describe image: %w", err)
	}
	artifact, err := mutate.AppendLayers(mutate.MediaType(mutate.ConfigMediaType(empty.Image, sbomType), types.OCIManifestSchema1),
		static.NewLayer(document, sbomType))
	if err != nil {
		return nil, nil, fmt.Errorf("append document: %w", err)
	}
	annotated := mutate.Annotations(artifact, map[string]string{
		"org.opencontainers.image.created": r.created.Format(time.RFC3339),
	})
	referrer, ok := mutate.Subject(annotated, v1.Descriptor{MediaType: subject.MediaType, Digest: subject.Digest, Size: subject.Size}).(v1.Image)
	if !ok {
		return nil, nil, fmt.Errorf("attach bill of materials: not an image")
	}
	return referrer, document, nil
}
