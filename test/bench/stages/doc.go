// Command stages measures what each stage of the pipeline costs, and writes docs/benchmarks-stages.md: the benchmarks
// beside the code; a recording of HTTP traffic that goes through real processes and a NATS server of their own, with
// one instance of each service and with two; what checkpoints take of the CPU; and how fast instances whose CPU is
// limited work off a backlog, alone and together.
package main
