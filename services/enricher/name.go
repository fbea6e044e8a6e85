package enricher

import (
	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/services/enricher/internal/resource"
)

// ServiceName gives the service.name that spans of a process carry. Safe for concurrent use.
func ServiceName(p *millracev1.Process) string {
	return (&resource.Identity{Process: p}).ServiceName()
}
