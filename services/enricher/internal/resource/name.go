package resource

import (
	"strconv"

	"millrace.dev/lib/program"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// ServiceName gives service.name of a process, in order: what its own OpenTelemetry environment says, the name of the
// discovery rule that selected it, what the cluster says of its pod, its program as capture named it, its command name.
// Never empty: "unknown_service" as the OpenTelemetry specification has it.
func (i *Identity) ServiceName() string {
	p := i.Process
	for _, name := range []string{
		p.GetOtelServiceName(), p.GetRuleServiceName(), i.Cluster.GetServiceName(), programName(p), p.GetCommand(),
	} {
		if name != "" {
			return name
		}
	}
	return "unknown_service"
}

// ServiceNamespace gives service.namespace of a process, or empty.
func (i *Identity) ServiceNamespace() string {
	if ns := i.Process.GetOtelResourceAttributes()["service.namespace"]; ns != "" {
		return ns
	}
	if ns := i.Process.GetRuleServiceNamespace(); ns != "" {
		return ns
	}
	return i.Cluster.GetServiceNamespace()
}

// InstanceID gives service.instance.id: as the process's own environment says, as the cluster says of its container,
// else node, pid and a hash of the process's start.
func (i *Identity) InstanceID() string {
	p := i.Process
	if id := p.GetOtelResourceAttributes()["service.instance.id"]; id != "" {
		return id
	}
	if id := i.Cluster.GetServiceInstanceId(); id != "" {
		return id
	}
	return p.GetNode() + ":" + strconv.FormatUint(uint64(p.GetPid()), 10) + ":" + strconv.FormatUint(p.GetId(), 36)
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
