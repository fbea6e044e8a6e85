package selection

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"millrace.dev/lib/config"
	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/services/capture/internal/kernel"
	"millrace.dev/services/capture/internal/process"
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
}

type rule struct {
	name, namespace string
	ports           []portRange
	executable      *regexp.Regexp // nil: any
	languages       *regexp.Regexp
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
			*list.into = append(*list.into, compiled)
		}
	}
	// A list whose rules can match nothing still is not an empty list, which would select everything.
	return r, nil
}

func compile(s config.Service) (rule, error) {
	r := rule{name: s.Name, namespace: s.Namespace}
	var err error
	if r.ports, err = parsePorts(s.OpenPorts); err != nil {
		return r, fmt.Errorf("open_ports: %w", err)
	}
	if r.executable, err = glob(s.ExePath); err != nil {
		return r, fmt.Errorf("exe_path: %w", err)
	}
	if r.languages, err = glob(s.Languages); err != nil {
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

// glob compiles a pattern of '*' (any characters, '/' too), '?', '[…]' and '{a,b}'; nil for the empty pattern.
func glob(pattern string) (*regexp.Regexp, error) {
	if pattern == "" {
		return nil, nil
	}
	var out strings.Builder
	out.WriteString("^(?s:")
	depth := 0
	for i := 0; i < len(pattern); i++ {
		switch c := pattern[i]; {
		case c == '*':
			out.WriteString(".*")
		case c == '?':
			out.WriteString(".")
		case c == '{':
			depth++
			out.WriteString("(?:")
		case c == '}' && depth > 0:
			depth--
			out.WriteString(")")
		case c == ',' && depth > 0:
			out.WriteString("|")
		case c == '[' && strings.IndexByte(pattern[i:], ']') > 1:
			end := i + strings.IndexByte(pattern[i:], ']')
			out.WriteString("[" + strings.Replace(pattern[i+1:end], "!", "^", 1) + "]")
			i = end
		default:
			out.WriteString(regexp.QuoteMeta(string(c)))
		}
	}
	out.WriteString(")$")
	compiled, err := regexp.Compile(out.String())
	if err != nil {
		return nil, fmt.Errorf("%q is not a glob", pattern)
	}
	return compiled, nil
}

// effective reports whether the rule has a criterion.
func (r *rule) effective() bool { return len(r.ports) > 0 || r.executable != nil || r.languages != nil }

// program reports whether all criteria but the ports match.
func (r *rule) program(p *process.Process) bool {
	facts := p.Facts()
	return r.effective() && (r.executable == nil || r.executable.MatchString(facts.ExecutablePath)) &&
		(r.languages == nil || r.languages.MatchString(facts.Language))
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
		if len(rule.ports) > 0 && (rule.executable != nil || rule.languages != nil) {
			decide = false
		}
	}
	return ports, decide
}

// Own reports whether a process is Millrace's own and so never watched: the calling one, and those of its programs.
func (r *Rules) Own(p *process.Process) bool {
	return p.PID == r.self || strings.HasPrefix(p.Program.GoModule, ownModule) && !strings.HasPrefix(p.Program.GoMain, testPrograms)
}

// Decide decides about a process as far as its facts tell. Undecided means that its program was not inspected yet;
// Conditional that its connections decide, see [Rules.Connection]. Exclusion by ports concerns the processes that
// listen on them only: whoever calls a service that is not to be watched may well be.
func (r *Rules) Decide(p *process.Process) process.Selection {
	switch {
	case p.KernelThread, r.Own(p):
		return process.Selection{State: process.Ignored}
	case !p.Inspected:
		return process.Selection{State: process.Undecided}
	}
	for i := range r.exclude {
		if rule := &r.exclude[i]; rule.program(p) && (len(rule.ports) == 0 || rule.listens(p)) {
			return process.Selection{State: process.Ignored}
		}
	}
	if len(r.include) == 0 {
		return process.Selection{State: process.Selected}
	}
	conditional := false
	for i := range r.include {
		rule := &r.include[i]
		if !rule.program(p) {
			continue
		}
		if len(rule.ports) == 0 || rule.listens(p) {
			return process.Selection{State: process.Selected, Name: rule.name, Namespace: rule.namespace}
		}
		conditional = true
	}
	if conditional {
		return process.Selection{State: process.Conditional}
	}
	return process.Selection{State: process.Ignored}
}

// Connection decides about a Conditional process by one of its connections: it is selected if the connection leads to a
// port of a rule, or came in on one. A process that merely connects has the rule's name only if the rule names programs
// too: otherwise the rule is about the service behind the port, and its callers have names of their own.
func (r *Rules) Connection(p *process.Process, k *kernel.Connection) (process.Selection, bool) {
	for i := range r.include {
		rule := &r.include[i]
		if len(rule.ports) == 0 || !rule.program(p) {
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
			if rule.executable != nil || rule.languages != nil {
				s.Name, s.Namespace = rule.name, rule.namespace
			}
			return s, true
		}
	}
	return process.Selection{}, false
}
