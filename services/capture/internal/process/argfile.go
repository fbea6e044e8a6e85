package process

import (
	"bytes"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"millrace.dev/lib/program"
)

// Bounds of what is read of files of arguments.
const (
	maxArgumentFile  = 64 << 10
	maxArgumentFiles = 8
)

// expandJava replaces "@file" among the arguments of Java by what the file holds, as the launcher does up to the main
// class (JDK, src/java.base/share/native/libjli/args.c). A file that cannot be read stays what it is.
func (fs procfs) expandJava(pid uint32, l *program.Launch) []string {
	expanded, files := l.Args, 0
	for i := len(l.Args) - 1; i > 0; i-- {
		arg := l.Args[i]
		if len(arg) < 2 || arg[0] != '@' || arg[1] == '@' {
			continue
		}
		if files++; files > maxArgumentFiles {
			break
		}
		file := arg[1:]
		if !path.IsAbs(file) {
			file = path.Join(l.Directory, file)
		}
		if text, ok := fs.readAs(pid, file); ok {
			expanded = append(append(append([]string{}, expanded[:i]...), argumentsOfFile(text)...), expanded[i+1:]...)
		}
	}
	return expanded
}

// readAs reads the beginning of a file as the process sees it, and only if the process may read it: it was the process
// that named it, and capture may read more.
func (fs procfs) readAs(pid uint32, file string) ([]byte, bool) {
	root, err := unix.Open(fs.path(pid, "root"), unix.O_PATH|unix.O_CLOEXEC|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, false
	}
	defer func() { _ = unix.Close(root) }()
	// Links lead where they lead in the process's root, and not out of it.
	fd, err := unix.Openat2(root, file, &unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_CLOEXEC | unix.O_NONBLOCK | unix.O_NOCTTY,
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	})
	if err != nil {
		return nil, false
	}
	defer func() { _ = unix.Close(fd) }()
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG || !fs.mayRead(pid, &st) {
		return nil, false
	}
	text := make([]byte, min(max(st.Size, 0), maxArgumentFile))
	n, err := unix.Read(fd, text)
	return text[:max(n, 0)], err == nil && n > 0
}

// mayRead reports whether the process may read the file by its owner, its group or its mode.
func (fs procfs) mayRead(pid uint32, st *unix.Stat_t) bool {
	if st.Mode&0o004 != 0 {
		return true
	}
	status, err := fs.read(pid, "status", maxStatus)
	if err != nil {
		return false
	}
	// Real, effective, saved and file system id.
	if uid := idsOf(status, "Uid:"); len(uid) == 4 && (uid[3] == st.Uid && st.Mode&0o400 != 0 || uid[3] == 0) {
		return true
	}
	gid := idsOf(status, "Gid:")
	return len(gid) == 4 && gid[3] == st.Gid && st.Mode&0o040 != 0
}

// idsOf gives the numbers of a line of /proc/pid/status.
func idsOf(status []byte, key string) []uint32 {
	_, line, found := bytes.Cut(status, []byte("\n"+key))
	if !found {
		return nil
	}
	line, _, _ = bytes.Cut(line, []byte("\n"))
	var ids []uint32
	for field := range strings.FieldsSeq(string(line)) {
		id, err := strconv.ParseUint(field, 10, 32)
		if err != nil {
			return nil
		}
		ids = append(ids, uint32(id))
	}
	return ids
}

// argumentsOfFile takes a file of arguments apart: words between white space, "#" comments, quotes of both kinds, and
// backslashes within quotes.
func argumentsOfFile(text []byte) []string {
	var args []string
	var word strings.Builder
	begun := false
	var quote byte
	end := func() {
		if begun {
			args = append(args, word.String())
			word.Reset()
			begun = false
		}
	}
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case quote != 0 && c == '\\' && i+1 < len(text):
			i++
			word.WriteByte(text[i])
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			word.WriteByte(c)
		case c == '"' || c == '\'':
			quote, begun = c, true
		case c == ' ' || c == '\n' || c == '\r' || c == '\t' || c == '\f':
			end()
		case c == '#' && !begun:
			for i < len(text) && text[i] != '\n' {
				i++
			}
		default:
			word.WriteByte(c)
			begun = true
		}
	}
	end()
	return args
}
