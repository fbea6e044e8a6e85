package program

import (
	"path"
	"strings"
)

// Launch is how a program was started, as far as it is known.
type Launch struct {
	// Executable is the path of the file that runs.
	Executable string
	// Command is the kernel's name of the main thread, at most 15 bytes.
	Command string
	// Args are the arguments, or, if Title is set, the one text that the program wrote over them.
	Args  []string
	Title bool
	// Directory is the working directory; empty if it is not known.
	Directory string
}

// Source says where a name comes from.
type Source uint8

// Sources.
const (
	// OfExecutable: nothing but the executable told. Empty name: not even that is known.
	OfExecutable Source = iota
	// OfArguments: the arguments or a title named what runs.
	OfArguments
	// OfParent: the process is a worker that the process which started it runs under its own name, such as a child of
	// Python's multiprocessing. The name is that of the executable, for where the parent is not known.
	OfParent
)

// Name names what a process runs. The same arguments always give the same name.
func Name(l *Launch) (string, Source) {
	exe := executable(l.Executable)
	if exe == "" {
		return "", OfExecutable
	}
	if titled(l, exe) {
		if name := titleName(exe, l.Args[0], l.Directory); valid(name) {
			return name, OfArguments
		}
	} else if len(l.Args) > 0 {
		name, inherited := run(exe, l.Args, l.Directory)
		if inherited {
			return exe, OfParent
		}
		if valid(name) {
			return name, OfArguments
		}
	}
	if called := calledAs(l); valid(called) {
		return called, OfExecutable
	}
	return exe, OfExecutable
}

// executable is the file name of the program, without what the kernel adds to paths of files that are gone or never had
// one.
func executable(file string) string {
	if file == "" {
		return ""
	}
	return strings.TrimPrefix(path.Base(strings.TrimSuffix(file, " (deleted)")), "memfd:")
}

// calledAs names a program that was started through a link of another name, as programs with many names are
// (redis-server is a link to redis-check-rdb on Debian): the kernel takes the command name from the path that was
// executed, cut to 15 bytes, and the first argument has the rest of it. Empty where the two do not agree, because
// either may have been set by the program.
func calledAs(l *Launch) string {
	if len(l.Args) == 0 || l.Command == "" {
		return ""
	}
	first, _, _ := strings.Cut(l.Args[0], " ") // titles that a program gives itself go on after a space
	if strings.HasPrefix(first, "/proc/") {
		return "" // a program that started itself again as /proc/self/exe
	}
	called := path.Base(first)
	if called != l.Command && (len(l.Command) < 15 || !strings.HasPrefix(called, l.Command)) {
		return ""
	}
	return called
}

// run names what a program with arguments runs. args[0] is the program itself. It is empty where the arguments do not
// tell more than the executable; inherited means that the name is the parent's.
func run(exe string, args []string, directory string) (name string, inherited bool) {
	s := &search{args: args[1:], directory: directory}
	if r := runners[family(exe)]; r != nil {
		return s.result(r(s))
	}
	if strings.HasPrefix(exe, "ld-linux") || strings.HasPrefix(exe, "ld-musl") || strings.HasPrefix(exe, "qemu-") && !strings.HasPrefix(exe, "qemu-system") {
		// The dynamic loader or an emulator runs the file that follows its options.
		if arg, ok := s.positional("--argv0", "--library-path", "--inhibit-rpath", "--audit", "--preload", "-0", "-L", "-E", "-cpu"); ok {
			return s.result(s.program(append([]string{arg}, s.args...)))
		}
		return "", false
	}
	if l := launchers[exe]; l != nil {
		return s.result(l(s))
	}
	return "", false
}

// inheritedName is what rules give for a worker that has its parent's name. It is no valid name.
const inheritedName = "\x00parent"

func (s *search) result(name string) (string, bool) {
	if name == inheritedName {
		return "", true
	}
	return name, false
}

// program names what a command line runs; words[0] may be an interpreter, a launcher or the program itself.
func (s *search) program(words []string) string {
	if s.depth++; s.depth > maxDepth || len(words) == 0 {
		return ""
	}
	base := path.Base(words[0])
	if r := runners[family(base)]; r != nil {
		if name := r(s.of(words[1:])); name != "" {
			return name
		}
		return base
	}
	return s.launched(words)
}

// launched names the script, module or jar words[0], or what it in turn runs where it is known to run others ("python
// -m gunicorn shop.wsgi:app").
func (s *search) launched(words []string) string {
	if s.depth++; s.depth > maxDepth {
		return ""
	}
	name := s.stem(words[0])
	if l := launchers[name]; l != nil {
		if found := l(s.of(words[1:])); valid(found) || found == inheritedName {
			return found
		}
	}
	return name
}

// maxDepth bounds launchers that run launchers.
const maxDepth = 8

// of gives a search of other arguments.
func (s *search) of(args []string) *search {
	return &search{args: args, directory: s.directory, depth: s.depth}
}

// suffixes of files whose name without them is what they are called.
var suffixes = []string{
	".py", ".pyc", ".pyz", ".pyw", ".pex", ".js", ".mjs", ".cjs", ".ts", ".mts", ".cts", ".tsx", ".jsx", ".jar", ".war", ".ear", ".java", ".rb", ".ru",
	".php", ".phar", ".pl", ".psgi", ".lua", ".dll", ".exe", ".R", ".r", ".jl", ".tcl", ".dart", ".groovy", ".exs", ".sh", ".bash", ".scm", ".rkt",
}

// stem shortens a script, module or jar to its name: /srv/app/shop.py is shop. What stands for the working directory
// has its name, and a file that only says that it is the main one has that of its directory.
func (s *search) stem(arg string) string {
	if arg == "" {
		return ""
	}
	name := path.Base(arg)
	if name == "." || name == ".." {
		return path.Base(path.Join(s.directory, arg))
	}
	if name == "__main__.py" || name == "__main__.pyc" {
		return path.Base(path.Dir(path.Join(s.directory, arg)))
	}
	for _, suffix := range suffixes {
		if short, found := strings.CutSuffix(name, suffix); found && short != "" {
			return short
		}
	}
	return name
}
