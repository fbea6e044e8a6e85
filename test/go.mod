module millrace.dev/test

go 1.26.0

replace (
	millrace.dev/bpf => ../bpf
	millrace.dev/lib => ../lib
	millrace.dev/proto => ../proto
	millrace.dev/services/capture => ../services/capture
	millrace.dev/services/decoder => ../services/decoder
	millrace.dev/services/enricher => ../services/enricher
	millrace.dev/services/exporter => ../services/exporter
)

require (
	github.com/cilium/ebpf v0.22.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
)
