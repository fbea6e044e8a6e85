// Package targets decides which rules of discovery match the pods of each node, and writes that into the bucket of
// targets for capture on that node, which has no access to the cluster.
//
// Judging is pure: pods in, a document per node out. Of all enrichers one writes at a time: it holds a lease in the
// same bucket. A document is written with the revision that it replaces, so one whose lease has ended unnoticed writes
// over nothing newer than what it has read.
package targets
