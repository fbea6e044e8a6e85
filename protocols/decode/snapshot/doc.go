// Package snapshot is the encoding of processor state: varints and length-prefixed bytes. A [Reader] never panics and
// never allocates more than the snapshot is long; the first error sticks and every later read gives zeros.
package snapshot
