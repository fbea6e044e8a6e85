package selection

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"millrace.dev/lib/config"
	"millrace.dev/lib/glob"
	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/services/capture/internal/kernel"
	"millrace.dev/services/capture/internal/process"
	"millrace.dev/services/capture/internal/targets"
)

const (
	// ownModule is the module path prefix of Millrace's own programs, which never watch themselves.
	ownModule = "millrace.dev/"
	// testPrograms are an exception: what the tests watch.
	testPrograms = "millrace.dev/test/"
)

// Rules are compiled discovery rules; immutable and safe for concurrent use.
type Rules struct {
	include, exclude []rule
	self             uint32
	podRules         []uint64
}

type rule struct {
	name, namespace string
	ports           []portRange
	executable      *regexp.Regexp // nil: any
	languages       *regexp.Regexp
	pod             int // number of its criteria about pods in Rules.podRules; -1: it has none
}

type portRange struct{ from, to uint16 }

// New compiles the rules. self is the pid of the calling process, which is never watched. A rule without a criterion
// that has an effect selects nothing.
func New(cfg config.Discovery, self uint32) (*Rules, error) {
	r := &Rules{self: self}
	for _, list := range []struct {
		key   string
		rules []config.Service
		into  *[]rule
	}{{"services", cfg.Services, &r.include}, {"exclude_services", cfg.ExcludeServices, &r.exclude}} {
		for i, service := range list.rules {
			compiled, err := compile(service)
			if err != nil {
				return nil, fmt.Errorf("discovery.%s[%d].%w", list.key, i, err)
			}
			compiled.pod = r.podRule(service.PodRule())
			*list.into = append(*list.into, compiled)
		}
	}
	// A list whose rules can match nothing still is not an empty list, which would select everything.
	return r, nil
}

// podRule gives the number of criteria about pods; -1: there are none.
func (r *Rules) podRule(name uint64) int {
	if name == 0 {
		return -1
	}
	number := slices.Index(r.podRules, name)
	if number < 0 {
		number = len(r.podRules)
		r.podRules = append(r.podRules, name)
	}
	return number
}

// PodRules are the names of the criteria about pods that rules have, see [config.Service.PodRule]: what verdicts are to
// be about.
func (r *Rules) PodRules() []uint64 { return r.podRules }

func compile(s config.Service) (rule, error) {
	r := rule{name: s.Name, namespace: s.Namespace}
	var err error
	if r.ports, err = parsePorts(s.OpenPorts); err != nil {
		return r, fmt.Errorf("open_ports: %w", err)
	}
	if r.executable, err = glob.Compile(s.ExePath); err != nil {
		return r, fmt.Errorf("exe_path: %w", err)
	}
	if r.languages, err = glob.Compile(s.Languages); err != nil {
		return r, fmt.Errorf("languages: %w", err)
	}
	return r, nil
}

// parsePorts reads "80,8000-8999".
func parsePorts(text string) ([]portRange, error) {
	var out []portRange
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		from, err := strconv.ParseUint(strings.TrimSpace(first), 10, 16)
		if err != nil {
			return nil, fmt.Errorf("%q is not a port or a range of ports", part)
		}
		to, err := strconv.ParseUint(strings.TrimSpace(last), 10, 16)
		if err != nil || to < from {
			return nil, fmt.Errorf("%q is not a port or a range of ports", part)
		}
		out = append(out, portRange{uint16(from), uint16(to)})
	}
	return out, nil
}

// effective reports whether the rule has a criterion.
func (r *rule) effective() bool { return len(r.ports) > 0 || r.names() }

// names reports whether the rule is about programs or pods, and not about ports alone.
func (r *rule) names() bool { return r.executable != nil || r.languages != nil || r.pod >= 0 }

// program reports whether all criteria but the ports and those about pods match.
func (r *rule) program(p *process.Process) bool {
	facts := p.Facts()
	return r.effective() && (r.executable == nil || r.executable.MatchString(facts.ExecutablePath)) &&
		(r.languages == nil || r.languages.MatchString(facts.Language))
}

// in reports whether the criteria about pods match.
func (r *rule) in(v targets.Verdict) targets.Truth {
	if r.pod < 0 {
		return targets.Yes
	}
	return v.Rule(r.pod)
}

func (r *rule) port(port uint16) bool {
	return slices.ContainsFunc(r.ports, func(p portRange) bool { return p.from <= port && port <= p.to })
}

func (r *rule) listens(p *process.Process) bool {
	return slices.ContainsFunc(p.Facts().ListenPorts, func(port uint32) bool { return r.port(uint16(port)) })
}

// Ports gives the ports of the rules that select by port. decide: a connection to or from one of them selects its
// process, whatever the program.
func (r *Rules) Ports() (ports []kernel.PortRange, decide bool) {
	decide = true
	for i := range r.include {
		rule := &r.include[i]
		for _, p := range rule.ports {
			ports = append(ports, kernel.PortRange{First: p.from, Last: p.to})
		}
		if len(rule.ports) > 0 && rule.names() {
			decide = false
		}
	}
	return ports, decide
}

// Own reports whether a process is Millrace's own and so never watched: the calling one, and those of its programs.
func (r *Rules) Own(p *process.Process) bool {
	return p.PID == r.self || strings.HasPrefix(p.Program.GoModule, ownModule) && !strings.HasPrefix(p.Program.GoMain, testPrograms)
}

// Decide decides about a process as far as its facts and the verdict on its pod tell. Undecided means that its program
// was not inspected yet, or, with Pod, that more has to be known of its pod; Conditional that its connections decide,
// see [Rules.Connection]. Exclusion by ports concerns the processes that listen on them only: whoever calls a service
// that is not to be watched may well be. Once a verdict is final, what is unknown counts as no, and in rules that
// exclude as yes.
func (r *Rules) Decide(p *process.Process, v targets.Verdict) process.Selection {
	switch {
	case p.KernelThread, r.Own(p), v.Observe == millracev1.Observe_OBSERVE_NO:
		return process.Selection{State: process.Ignored}
	case v.Pod && !v.Known && !v.Final:
		return process.Selection{State: process.Undecided, Pod: true}
	case !p.Inspected:
		return process.Selection{State: process.Undecided}
	}
	waits := false
	for i := range r.exclude {
		rule := &r.exclude[i]
		if !rule.program(p) || len(rule.ports) > 0 && !rule.listens(p) {
			continue
		}
		switch rule.in(v) {
		case targets.Yes:
			return process.Selection{State: process.Ignored}
		case targets.Unknown:
			if v.Final {
				return process.Selection{State: process.Ignored}
			}
			waits = true
		case targets.No:
		}
	}
	if waits {
		return process.Selection{State: process.Undecided, Pod: true}
	}
	return r.included(p, v)
}

// included decides about a process that no rule excludes.
func (r *Rules) included(p *process.Process, v targets.Verdict) process.Selection {
	s := process.Selection{State: process.Ignored}
	if len(r.include) == 0 || v.Observe == millracev1.Observe_OBSERVE_YES {
		s.State = process.Selected // It has the name of the rule that selects it, if one does.
	}
	for i := range r.include {
		rule := &r.include[i]
		if !rule.program(p) {
			continue
		}
		switch rule.in(v) {
		case targets.No:
			continue
		case targets.Unknown:
			if !v.Final {
				return process.Selection{State: process.Undecided, Pod: true}
			}
			continue
		case targets.Yes:
		}
		if len(rule.ports) == 0 || rule.listens(p) {
			return process.Selection{State: process.Selected, Name: rule.name, Namespace: rule.namespace}
		}
		if s.State == process.Ignored {
			s.State = process.Conditional
		}
	}
	return s
}

// Connection decides about a Conditional process by one of its connections: it is selected if the connection leads to a
// port of a rule, or came in on one. A process that merely connects has the rule's name only if the rule names programs
// or pods too: otherwise the rule is about the service behind the port, and its callers have names of their own.
func (r *Rules) Connection(p *process.Process, v targets.Verdict, k *kernel.Connection) (process.Selection, bool) {
	for i := range r.include {
		rule := &r.include[i]
		if len(rule.ports) == 0 || !rule.program(p) || rule.in(v) != targets.Yes {
			continue
		}
		if k.Role == millracev1.Role_ROLE_SERVER {
			if k.Local.IsValid() && rule.port(k.Local.Port()) {
				return process.Selection{State: process.Selected, Name: rule.name, Namespace: rule.namespace}, true
			}
			continue
		}
		if k.Remote.IsValid() && rule.port(k.Remote.Port()) {
			s := process.Selection{State: process.Selected}
			if rule.names() {
				s.Name, s.Namespace = rule.name, rule.namespace
			}
			return s, true
		}
	}
	return process.Selection{}, false
}
