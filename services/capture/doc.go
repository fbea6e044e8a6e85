// Package capture is Millrace's privileged part: one process per node that takes raw events from the kernel, blanks
// what must not leave the node, and publishes the rest as [millracev1.RawBatch] messages, in the partition of the
// process that each event belongs to. It keeps nothing but a bounded send buffer, and the applications never wait for
// it.
package capture
