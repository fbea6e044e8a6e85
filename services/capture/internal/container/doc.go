// Package container says what a container is called, from what its runtime keeps on the node's disk: no socket of a
// runtime is asked, which would be root on the machine.
//
//	runtime                    where
//	Docker                     /var/lib/docker/containers/<id>/config.v2.json
//	containerd, nerdctl, k3s   config.json of the bundle below /run/containerd, by namespace
//	CRI-O                      config.json of the container below /run/containers and /var/lib/containers
//	Podman (root)              containers.json below /var/lib/containers
//
// Containers of a user's own Docker or Podman, and data folders that were moved, are not found: they have their id
// alone. A container that is renamed keeps the name that it had when its first process was seen.
package container
