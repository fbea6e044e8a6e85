// Command images writes Millrace's container images without a container engine, a registry or a base image.
//
//	images -binaries DIR -sboms DIR -o DIR -version V -revision COMMIT -created SECONDS
//
// DIR of -binaries holds the static executables as ARCH/NAME, that of -sboms a CycloneDX document of each as
// NAME-ARCH.cdx.json. For each image it writes an OCI image layout NAME/, whose index has one image for each
// architecture and, as referrers, the two documents, and NAME-ARCH.tar, which `docker load`, `podman load` and `ctr
// images import` read. The same input gives the same bytes: times are -created, entries are sorted, and the layers are
// compressed by Go's own gzip. The files of the images are those of the Dockerfile beside it.
package main
