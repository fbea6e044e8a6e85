// Stages measures what each stage of the pipeline costs: its Go benchmarks, and a recording of HTTP traffic that goes through real processes
// and a NATS server of their own, with one instance of each service and with two. It writes docs/benchmarks-stages.md.
package main
