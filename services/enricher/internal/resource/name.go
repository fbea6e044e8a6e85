package resource

import (
	"millrace.dev/lib/program"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// ServiceName gives service.name of a process, in order: what its own OpenTelemetry environment says, the name of the
// discovery rule that selected it, its program as capture named it, its command name. Never empty: "unknown_service"
// as the OpenTelemetry specification has it.
func ServiceName(p *millracev1.Process) string {
	for _, name := range []string{p.GetOtelServiceName(), p.GetRuleServiceName(), programName(p), p.GetCommand()} {
		if name != "" {
			return name
		}
	}
	return "unknown_service"
}

// ServiceNamespace gives service.namespace of a process, or empty.
func ServiceNamespace(p *millracev1.Process) string {
	if ns := p.GetOtelResourceAttributes()["service.namespace"]; ns != "" {
		return ns
	}
	return p.GetRuleServiceNamespace()
}

// programName is what capture says, which knows more than it sends. Records of a capture that is older than the field
// have the arguments, without what was cut off or blanked.
func programName(p *millracev1.Process) string {
	if p.GetProgramName() != "" {
		return p.GetProgramName()
	}
	name, _ := program.Name(&program.Launch{Executable: p.GetExecutablePath(), Command: p.GetCommand(), Args: p.GetCommandArgs()})
	return name
}
