// Package kube answers questions about pods and addresses from what a Kubernetes cluster knows. It watches pods, nodes
// and Services, and the metadata of ReplicaSets and Jobs, once per process, whatever the number of partitions; of each
// object it keeps the fields that are used. Answers go into the log of the partition that asked.
package kube
