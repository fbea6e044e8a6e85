package program

import (
	"path"
	"regexp"
	"strings"
)

// Arguments takes apart what /proc/pid/cmdline holds. title is true where a program wrote a text of its own over its
// arguments: then it is the only one. cut says that the text was cut off by a limit of the reader.
func Arguments(cmdline []byte, cut bool) (args []string, title bool) {
	text := strings.TrimRight(string(cmdline), "\x00")
	if text == "" {
		return nil, false
	}
	args = strings.Split(text, "\x00")
	if len(args) > 1 {
		return args, false
	}
	// Arguments end with one zero byte. A title that is shorter than what it replaces is followed by several (of zeros
	// or of spaces), one that is longer by none: fs/proc/base.c, get_mm_cmdline.
	zeros := len(cmdline) - len(text)
	if trimmed := strings.TrimRight(text, " "); trimmed != text || zeros > 1 || zeros == 0 && !cut {
		return []string{trimmed}, trimmed != ""
	}
	return args, false
}

// titled reports whether the arguments are a title: known as one, or the only argument of an interpreter that is not
// the interpreter itself, or a text that begins with the program's name and goes on.
func titled(l *Launch, exe string) bool {
	if len(l.Args) != 1 || strings.HasPrefix(l.Args[0], "/proc/") {
		return false
	}
	first, _, more := strings.Cut(l.Args[0], " ")
	switch {
	case l.Args[0] == l.Executable, path.Base(l.Args[0]) == exe:
		return false
	case l.Title:
		return true
	case runners[family(exe)] != nil:
		return more || runners[family(strings.TrimPrefix(path.Base(first), "-"))] == nil
	}
	return more && (strings.HasSuffix(first, ":") || first == "uWSGI")
}

// brackets finds what a title has in its first pair of brackets.
var brackets = regexp.MustCompile(`\[([^\[\]]+)\]`)

// counter is what tells workers apart at the end of a word, a number, or a version.
var counter = regexp.MustCompile(`[-_.:#/]?\[?#?\d[\d.]*\]?$`)

// titleName finds the name in a title that a program gave itself. It is the same for all workers of a service as far as
// they say who they are.
func titleName(exe, title, directory string) string {
	title = strings.TrimSpace(title)
	words := strings.Fields(title)
	if len(words) == 0 {
		return ""
	}
	s := &search{directory: directory}
	if runners[family(exe)] == nil {
		// A compiled program is called what its file is called, whatever it is doing; but for those that say whom they
		// work for.
		if strings.HasPrefix(title, "uWSGI") {
			return "uwsgi"
		}
		return ""
	}
	first := strings.TrimLeft(strings.TrimRight(words[0], ":"), "[-")
	switch {
	case runners[family(path.Base(first))] != nil && len(words) > 1:
		return s.program(words) // "node /srv/shop.js", as pm2 sets it
	case first == "gunicorn":
		return bracketed(s, title, "gunicorn")
	case first == "puma":
		if name := bracketed(s, title, "puma"); name != path.Base(directory) {
			return name // A tag that was chosen: the usual one is the name of the directory.
		}
		return "puma"
	case first == "celeryd":
		if _, app, found := strings.Cut(title, "-A "); found {
			app, _, _ = strings.Cut(strings.TrimRight(app, ")"), " ")
			return s.object(app)
		}
		return "celery"
	case first == "Passenger" && len(words) > 2:
		return served(words[2], "/")
	case first == "uWSGI":
		return "uwsgi"
	case first == "PM2":
		return "pm2"
	}
	if len(words) > 1 {
		if l := launchers[path.Base(first)]; l != nil {
			if found := l(s.of(words[1:])); valid(found) {
				return found
			}
		}
	}
	name := path.Base(first)
	if short := counter.ReplaceAllString(name, ""); short != "" {
		name = short
	}
	return s.stem(name)
}

// bracketed is the object in the brackets of a title, or otherwise.
func bracketed(s *search, title, otherwise string) string {
	if match := brackets.FindStringSubmatch(title); match != nil {
		if name := s.object(match[1]); valid(name) {
			return name
		}
	}
	return otherwise
}
