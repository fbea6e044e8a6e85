package process

import (
	"strings"

	"millrace.dev/protocols/edge/secret"
)

// mask stands for a credential.
const mask = "***"

// The arguments of a process do not leave the node: no rule can tell which of them are secrets. What is found in them,
// the program's name, is found here and screened.

// screenName gives name, or fallback where name looks like a credential or holds one: a script may be given as a URL,
// and a title may be anything.
func screenName(name, fallback string) string {
	if strings.ContainsAny(name, "@=?&;{}\"'") || strings.Contains(name, "://") || looksSecret(name) {
		return fallback
	}
	return name
}

// looksSecret reports whether a text looks like a token. Ids and digests of hexadecimal digits alone are none here.
func looksSecret(text string) bool {
	return strings.Trim(text, "0123456789abcdef") != "" && secret.Text([]byte(text))
}

// screenValue masks credentials in a value that the environment holds: user information and queries of URLs, that of
// addresses without a scheme ("user:password@tcp(host)/"), the values of a connection string, and tokens.
func screenValue(value string) string {
	switch {
	case looksSecret(value):
		return mask
	case strings.Contains(value, "://"):
		return maskURL(value)
	case strings.Contains(value, "@") && strings.Contains(value[:strings.LastIndexByte(value, '@')], ":"):
		return mask + value[strings.LastIndexByte(value, '@'):]
	case strings.ContainsAny(value, "=;") && strings.Contains(value, "="):
		return mask
	}
	return value
}

// maskURL masks user information, queries and fragments in every URL of arg.
func maskURL(arg string) string {
	var out strings.Builder
	for rest := arg; ; {
		scheme := strings.Index(rest, "://")
		if scheme < 0 {
			out.WriteString(rest)
			return out.String()
		}
		scheme += len("://")
		out.WriteString(rest[:scheme])
		rest = rest[scheme:]
		end := strings.IndexAny(rest, " \t,")
		if end < 0 {
			end = len(rest)
		}
		address := rest[:end]
		rest = rest[end:]
		// A password may hold slashes: what is before the last '@' is no address.
		if at := strings.LastIndexByte(address, '@'); at >= 0 {
			out.WriteString(mask)
			address = address[at:]
		}
		if query := strings.IndexAny(address, "?#"); query >= 0 {
			address = address[:query+1] + mask
		}
		out.WriteString(address)
	}
}
