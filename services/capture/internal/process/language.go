package process

import (
	"bytes"
	"debug/buildinfo"
	"debug/elf"
	"io"
	"os"
	"path"
	"regexp"
	"strings"
	"syscall"
)

// Program is what an executable file tells. The same file tells the same, so it is kept by device and inode.
type Program struct {
	Language string
	Version  string
	// GoMain is the path of the main package and GoModule that of its module, where the program is Go's.
	GoMain, GoModule string
	// Hosted: the language may show only in the libraries that a process maps later.
	hosted bool
}

var interpreters = []struct {
	name     *regexp.Regexp
	language string
}{
	{regexp.MustCompile(`^(java|javaw)$`), "java"},
	{regexp.MustCompile(`^(node|nodejs)(\d*)$`), "nodejs"},
	{regexp.MustCompile(`^(?:python|pypy)(\d+(?:\.\d+)*)?[a-z]*$`), "python"},
	{regexp.MustCompile(`^j?ruby-?(\d+(?:\.\d+)*)?$`), "ruby"},
	{regexp.MustCompile(`^php(?:-fpm|-cgi)?(\d+(?:\.\d+)*)?$`), "php"},
	{regexp.MustCompile(`^dotnet$`), "dotnet"},
}

// libraries that a process maps when it hosts a runtime.
var libraries = []struct{ name, language string }{
	{"/libjvm.so", "java"},
	{"/libcoreclr.so", "dotnet"},
	{"/libnode.so", "nodejs"},
	{"/libpython", "python"},
	{"/libruby", "ruby"},
	{"/libphp", "php"},
	{"/mod_php", "php"},
}

// inspect reads what there is to know from an executable. name is its path as the process sees it. It reads a bounded
// part of the file.
func inspect(file *os.File, name string) Program {
	base := strings.ToLower(path.Base(name))
	for _, known := range interpreters {
		if match := known.name.FindStringSubmatch(base); match != nil {
			p := Program{Language: known.language}
			if len(match) > 1 && strings.Contains(match[1], ".") {
				p.Version = match[1]
			}
			return p
		}
	}
	binary, err := elf.NewFile(file)
	if err != nil {
		return Program{}
	}
	if binary.Section(".go.buildinfo") != nil || binary.Section(".note.go.buildid") != nil || len(binary.Sections) == 0 {
		if build, err := buildinfo.Read(file); err == nil {
			return Program{Language: "go", Version: build.GoVersion, GoMain: build.Path, GoModule: build.Main.Path}
		}
	}
	if version, ok := rust(binary); ok {
		return Program{Language: "rust", Version: version}
	}
	return Program{Language: "cpp", hosted: true}
}

var rustVersion = regexp.MustCompile(`rustc version (\d+\.\d+\.\d+)`)

// rust looks for the compiler's signature in .comment and else, in stripped programs, for the paths of the standard
// library that panic messages carry.
func rust(binary *elf.File) (version string, ok bool) {
	const maxComment, maxStrings = 4 << 10, 4 << 20
	if section := binary.Section(".comment"); section != nil && section.Type != elf.SHT_NOBITS {
		text, err := io.ReadAll(io.LimitReader(section.Open(), maxComment))
		if err == nil {
			if match := rustVersion.FindSubmatch(text); match != nil {
				return string(match[1]), true
			}
		}
	}
	section := binary.Section(".rodata")
	if section == nil || section.Type == elf.SHT_NOBITS {
		return "", false
	}
	reader := io.LimitReader(section.Open(), maxStrings)
	const sign = "/rustc/"
	buffer := make([]byte, 64<<10)
	kept := 0
	for {
		n, err := reader.Read(buffer[kept:])
		window := buffer[:kept+n]
		if i := bytes.Index(window, []byte(sign)); i >= 0 && bytes.Contains(window[i:min(i+128, len(window))], []byte("/library/")) {
			return "", true
		}
		if err != nil || n == 0 {
			return "", false
		}
		kept = copy(buffer, window[max(0, len(window)-128):])
	}
}

// hostedLanguage looks at the libraries in /proc/pid/maps.
func hostedLanguage(maps []byte) string {
	for _, library := range libraries {
		if bytes.Contains(maps, []byte(library.name)) {
			return library.language
		}
	}
	return ""
}

var releaseVersion = regexp.MustCompile(`(?m)^JAVA_VERSION="([^"]{1,32})"`)

// javaVersion reads the release file of a JDK or JRE: <home>/release beside <home>/bin/java, seen through the process's
// root.
func javaVersion(root, executable string) string {
	// Without O_NONBLOCK a named pipe in its place would hold the worker up.
	f, err := os.OpenFile(root+path.Join(path.Dir(executable), "..", "release"), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return ""
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, 8<<10))
	if err != nil {
		return ""
	}
	if match := releaseVersion.FindSubmatch(text); match != nil {
		return string(match[1])
	}
	return ""
}
