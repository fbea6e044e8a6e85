package program

import (
	"slices"
	"strings"
)

// launchers find what a program runs whose task is to run others, by its name. What they do not find is named after the
// launcher.
var launchers map[string]func(*search) string

func init() { // The table and what it lists refer to each other.
	application, command := (*search).application, (*search).command
	pythonScript, nodeScript := (*search).python, (*search).node
	launchers = map[string]func(*search) string{
		// Servers of Python applications.
		"gunicorn": (*search).gunicorn, "uvicorn": application, "hypercorn": application, "daphne": application, "granian": application,
		"waitress-serve": application, "waitress": application, "bjoern": application, "cheroot": application, "gunicorn.app.wsgiapp": (*search).gunicorn,
		"flask": option("--app", "-A"), "quart": option("--app", "-A"), "celery": option("-A", "--app"),
		"fastapi": after("run", "dev"), "streamlit": after("run"), "dramatiq": application, "arq": application,
		"uwsgi": (*search).uwsgi, "uwsgi-core": (*search).uwsgi,
		// Tools that run a Python script in themselves.
		"coverage": afterThen(pythonScript, "run"), "debugpy": pythonScriptWith("--listen", "--connect", "--log-to", "--configure-subProcess"),
		"pdb": pythonScriptWith("-c"), "cProfile": pythonScriptWith("-o", "-s"), "profile": pythonScriptWith("-o", "-s"), "trace": pythonScriptWith("-f", "-C"),
		"ddtrace-run": command, "opentelemetry-instrument": command,
		// Tools that run a command.
		"poetry": afterThen(command, "run"), "pipenv": afterThen(command, "run"), "uv": afterThen(command, "run"), "pdm": afterThen(command, "run"),
		"rye": afterThen(command, "run"), "hatch": afterThen(command, "run"), "bundle": afterThen(command, "exec"), "bundler": afterThen(command, "exec"),
		"npx": command, "cross-env": command, "dotenv": command, "env-cmd": command, "dumb-init": command,
		// Tools that run a script of Node.js in themselves.
		"ts-node": nodeScript, "ts-node-dev": nodeScript, "tsnd": nodeScript, "ts-node-esm": nodeScript, "ts-node-script": nodeScript, "ts-node-transpile-only": nodeScript,
		"tsx": (*search).tsx, "babel-node": nodeScript, "esno": nodeScript, "esmo": nodeScript, "vite-node": nodeScript, "swc-node": nodeScript,
		"nodemon": nodeScript, "node-dev": nodeScript, "supervisor": nodeScript, "coffee": nodeScript, "c8": command, "nyc": command,
		// Servers of Ruby and Perl applications.
		"puma": option("--tag"), "pumactl": option("--tag"), "rackup": (*search).rack, "thin": option("--tag"), "unicorn": (*search).rack, "falcon": (*search).rack,
		"plackup": (*search).psgi, "starman": (*search).psgi, "twiggy": (*search).psgi, "starlet": (*search).psgi,
		"hypnotoad": scriptOf, "morbo": scriptOf,
	}
}

func scriptOf(s *search) string {
	if arg, ok := s.positional("-l", "--listen", "-m", "--mode", "-w", "--watch", "-b", "--backend"); ok {
		return s.stem(arg)
	}
	return ""
}

// option makes a launcher that is named by the value of an option, which may be a Python object.
func option(names ...string) func(*search) string {
	return func(s *search) string { return s.object(s.option(names...)) }
}

// after makes a launcher that runs the file or object behind one of the words.
func after(words ...string) func(*search) string {
	return func(s *search) string {
		if arg, ok := s.positional(); !ok || !slices.Contains(words, arg) {
			return ""
		}
		arg, _ := s.positional("--host", "--port", "--app", "--root-path", "--workers", "--reload-dir")
		return s.object(arg)
	}
}

// afterThen makes a launcher that runs by the rules of another what stands behind one of the words.
func afterThen(rule func(*search) string, words ...string) func(*search) string {
	return func(s *search) string {
		arg, ok := s.positional("-C", "-P", "--directory", "--project", "-p", "-e", "--env", "--rcfile", "--gemfile")
		if !ok || !slices.Contains(words, arg) {
			return ""
		}
		return rule(s)
	}
}

// pythonScriptWith makes a launcher of a Python script with options that have values.
func pythonScriptWith(values ...string) func(*search) string {
	return func(s *search) string {
		for len(s.args) > 0 {
			arg := s.args[0]
			switch {
			case slices.Contains(values, arg):
				s.args = s.args[min(2, len(s.args)):]
			case arg == "-m" || !strings.HasPrefix(arg, "-"):
				return s.python()
			default:
				s.args = s.args[1:]
			}
		}
		return ""
	}
}

// command is for launchers whose arguments are a command with its own.
func (s *search) command() string {
	arg, ok := s.positional("--with", "--python", "-p", "--package", "--extra", "--group", "--env-file", "-c", "-f", "-e", "--project", "--directory", "--from")
	for ok && strings.Contains(arg, "=") { // Variables, as cross-env takes them.
		arg, ok = s.next()
	}
	if !ok {
		return ""
	}
	return s.program(append([]string{arg}, s.args...))
}

// tsx is like node but for a command in front.
func (s *search) tsx() string {
	if len(s.args) > 0 && s.args[0] == "watch" {
		s.args = s.args[1:]
	}
	return s.node()
}

// object gives the module of a Python object: shop.wsgi of "shop.wsgi:app", of "src/shop.py" and of
// "shop.wsgi:create_app()".
func (s *search) object(arg string) string {
	module, _, _ := strings.Cut(arg, ":")
	if module == "" {
		return ""
	}
	return s.stem(module)
}

// gunicorn is named by its own option, else by its application.
func (s *search) gunicorn() string {
	if name := s.option("--name", "-n"); name != "" {
		return s.object(name)
	}
	return s.application()
}

// switches of servers of Python applications: options without a value.
var switches = []string{
	"--reload", "--preload", "--daemon", "-D", "--reuse-port", "-R", "--capture-output", "--no-sendfile", "--proxy-protocol", "--spew", "--check-config",
	"--print-config", "--enable-stdio-inheritance", "--initgroups", "--suppress-ragged-eofs", "--do-handshake-on-connect", "--strip-header-spaces",
	"--disable-redirect-access-to-syslog", "--log-syslog", "--no-control-socket",
	"--factory", "--access-log", "--no-access-log", "--use-colors", "--no-use-colors", "--proxy-headers", "--no-proxy-headers", "--server-header",
	"--no-server-header", "--date-header", "--no-date-header", "--debug", "--insecure", "--access-logfile=-", "--call", "--expose-tracebacks",
	"--no-expose-tracebacks", "--ipv4", "--no-ipv4", "--ipv6", "--no-ipv6", "--verbose", "-v",
}

// application names the application of a server of Python applications: module:attribute among the arguments, else the
// first argument that is neither an option nor the value of one.
func (s *search) application() string {
	plain := ""
	for i, arg := range s.args {
		value := i > 0 && strings.HasPrefix(s.args[i-1], "-") && !strings.Contains(s.args[i-1], "=") && !slices.Contains(switches, s.args[i-1])
		if value || strings.HasPrefix(arg, "-") {
			continue
		}
		arg = strings.TrimPrefix(strings.TrimPrefix(arg, "asgi:"), "wsgi:")
		if isObject(arg) {
			return s.object(arg)
		}
		if plain == "" && identifier(arg) {
			plain = arg
		}
	}
	if plain != "" {
		return s.stem(plain)
	}
	// Where an option was taken for one with a value.
	for _, arg := range s.args {
		if !strings.HasPrefix(arg, "-") && isObject(arg) {
			return s.object(arg)
		}
	}
	return ""
}

// isObject reports whether an argument is module:attribute, and no address like "localhost:8000".
func isObject(arg string) bool {
	module, attribute, found := strings.Cut(arg, ":")
	return found && identifier(strings.ReplaceAll(strings.TrimSuffix(module, ".py"), "/", ".")) && startsName(attribute)
}

// startsName reports whether s begins like a Python identifier.
func startsName(s string) bool {
	return s != "" && (s[0] == '_' || s[0]|0x20 >= 'a' && s[0]|0x20 <= 'z')
}

// identifier reports whether s is a Python identifier, or several with dots.
func identifier(s string) bool {
	for part := range strings.SplitSeq(s, ".") {
		if !startsName(part) || strings.ContainsAny(part, "-/:=,@ ") {
			return false
		}
	}
	return true
}

// uwsgi is named by its application or its configuration.
func (s *search) uwsgi() string {
	if module := s.option("--module", "-w", "--wsgi", "--wsgi-file", "--file", "--procname-prefix", "--psgi", "--rack"); module != "" {
		return s.object(module)
	}
	file := s.option("--ini", "--yaml", "--json", "--xml", "-i")
	for _, arg := range s.args {
		if file == "" && (strings.HasSuffix(arg, ".ini") || strings.HasSuffix(arg, ".yaml") || strings.HasSuffix(arg, ".xml")) && !strings.HasPrefix(arg, "-") {
			file = arg
		}
	}
	name, _, _ := strings.Cut(s.stem(file), ".")
	switch name {
	case "uwsgi", "app", "conf", "config":
		return ""
	}
	return name
}

// rack is named by its configuration unless that has the usual name.
func (s *search) rack() string {
	if tag := s.option("--tag"); tag != "" {
		return tag
	}
	return s.file(".ru", "config")
}

func (s *search) psgi() string { return s.file(".psgi", "app") }

// file names the first argument with the suffix, unless it has the usual name.
func (s *search) file(suffix, usual string) string {
	for _, arg := range s.args {
		if strings.HasSuffix(arg, suffix) && !strings.HasPrefix(arg, "-") {
			if name := s.stem(arg); name != usual {
				return name
			}
		}
	}
	return ""
}
