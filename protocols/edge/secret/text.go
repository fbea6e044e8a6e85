package secret

import "bytes"

// Bounds of what a text of letters and digits without a break may be before it is taken for a token.
const (
	// minRun: shorter ones are identifiers, however mixed.
	minRun = 16
	// minDigits: from here on two digits among letters are enough.
	minDigits = 20
	// minHex: object ids (24 digits) are shorter, and the runs of a UUID are. Keys and digests are not.
	minHex = 32
)

// prefixes begin tokens of known issuers.
var prefixes = []string{
	"eyJ", "sk_", "sk-", "pk_", "rk_", "whsec_", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "gldt-", "glrt-", "xoxb-", "xoxp-",
	"xoxa-", "xoxr-", "xoxs-", "xapp-", "AKIA", "ASIA", "AIza", "ya29.", "hvs.", "hvb.", "hvr.", "npm_", "pypi-", "dop_v1_", "shpat_", "shpss_",
	"SG.", "key-", "dckr_pat_", "sq0", "EAAC", "lin_api_", "figd_", "rubygems_", "atlasv1.", "GOCSPX-", "AGE-SECRET-KEY",
}

// minIssued is how long a token of a known issuer is at least.
const minIssued = 12

// Text reports whether b looks like a token: it begins as those of known issuers do, or has a run of letters and digits
// that is long and mixed as words are not. Percent escapes in it are read. UUIDs, numbers of any length, words, and
// names made of words are none.
func Text(b []byte) bool { return text(b, minRun) }

// Start is [Text] for the beginning of a text whose rest is not there yet: less is enough.
func Start(b []byte) bool { return text(b, 8) }

func text(b []byte, least int) bool {
	if len(b) < 8 {
		return false
	}
	if len(b) >= minIssued || least < minRun {
		for _, prefix := range prefixes {
			if len(b) > len(prefix) && b[0] == prefix[0] && string(b[:len(prefix)]) == prefix {
				return true
			}
		}
	}
	if !hasRun(b, least) {
		return false
	}
	var r run
	for i := 0; i < len(b); {
		c, size := unescape(b[i:])
		i += size
		if c == '+' || c == '/' && size > 1 {
			continue // Base64 has them.
		}
		if !r.add(c) {
			if r.random(least) {
				return true
			}
			r = run{}
		}
	}
	return r.random(least)
}

// hasRun reports whether b has a run long enough to be looked at. Most texts have none, and it is quick.
func hasRun(b []byte, least int) bool {
	n := 0
	for _, c := range b {
		if c != '-' && c != '.' && c != '/' && c != '_' && c != ' ' && c != ':' {
			if n++; n >= least {
				return true
			}
			continue
		}
		n = 0
	}
	return false
}

// run is what is known of a run of letters and digits.
type run struct {
	length, digits, upper, lower, hex int
	// changes from one kind of character to another; a capital with its small letters is one kind
	changes          int
	last             byte
	consonants, most int
}

func (r *run) add(c byte) bool {
	kind := byte(0)
	switch {
	case isDigit(c):
		kind = 'd'
		r.digits++
	case isUpper(c):
		kind = 'u'
		r.upper++
	case isLower(c):
		kind = 'l'
		r.lower++
	default:
		return false
	}
	if _, ok := hexadecimal(c); ok {
		r.hex++
	}
	if kind != r.last && (kind != 'l' || r.last != 'u') {
		r.changes++
	}
	if kind == 'd' || bytes.IndexByte(vowels, c|0x20) >= 0 {
		r.consonants = 0
	} else {
		r.consonants++
		r.most = max(r.most, r.consonants)
	}
	r.last = kind
	r.length++
	return true
}

var vowels = []byte("aeiouy")

// random reports whether the run is one of random characters.
func (r *run) random(least int) bool {
	letters := r.upper + r.lower
	switch {
	case r.length < least || letters == 0:
		return false
	case r.digits == 0 && (r.upper == 0 || r.lower == 0):
		return false // A word, or several; what is random of one case alone cannot be told from them.
	case r.hex == r.length:
		return r.digits > 0 && r.length >= minHex
	case r.digits == 0:
		return r.most > 5 || r.changes*5 > r.length*2
	case r.digits >= 2 && r.length >= minDigits:
		return true
	}
	return r.changes*4 > r.length || r.most > 5
}
