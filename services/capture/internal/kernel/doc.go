// Package kernel loads Millrace's eBPF programs, attaches them by trial, and hands their records to the rest of capture
// as Go values. It is the only package that knows the kernel side's record layout.
package kernel
