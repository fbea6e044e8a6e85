package secret

// maxName is the longest name that is read; a longer one is taken for a credential's.
const maxName = 128

// words make a name that of a credential when one of its words is among them.
var words = setOf(
	"password", "passwd", "passphrase", "pass", "pwd", "pw", "psw", "pswd", "passcode", "pin", "otp", "totp", "mfa", "secret", "secrets",
	"token", "tokens", "tok", "auth", "oauth", "authorization", "authentication", "bearer", "jwt", "jws", "jwe", "credential", "credentials",
	"cred", "creds", "apikey", "key", "keys", "sig", "signature", "hmac", "session", "sess", "sid", "cookie", "cookies", "csrf", "xsrf",
	"nonce", "ticket", "code", "assertion", "saml", "private", "seed", "mnemonic", "salt", "dsn", "card", "cvv", "cvc", "iban", "ssn", "pan",
	"userinfo", "pat",
)

// parts make a name that of a credential wherever they occur in it, within a longer word ("dbpassword") and across
// words ("api_key").
var parts = []string{
	"password", "passwd", "passphrase", "passcode", "secret", "token", "apikey", "accesskey", "privatekey", "credential", "signature",
	"authoriz", "authenticat", "bearer", "sessionid", "sessid", "cookie", "assertion", "masterauth", "primaryauth", "requirepass", "authpass",
	"storepass", "userpass", "dbpass", "keypass", "sharedaccess", "accountkey", "connectionstring", "samlre", "magiclink",
}

func setOf(list ...string) map[string]bool {
	set := make(map[string]bool, len(list))
	for _, text := range list {
		set[text] = true
	}
	return set
}

// Name reports whether the name of a parameter, an option or a variable says that its value is a credential. Percent
// escapes in it are read.
func Name(name []byte) bool {
	if len(name) > maxName {
		return true
	}
	var text [maxName]byte // letters in lower case, one word after the other
	n, start := 0, 0       // of the text, and of its last word
	var last byte
	for i := 0; i < len(name); {
		c, size := unescape(name[i:])
		i += size
		begins := false
		switch {
		case isUpper(c):
			next := byte(0)
			if i < len(name) {
				next = name[i]
			}
			// "userPassword", "APIKey": a capital begins a word behind a small letter, and before one.
			begins = !isUpper(last) || isLower(next)
		case isLower(c):
			begins = !isUpper(last) && !isLower(last)
		case c >= 0x80:
			return true // Letters of other alphabets, among them those that only look like ASCII.
		}
		if begins {
			if words[string(text[start:n])] {
				return true
			}
			start = n
		}
		if isUpper(c) || isLower(c) {
			text[n] = c | 0x20
			n++
		}
		last = c
	}
	if words[string(text[start:n])] {
		return true
	}
	for _, part := range parts {
		if contains(text[:n], part) {
			return true
		}
	}
	return false
}

func contains(text []byte, part string) bool {
	for i := 0; i+len(part) <= len(text); i++ {
		if text[i] == part[0] && string(text[i:i+len(part)]) == part {
			return true
		}
	}
	return false
}

// unescape gives the first character of b, which may be a percent escape (RFC 3986, section 2.1), and its size.
func unescape(b []byte) (c byte, size int) {
	if b[0] == '%' && len(b) >= 3 {
		high, ok1 := hexadecimal(b[1])
		low, ok2 := hexadecimal(b[2])
		if ok1 && ok2 {
			return high<<4 | low, 3
		}
	}
	return b[0], 1
}

func hexadecimal(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10, true
	}
	return 0, false
}

func isUpper(c byte) bool { return c >= 'A' && c <= 'Z' }
func isLower(c byte) bool { return c >= 'a' && c <= 'z' }
func isDigit(c byte) bool { return c >= '0' && c <= '9' }
