module millrace.dev/services/exporter

go 1.26.0

require (
	millrace.dev/lib v0.0.0
	millrace.dev/proto v0.0.0
)

replace millrace.dev/lib => ../../lib

replace millrace.dev/proto => ../../proto
