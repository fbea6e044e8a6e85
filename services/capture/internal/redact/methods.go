package redact

// registered are the methods of the IANA registry, and others that are in wide use. What begins with another is taken
// for a request only if its whole request line is there.
var registered = []string{
	"GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "PATCH", "CONNECT", "TRACE", "ACL", "BASELINE-CONTROL", "BIND", "CHECKIN", "CHECKOUT",
	"COPY", "LABEL", "LINK", "LOCK", "MERGE", "MKACTIVITY", "MKCALENDAR", "MKCOL", "MKREDIRECTREF", "MKWORKSPACE", "MOVE", "ORDERPATCH",
	"PROPFIND", "PROPPATCH", "QUERY", "REBIND", "REPORT", "SEARCH", "UNBIND", "UNCHECKOUT", "UNLINK", "UNLOCK", "UPDATE", "UPDATEREDIRECTREF",
	"VERSION-CONTROL", "PURGE", "BAN", "NOTIFY", "SUBSCRIBE", "UNSUBSCRIBE", "M-SEARCH",
}

func isMethod(word []byte) bool {
	for _, method := range registered {
		if string(word) == method {
			return true
		}
	}
	return false
}

// beginsMethod reports whether a registered method begins with word.
func beginsMethod(word []byte) bool {
	for _, method := range registered {
		if len(word) <= len(method) && method[:len(word)] == string(word) {
			return true
		}
	}
	return false
}
