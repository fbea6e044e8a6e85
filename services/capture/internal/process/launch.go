package process

import (
	"bytes"
	"maps"
	"path"
	"strings"

	"millrace.dev/lib/program"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// maxLaunch bounds the arguments that are read to find a program's name. Class paths are long.
const maxLaunch = 64 << 10

// maxAncestors bounds how far up a name or an environment is looked for.
const maxAncestors = 8

// image tells executions of programs from each other: where the kernel put the stack and the arguments, which it
// chooses at random at each exec. A forked process has its parent's. Zero if the kernel does not tell, as it does only
// to those that may trace the process.
type image struct{ stack, arguments uint64 }

// environState is what became of the environment that a process got at exec.
type environState uint8

const (
	environUnread environState = iota
	environIntact
	// environOverwritten: the process wrote a title over it.
	environOverwritten
)

// launch fills the facts that follow from how the process was started: its name and its environment.
//
// They are those of the exec as long as the process has not written a title over them, which servers do a moment after
// it. Where it has, a worker that was forked has what its parent had, and the title of others may still say who they
// are.
func (inv *Inventory) launch(pid uint32, s stat, facts *millracev1.Process) environState {
	facts.ExecutablePath = strings.ToValidUTF8(inv.fs.executable(pid), "?")
	cmdline, _ := inv.fs.read(pid, "cmdline", maxLaunch)
	environ, _ := inv.fs.read(pid, "environ", maxEnviron)
	state := environIntact
	if bytes.Contains(environ, []byte("OTEL_")) {
		e := parseEnviron(environ)
		facts.OtelServiceName, facts.OtelResourceAttributes, facts.OtelSdkConfigured = e.serviceName, e.attributes, e.sdkConfigured
	} else if first, _, _ := bytes.Cut(environ, []byte{0}); len(environ) > 0 && !bytes.Contains(first, []byte("=")) {
		state = environOverwritten // It was, at least where it begins.
	}

	args, title := program.Arguments(cmdline, len(cmdline) >= maxLaunch)
	l := &program.Launch{Executable: facts.ExecutablePath, Command: s.command, Args: args, Title: title}
	if program.Interpreter(l.Executable) {
		l.Directory = inv.fs.directory(pid)
		l.Args = inv.fs.expand(pid, l, environ)
	}
	name, source := program.Name(l)
	facts.ProgramName = screenName(strings.ToValidUTF8(name, "?"), path.Base(facts.ExecutablePath))

	if title || source == program.OfParent || state == environOverwritten {
		state = inv.inherit(pid, s, facts, title, source, state)
	}
	return state
}

// inherit takes from the processes above what the process does not tell.
func (inv *Inventory) inherit(pid uint32, s stat, facts *millracev1.Process, title bool, source program.Source, state environState) environState {
	parent := inv.ancestor(pid, s.parent)
	forked := parent != nil && s.image != image{} && s.image == parent.image && parent.facts.ExecutablePath == facts.ExecutablePath
	switch {
	case title && forked:
		facts.ProgramName = parent.facts.ProgramName
	case source == program.OfParent && parent != nil && parent.facts.ExecutablePath == facts.ExecutablePath:
		facts.ProgramName = parent.facts.ProgramName
	case source == program.OfParent:
		// Its parent is gone. Before its exec the process was what the parent was.
		if before := inv.byPID[pid]; before != nil && !before.Exited && before.ticks == s.startTicks && before.facts.ExecutablePath == facts.ExecutablePath {
			facts.ProgramName = before.facts.ProgramName
		}
	}
	if state != environOverwritten {
		return state
	}
	// An environment passes from parent to child unless somebody changes it. That of another container is not the one
	// that was passed on.
	for range maxAncestors {
		if parent == nil || parent.KernelThread || parent.facts.ContainerId != facts.ContainerId || parent.facts.Cgroup != facts.Cgroup {
			break
		}
		if parent.environ == environIntact {
			facts.OtelServiceName, facts.OtelSdkConfigured = parent.facts.OtelServiceName, parent.facts.OtelSdkConfigured
			facts.OtelResourceAttributes = maps.Clone(parent.facts.OtelResourceAttributes)
			return environIntact
		}
		parent = inv.ancestor(parent.PID, parent.facts.ParentPid)
	}
	return state
}

// ancestor gives the parent of pid, which is read if it was not heard of.
func (inv *Inventory) ancestor(pid, parent uint32) *Process {
	if parent == 0 || parent == pid || inv.climbing >= maxAncestors {
		return nil
	}
	inv.climbing++
	defer func() { inv.climbing-- }()
	if p := inv.Lookup(parent); p != nil && !p.Exited {
		return p
	}
	return nil
}

// directory is the working directory of a process.
func (fs procfs) directory(pid uint32) string {
	dir, err := fs.link(pid, "cwd")
	if err != nil {
		return ""
	}
	return dir
}

// expand gives the arguments of an interpreter with what they only refer to: the files of arguments of Java, and the
// script of a process that pm2 runs.
func (fs procfs) expand(pid uint32, l *program.Launch, environ []byte) []string {
	if len(l.Args) > 1 && strings.HasPrefix(path.Base(l.Args[1]), "ProcessContainer") {
		if script := variable(environ, "pm_exec_path"); script != "" {
			return []string{l.Args[0], script}
		}
	}
	if base := path.Base(l.Executable); base == "java" || base == "javaw" {
		return fs.expandJava(pid, l)
	}
	return l.Args
}

// variable gives the value of a variable of an environment; empty if it is not there.
func variable(environ []byte, name string) string {
	for entry := range bytes.SplitSeq(environ, []byte{0}) {
		if value, found := bytes.CutPrefix(entry, []byte(name+"=")); found {
			return string(value)
		}
	}
	return ""
}
