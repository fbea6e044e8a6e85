module millrace.dev/services/capture

go 1.26.0

require (
	millrace.dev/lib v0.0.0
	millrace.dev/proto v0.0.0
)

require (
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	github.com/klauspost/compress v1.20.3 // indirect
	github.com/nats-io/nats.go v1.55.0 // indirect
	github.com/nats-io/nkeys v0.4.16 // indirect
	github.com/nats-io/nuid v1.0.1 // indirect
	go.yaml.in/yaml/v4 v4.0.0 // indirect
	golang.org/x/crypto v0.58.0 // indirect
	golang.org/x/sync v0.24.0 // indirect
)

require (
	github.com/cilium/ebpf v0.22.0
	github.com/planetscale/vtprotobuf v0.6.0 // indirect
	golang.org/x/sys v0.49.0
	google.golang.org/protobuf v1.36.12
	millrace.dev/bpf v0.0.0
)

replace millrace.dev/lib => ../../lib

replace millrace.dev/proto => ../../proto

replace millrace.dev/bpf => ../../bpf
