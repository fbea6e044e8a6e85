package resource

import (
	"path"
	"slices"
	"strconv"

	"millrace.dev/services/enricher/internal/spans"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// InstanceID gives service.instance.id: as the process's own environment says, else node, pid and a hash of the
// process's start.
func InstanceID(p *millracev1.Process) string {
	if id := p.GetOtelResourceAttributes()["service.instance.id"]; id != "" {
		return id
	}
	return p.GetNode() + ":" + strconv.FormatUint(uint64(p.GetPid()), 10) + ":" + strconv.FormatUint(p.GetId(), 36)
}

// Encode gives the resource attributes of a process as the beginning of a [millracev1.SpanBatch].
func Encode(p *millracev1.Process) []byte {
	r := spans.NewResourceEncoder()
	own := map[string]struct{}{}
	text := func(key, value string) {
		own[key] = struct{}{}
		r.Text(key, value)
	}
	text("service.name", ServiceName(p))
	text("service.namespace", ServiceNamespace(p))
	text("service.instance.id", InstanceID(p))
	text("host.name", p.GetNode())
	if p.GetPid() != 0 {
		own["process.pid"] = struct{}{}
		r.Number("process.pid", int64(p.GetPid()))
	}
	text("process.executable.path", p.GetExecutablePath())
	if p.GetExecutablePath() != "" {
		text("process.executable.name", path.Base(p.GetExecutablePath()))
	}
	text("process.runtime.version", p.GetRuntimeVersion())
	text("container.id", p.GetContainerId())
	text("telemetry.sdk.name", "millrace")
	text("telemetry.sdk.language", p.GetLanguage())

	// What else the process says of itself, in a fixed order so that equal processes have equal bytes.
	keys := make([]string, 0, len(p.GetOtelResourceAttributes()))
	for key := range p.GetOtelResourceAttributes() {
		if _, found := own[key]; !found {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	for _, key := range keys {
		r.Text(key, p.GetOtelResourceAttributes()[key])
	}
	return r.BatchHead()
}
