package program

import (
	"path"
	"slices"
	"strings"
)

// search looks for a name in the arguments of a program.
type search struct {
	args      []string // what is not looked at yet
	directory string
	depth     int
}

// runners find what an interpreter runs, by the interpreter's name without its version.
var runners map[string]func(*search) string

func init() { // The table and what it lists refer to each other.
	shell := (*search).shell
	runners = map[string]func(*search) string{
		"python": (*search).python, "pypy": (*search).python, "python-debug": (*search).python,
		"node": (*search).node, "nodejs": (*search).node, "bun": (*search).bun, "deno": (*search).deno,
		"java": (*search).java, "javaw": (*search).java,
		"dotnet": (*search).dotnet, "mono": (*search).dotnet, "mono-sgen": (*search).dotnet,
		"ruby": (*search).ruby, "jruby": (*search).ruby, "truffleruby": (*search).ruby,
		"php": (*search).php, "php-cgi": (*search).php,
		"perl": script(launcherOptions{values: []string{"-I", "-C"}, text: []string{"-e", "-E"}}),
		"lua":  luaScript, "luajit": luaScript, "tarantool": luaScript,
		"julia":          script(launcherOptions{values: []string{"-t", "-J", "-L", "-C", "-O"}, text: []string{"-e", "-E"}}),
		"tclsh":          script(launcherOptions{}),
		"dart":           script(launcherOptions{words: []string{"run"}}),
		"dartaot":        script(launcherOptions{}),
		"dartaotruntime": script(launcherOptions{}),
		"guile":          script(launcherOptions{values: []string{"-L", "-C", "-e"}, text: []string{"-c"}}),
		"R":              (*search).statistics, "Rscript": (*search).statistics,
		"beam.smp": (*search).erlang, "beam": (*search).erlang,
		"busybox": (*search).applet, "toybox": (*search).applet,
		"sh": shell, "bash": shell, "dash": shell, "ash": shell, "zsh": shell, "ksh": shell,
	}
}

var luaScript = script(launcherOptions{values: []string{"-l"}, text: []string{"-e"}})

// family is the name of an interpreter without its version: python3.11 is python.
func family(exe string) string {
	if runners[exe] != nil {
		return exe
	}
	return strings.TrimRight(exe, "0123456789.-")
}

// Interpreter reports whether the executable is one whose arguments name what runs.
func Interpreter(file string) bool { return runners[family(executable(file))] != nil }

// next gives the next argument.
func (s *search) next() (string, bool) {
	if len(s.args) == 0 {
		return "", false
	}
	arg := s.args[0]
	s.args = s.args[1:]
	return arg, true
}

// positional skips options and gives the first argument that is none. values are options whose value is the next
// argument.
func (s *search) positional(values ...string) (string, bool) {
	for {
		arg, ok := s.next()
		switch {
		case !ok:
			return "", false
		case arg == "--":
			return s.next()
		case slices.Contains(values, arg):
			s.next()
		case strings.HasPrefix(arg, "-") && arg != "-":
		default:
			return arg, true
		}
	}
}

// option gives the value of the first of the options that is among the arguments: "--name x", "--name=x", and for short
// ones "-nx".
func (s *search) option(names ...string) string {
	for i, arg := range s.args {
		for _, name := range names {
			switch {
			case arg == name && i+1 < len(s.args):
				return s.args[i+1]
			case strings.HasPrefix(arg, name+"="):
				return arg[len(name)+1:]
			case len(name) == 2 && strings.HasPrefix(arg, name) && len(arg) > 2:
				return arg[2:]
			}
		}
	}
	return ""
}

// launcherOptions describe the options of an interpreter that has no rules of its own.
type launcherOptions struct {
	values []string // followed by a value
	text   []string // followed by program text: there is no script
	words  []string // commands in front of the script
}

// script makes a runner that names the first argument that is no option.
func script(o launcherOptions) func(*search) string {
	return func(s *search) string {
		for {
			arg, ok := s.next()
			switch {
			case !ok, arg == "-", slices.Contains(o.text, arg):
				return ""
			case arg == "--":
			case slices.Contains(o.values, arg):
				s.next()
			case strings.HasPrefix(arg, "-"):
			case slices.Contains(o.words, arg):
			default:
				return s.launched(append([]string{arg}, s.args...))
			}
		}
	}
}

// shell names the script of a shell; program text has no name.
func (s *search) shell() string {
	for {
		arg, ok := s.next()
		switch {
		case !ok, strings.HasPrefix(arg, "-") && !strings.HasPrefix(arg, "--") && strings.Contains(arg, "c"), arg == "-s":
			return ""
		case arg == "-o", arg == "+o", arg == "-O", arg == "--rcfile", arg == "--init-file":
			s.next()
		case strings.HasPrefix(arg, "-"), strings.HasPrefix(arg, "+"):
		default:
			return s.stem(arg)
		}
	}
}

// applet names the program inside a program of many.
func (s *search) applet() string {
	arg, ok := s.next()
	if !ok || strings.HasPrefix(arg, "-") {
		return ""
	}
	if found := runners[arg]; found != nil && arg != "busybox" && arg != "toybox" {
		if name := found(s); name != "" {
			return name
		}
	}
	return arg
}

// statistics names the script of R, to which Rscript gives it as an option.
func (s *search) statistics() string {
	if file := s.option("--file", "-f"); file != "" {
		return s.stem(file)
	}
	if arg, ok := s.positional("-e", "-g", "--args"); ok {
		return s.stem(arg)
	}
	return ""
}

// erlang names a node of Erlang by its own name, else the program that the virtual machine was started as.
func (s *search) erlang() string {
	if name := s.option("-sname", "-name"); name != "" {
		name, _, _ = strings.Cut(name, "@")
		return name
	}
	if started := s.option("-progname"); started != "" && path.Base(started) != "erl" && path.Base(started) != "start_erl" {
		return s.stem(started)
	}
	for i, arg := range s.args {
		if arg == "-extra" && i+1 < len(s.args) {
			return s.launched(s.args[i+1:])
		}
	}
	return ""
}

// dotnet names the assembly.
func (s *search) dotnet() string {
	for {
		arg, ok := s.positional("--depsfile", "--runtimeconfig", "--additionalprobingpath", "--additional-deps", "--roll-forward", "--fx-version", "--config")
		if !ok {
			return ""
		}
		if lower := strings.ToLower(arg); strings.HasSuffix(lower, ".dll") || strings.HasSuffix(lower, ".exe") {
			return s.stem(arg)
		}
		if arg != "exec" {
			return "" // A command of the SDK, such as "run", which starts the program as a child.
		}
	}
}

// php names the script, and for the built-in server what it serves.
func (s *search) php() string {
	var root string
	server := false
	for {
		arg, ok := s.next()
		switch {
		case !ok, arg == "-r", arg == "-R", arg == "-B", arg == "-E", arg == "-", arg == "-a":
			if server {
				return served(root, s.directory)
			}
			return ""
		case arg == "--":
		case arg == "-S" || arg == "--server":
			server = true
			s.next()
		case strings.HasPrefix(arg, "-S") || strings.HasPrefix(arg, "--server="):
			server = true
		case arg == "-t" || arg == "--docroot":
			root, _ = s.next()
		case strings.HasPrefix(arg, "--docroot="):
			root = strings.TrimPrefix(arg, "--docroot=")
		case strings.HasPrefix(arg, "-t"):
			root = arg[2:]
		case arg == "-f" || arg == "-F":
		case arg == "-c" || arg == "-d" || arg == "-z" || arg == "-b":
			s.next()
		case strings.HasPrefix(arg, "-"):
		case server:
			// The file that answers for paths without one: index.php, router.php. The directory tells more.
			if root == "" {
				root = path.Dir(arg)
			}
		default:
			return s.launched(append([]string{arg}, s.args...))
		}
	}
}

// served names what a server of files serves: the directory, or the one above where it has a name that all sites have.
func served(root, directory string) string {
	if root == "" || directory == "" && !strings.HasPrefix(root, "/") && !strings.Contains(root, "/") {
		return ""
	}
	at := path.Clean(root)
	for range 4 {
		switch base := path.Base(at); base {
		case ".", "/", "..":
			return ""
		case "public", "web", "webroot", "html", "htdocs", "public_html", "www", "current", "dist", "build", "static":
			at = path.Dir(at)
		default:
			return base
		}
	}
	return ""
}
