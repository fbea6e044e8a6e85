// Package k8s has the end-to-end tests on a Kubernetes cluster: the chart is installed as a user installs it, an
// application of several workloads runs on all nodes, and what comes out of Millrace is compared with what the
// application did. `make e2e-k8s` runs them on the cluster of KUBECONFIG, with kubectl and helm of the PATH.
//
// The variables that say what a cluster needs:
//
//	KUBECONFIG          the cluster; without it the tests are skipped
//	K8S_LOAD            command that takes archives of images and loads them into every node, such as `kind load
//	                    image-archive`; empty: the images of K8S_REGISTRY are there already
//	K8S_REGISTRY        what the names of images begin with; default localhost
//	K8S_IMAGES          folder with Millrace's images, as `make images` writes it
//	K8S_VERSION         their tag
//	K8S_SHARED_KERNEL   1 where nodes are containers of one machine: see `capture.cgroup_prefix`
//	K8S_SHORT           1: a quarter of the load
//	K8S_KEEP            1: leave the application and the release where they are
//	K8S_PARTS           these parts alone, separated by commas, on what K8S_KEEP has left; `metrics` needs all before it
package k8s
