module millrace.dev/protocols

go 1.26.0

require (
	github.com/klauspost/compress v1.20.3
	github.com/twmb/franz-go/pkg/kmsg v1.15.1
	golang.org/x/net v0.61.0
	google.golang.org/protobuf v1.36.12
	millrace.dev/proto v0.0.0
)

require (
	github.com/planetscale/vtprotobuf v0.6.0 // indirect
	golang.org/x/text v0.43.0 // indirect
)

replace millrace.dev/proto => ../proto
