module millrace.dev/protocols

go 1.26.0

require millrace.dev/proto v0.0.0

require (
	github.com/planetscale/vtprotobuf v0.6.0 // indirect
	golang.org/x/net v0.61.0 // indirect
	google.golang.org/protobuf v1.36.12 // indirect
)

replace millrace.dev/proto => ../proto
