package resource

import (
	"path"
	"slices"
	"strings"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// ServiceName gives service.name of a process, in order: what its own OpenTelemetry environment says, the name of the
// discovery rule that selected it, its program, its command name. For an interpreter the program is the script, module
// or jar it runs. Never empty: "unknown_service" as the OpenTelemetry specification has it.
func ServiceName(p *millracev1.Process) string {
	for _, name := range []string{p.GetOtelServiceName(), p.GetRuleServiceName(), program(p), p.GetCommand()} {
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

// program names what the process runs.
func program(p *millracev1.Process) string {
	exe := path.Base(p.GetExecutablePath())
	if p.GetExecutablePath() == "" {
		return ""
	}
	// The kernel marks the path of an executable that was replaced while it runs.
	exe = strings.TrimSuffix(exe, " (deleted)")
	if takesValue := interpreter(exe); takesValue != nil && len(p.GetCommandArgs()) > 1 {
		if name := script(exe, p.GetCommandArgs()[1:], takesValue); name != "" {
			return name
		}
	}
	if called := calledAs(p); called != "" {
		return called
	}
	return exe
}

// calledAs names a program that was started through a link of another name, as programs with many names are
// (redis-server is a link to redis-check-rdb on Debian): the kernel takes the command name from the path that was
// executed, cut to 15 bytes, and the first argument has the rest of it. Empty where the two do not agree, because
// either may have been set by the program.
func calledAs(p *millracev1.Process) string {
	if len(p.GetCommandArgs()) == 0 || p.GetCommand() == "" {
		return ""
	}
	first, _, _ := strings.Cut(p.GetCommandArgs()[0], " ") // titles that a program gives itself go on after a space
	if strings.HasPrefix(first, "/proc/") {
		return "" // a program that started itself again as /proc/self/exe
	}
	called := path.Base(first)
	if called != p.GetCommand() && (len(p.GetCommand()) < 15 || !strings.HasPrefix(called, p.GetCommand())) {
		return ""
	}
	return called
}

// Options of interpreters whose value is the next argument. The scripts are found by skipping options.
var (
	pythonOptions = []string{"-W", "-X", "--check-hash-based-pycs"}
	nodeOptions   = []string{"-r", "--require", "--import", "--loader", "--experimental-loader", "-C", "--conditions", "--env-file"}
	javaOptions   = []string{
		"-cp", "-classpath", "--class-path", "-p", "--module-path", "--add-modules", "--add-opens", "--add-exports",
		"--add-reads", "--patch-module", "--upgrade-module-path",
	}
	rubyOptions = []string{"-I", "-r", "-C", "-E"}
	phpOptions  = []string{"-c", "-d", "-z"}
)

// interpreter gives the options with values of a known interpreter; nil for every other program.
func interpreter(exe string) []string {
	name := strings.TrimRight(exe, "0123456789.-")
	switch name {
	case "python", "pypy":
		return pythonOptions
	case "node", "nodejs":
		return nodeOptions
	case "java":
		return javaOptions
	case "ruby":
		return rubyOptions
	case "php", "php-cgi":
		return phpOptions
	}
	return nil
}

// script finds what an interpreter runs in its arguments, which begin after the interpreter itself.
func script(exe string, args, takesValue []string) string {
	java := strings.HasPrefix(exe, "java")
	python := strings.HasPrefix(exe, "py")
	for i := 0; i < len(args); i++ {
		arg := args[i]
		switch {
		case java && arg == "-jar", python && arg == "-m", java && (arg == "-m" || arg == "--module"):
			if i+1 < len(args) {
				return launched(args[i+1:], python)
			}
			return ""
		case arg == "-c" && python, arg == "-e" || arg == "-r" && strings.HasPrefix(exe, "php") || arg == "-p" && !java, arg == "-":
			return "" // Program text, not a file.
		case slices.Contains(takesValue, arg):
			i++
		case strings.HasPrefix(arg, "-"):
		default:
			if java {
				return className(arg)
			}
			return launched(args[i:], python)
		}
	}
	return ""
}

// launched names args[0], or what it in turn runs where it is a known launcher of applications ("python -m gunicorn
// shop.wsgi:app").
func launched(args []string, python bool) string {
	name := stem(args[0])
	if !python {
		return name
	}
	switch name {
	case "gunicorn", "uvicorn", "hypercorn", "waitress-serve", "daphne":
		for _, arg := range args[1:] {
			// The application is given as module:attribute, among options like "--bind localhost:8000".
			if module, attribute, _ := strings.Cut(arg, ":"); startsName(module) && startsName(attribute) {
				return module
			}
		}
	}
	return name
}

var suffixes = []string{".py", ".pyc", ".pyz", ".js", ".mjs", ".cjs", ".ts", ".jar", ".war", ".rb", ".ru", ".php"}

// startsName reports whether s may be a Python identifier, or several with dots.
func startsName(s string) bool {
	return s != "" && (s[0] == '_' || s[0]|0x20 >= 'a' && s[0]|0x20 <= 'z')
}

// stem shortens a script, module or jar to its name: /srv/app/shop.py is shop.
func stem(arg string) string {
	name := path.Base(arg)
	for _, suffix := range suffixes {
		if short, found := strings.CutSuffix(name, suffix); found && short != "" {
			return short
		}
	}
	return name
}

// className shortens com.example.shop.ShopApplication to ShopApplication.
func className(arg string) string {
	name := stem(arg)
	if i := strings.LastIndexByte(name, '.'); i >= 0 && i+1 < len(name) {
		return name[i+1:]
	}
	return name
}
