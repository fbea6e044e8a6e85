package host

import (
	"bufio"
	"bytes"
	"runtime"
	"strings"

	"millrace.dev/services/capture/internal/machine"

	millracev1 "millrace.dev/proto/millrace/v1"
)

const (
	maxText = 4 << 10
	// maxValue bounds each attribute: they go with every process.
	maxValue = 256
)

// Read says what the machine whose root is given is. It reads some dozen small files, once.
func Read(root machine.Root) *millracev1.Host {
	h := &millracev1.Host{Arch: runtime.GOARCH, OsType: "linux"}
	release := osRelease(root)
	h.OsName, h.OsVersion, h.OsDescription = release["NAME"], release["VERSION_ID"], release["PRETTY_NAME"]
	cloud := fromFirmware(root)
	cloud.add(fromCloudInit(root))
	cloud.fill(h)
	if h.Id == "" {
		h.Id = machineID(root)
	}
	return h
}

// text reads a file of one line. Empty if it is not there or is not text.
func text(root machine.Root, path string) string {
	b, err := root.ReadFile(path, maxText)
	if err != nil {
		return ""
	}
	return clean(string(b))
}

// clean trims a value, and drops one that is too long or has characters that cannot be printed.
func clean(s string) string {
	s = strings.TrimSpace(s)
	if len(s) > maxValue || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\uFFFD' }) {
		return ""
	}
	return s
}

// machineID reads machine-id(5). "uninitialized" is what images have before their first boot.
func machineID(root machine.Root) string {
	for _, path := range []string{"/etc/machine-id", "/var/lib/dbus/machine-id"} {
		if id := text(root, path); len(id) == 32 && strings.Trim(id, "0123456789abcdef") == "" && strings.Trim(id, "0") != "" {
			return id
		}
	}
	return ""
}

// osRelease reads os-release(5).
func osRelease(root machine.Root) map[string]string {
	for _, path := range []string{"/etc/os-release", "/usr/lib/os-release"} {
		if b, err := root.ReadFile(path, 64<<10); err == nil {
			return assignments(b)
		}
	}
	return nil
}

// assignments reads lines NAME=value, with the quotes and backslashes of a shell.
func assignments(b []byte) map[string]string {
	found := map[string]string{}
	for lines := bufio.NewScanner(bytes.NewReader(b)); lines.Scan(); {
		name, value, ok := strings.Cut(strings.TrimSpace(lines.Text()), "=")
		if !ok || strings.HasPrefix(name, "#") {
			continue
		}
		if n := len(value); n >= 2 && (value[0] == '"' || value[0] == '\'') && value[n-1] == value[0] {
			quote := value[0]
			value = value[1 : n-1]
			if quote == '"' {
				value = unescape(value)
			}
		}
		found[name] = clean(value)
	}
	return found
}

// unescape takes away backslashes before what a shell wants escaped within double quotes.
func unescape(s string) string {
	return strings.NewReplacer(`\"`, `"`, `\\`, `\`, `\$`, `$`, "\\`", "`").Replace(s)
}
