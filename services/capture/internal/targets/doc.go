// Package targets knows what the enricher has decided about the pods of this node: which rules of discovery that name
// Kubernetes match them, and what their annotation says. It reads the bucket of targets, and asks nobody else.
package targets
