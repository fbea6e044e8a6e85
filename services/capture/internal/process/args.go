package process

import (
	"path"
	"strings"
	"unicode/utf8"
)

// maxArguments bounds the arguments of a process, in bytes.
const maxArguments = 1024

// mask stands for a credential.
const mask = "***"

// words that make an option, a variable or a parameter a credential when its name has one of them.
var credentialWords = []string{
	"password", "passwd", "passphrase", "pwd", "secret", "token", "apikey", "api-key", "api_key", "access-key", "access_key", "accesskey",
	"private-key", "private_key", "credential", "requirepass", "masterauth", "auth-pass", "authorization", "bearer", "jwt", "cookie",
}

// arguments splits the contents of /proc/pid/cmdline, masks credentials, and cuts the result.
func arguments(cmdline []byte) []string {
	text := strings.TrimRight(string(cmdline), "\x00")
	if text == "" {
		return nil
	}
	args := strings.Split(text, "\x00")
	maskArguments(args)
	left := maxArguments
	for i, arg := range args {
		arg = strings.ToValidUTF8(arg, "?")
		if len(arg) > left {
			for left > 0 && !utf8.RuneStart(arg[left]) {
				left--
			}
			if left == 0 {
				return args[:i]
			}
			args[i] = arg[:left]
			return args[:i+1]
		}
		args[i] = arg
		left -= len(arg)
	}
	return args
}

func maskArguments(args []string) {
	program := strings.ToLower(path.Base(args[0]))
	next := false
	for i := 1; i < len(args); i++ {
		arg := args[i]
		if next {
			next = false
			if !strings.HasPrefix(arg, "--") {
				args[i] = mask
				continue
			}
		}
		name, _, assigned := strings.Cut(arg, "=")
		switch {
		case assigned && credentialName(name):
			args[i] = name + "=" + mask
		case shortPassword(program, arg):
			if len(arg) == 2 {
				next = true
			} else {
				args[i] = arg[:2] + mask
			}
		case strings.HasPrefix(arg, "-") && credentialName(arg) && !strings.ContainsAny(arg, " :"):
			next = true // --password value
		case credentialHeader(arg):
			name, _, _ := strings.Cut(arg, ":")
			args[i] = name + ": " + mask
		case !strings.HasPrefix(arg, "-") && (strings.EqualFold(arg, "requirepass") || strings.EqualFold(arg, "masterauth")):
			next = true
		default:
			args[i] = maskURL(arg)
		}
	}
}

func credentialName(name string) bool {
	if len(name) > 128 {
		return false
	}
	name = strings.ToLower(name)
	for _, word := range credentialWords {
		if strings.Contains(name, word) {
			// --password-file and --token-path name a file, which is no secret.
			return !strings.HasSuffix(name, "file") && !strings.HasSuffix(name, "path") && !strings.HasSuffix(name, "dir")
		}
	}
	return false
}

// credentialHeader: "Authorization: Bearer …" as given to curl -H.
func credentialHeader(arg string) bool {
	name, _, found := strings.Cut(arg, ":")
	return found && !strings.ContainsAny(name, "/ ") && credentialName(name)
}

// shortPassword reports whether arg is a short option that carries a password: -pVALUE anywhere unless VALUE is a
// number (a port), and those of programs that are known for them.
func shortPassword(program, arg string) bool {
	if len(arg) < 2 || arg[0] != '-' {
		return false
	}
	switch program {
	case "redis-cli", "redis-benchmark":
		return arg[1] == 'a' && (len(arg) == 2 || arg[2] != 's')
	case "curl":
		return arg[1] == 'u'
	case "sshpass", "mongo", "mongosh", "mongodump", "mongorestore":
		return arg[1] == 'p'
	case "mysql", "mysqladmin", "mysqldump", "mariadb", "mariadb-admin", "mariadb-dump":
		return arg[1] == 'p' && len(arg) > 2
	}
	if strings.HasPrefix(arg, "-pass") || strings.HasPrefix(arg, "-pwd") || strings.HasPrefix(arg, "-private") {
		return false // The whole name of an option, with its value in the next argument.
	}
	return arg[1] == 'p' && len(arg) > 2 && strings.Trim(arg[2:], "0123456789:") != ""
}

// maskURL masks user information in every URL of arg.
func maskURL(arg string) string {
	var out strings.Builder
	for rest := arg; ; {
		scheme := strings.Index(rest, "://")
		if scheme < 0 {
			if out.Len() == 0 {
				return arg
			}
			out.WriteString(rest)
			return out.String()
		}
		scheme += len("://")
		end := strings.IndexAny(rest[scheme:], "/?# \t,")
		if end < 0 {
			end = len(rest) - scheme
		}
		authority := rest[scheme : scheme+end]
		out.WriteString(rest[:scheme])
		if at := strings.LastIndexByte(authority, '@'); at >= 0 {
			user, _, secret := strings.Cut(authority[:at], ":")
			if secret {
				out.WriteString(user + ":")
			}
			out.WriteString(mask)
			authority = authority[at:]
		}
		out.WriteString(authority)
		rest = rest[scheme+end:]
	}
}
