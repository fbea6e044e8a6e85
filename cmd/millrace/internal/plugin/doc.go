// Package plugin finds an installation of Millrace in a Kubernetes cluster by its labels, and reaches into it as a
// user of the cluster: it connects to the installation's NATS through the API server, with a credential that it signs
// on the spot, and runs commands in pods. The API server decides who may: it takes to list pods, to read one Secret,
// and to forward a port of a pod, or to exec in one.
package plugin
