package redact

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"millrace.dev/lib/config"
	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/services/capture/internal/kernel"
)

// The leak corpus: each place where a secret can be, with each shape of secret, at both ends, cut at every byte and
// with holes. Nothing of it may be among the bytes that are published.

// place is a conversation with SECRET where the secret goes. Lines that begin with '<' are the server's.
type place struct {
	name string
	text string
	// tokens: only what looks like a token is promised to be blanked here.
	tokens bool
	// heads: what is dropped looks like a head; without what is before it, it is one.
	heads bool
}

var shapes = []struct {
	text  string
	token bool
}{
	{"Hunter2-Correct-Horse", false},
	{"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N", true},
	{"ghp_16C7e42F292c6912E7710c838347Ae178B4a", true},
	{"Zx81Yq72Wp63Vn54Um45Tl36", true},
	{"pa55w0rd!Q9", false},
}

func inHead(line string) string { return "GET /a HTTP/1.1\r\nHost: x\r\n" + line + "\r\n\r\n" }

func inResponse(line string) string {
	return "GET /a HTTP/1.1\r\nHost: x\r\n\r\n<HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + line + "\r\n\r\n"
}

func httpPlaces() (list []place) {
	for _, name := range []string{
		"Authorization", "Cookie", "Set-Cookie", "X-Unheard-Of", "X-Api-Key", "Referer", "Location", "Link", "Origin", "Forwarded", "Via", "X-Amz-Date",
		"Sec-WebSocket-Protocol", "If-Match", "Accept", "Upgrade", "Connection", "Trailer", "Expect", "Baggage", "SECRET", "Traceparent",
		"Transfer-Encoding", "Content-Length", "Content-Type", "X-SECRET", "Authentication-Info", "Digest", "From",
	} {
		for _, form := range []string{
			"%s: SECRET", "%s:SECRET", "%s: Bearer SECRET", "%s: a=SECRET; b=c", "%s: https://u:SECRET@h/p?t=SECRET#x=SECRET", "%s: x\r\n SECRET",
			"%s : SECRET", "%s: \"SECRET\"", "%s: a\rX: SECRET", "%s: a\x00SECRET", "%s\t: SECRET",
		} {
			line := fmt.Sprintf(form, name)
			list = append(list, place{name: "request: " + line, text: inHead(line), tokens: false}, place{name: "response: " + line, text: inResponse(line), tokens: false})
		}
	}
	for _, line := range []string{
		"SECRET", ":SECRET", " SECRET", "X(SECRET): a", "Host: u:SECRET@h", "Host: SECRET@h", "A\x01SECRET: b", "Host SECRET",
		"User-Agent: x (http://u:SECRET@h/)", "User-Agent: Bearer SECRET", "User-Agent: a token=SECRET", "User-Agent: password:SECRET",
		"Content-Type: multipart/form-data; boundary=SECRET", "Content-Type: text/html; SECRET", "tracestate: token=SECRET", "tracestate: SECRET",
		"traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-SECRET", "bad line\r\nX-Ok: SECRET", "bad line\r\nHost: SECRET",
	} {
		list = append(list, place{name: "line " + line, text: inHead(line), tokens: false}, place{name: "response line " + line, text: inResponse(line), tokens: false})
	}
	for _, token := range []string{"User-Agent: curl/8.5 SECRET", "Host: SECRET"} {
		list = append(list, place{name: "line " + token, text: inHead(token), tokens: true})
	}
	for _, name := range []string{
		"password", "userPassword", "user_password", "user[password]", "user%5Bpassword%5D", "pass%77ord", "PASSWORD", "apiKey", "X-Amz-Signature",
		"X-Goog-Signature", "AWSAccessKeyId", "Signature", "sig", "code", "whatever", "a.b.c", "SAMLResponse", "x", "id", "q", "",
	} {
		for _, form := range []string{"/a?%s=SECRET", "/a?b=c&%s=SECRET", "/a?b=c;%s=SECRET&d=1", "/a?b=c&amp;%s=SECRET", "/a#%s=SECRET", "/a;%s=SECRET/b", "/a?%s=SECRET#f"} {
			target := fmt.Sprintf(form, name)
			kept := (name == "x" || name == "id" || name == "q") && strings.Contains(form, "?")
			list = append(list, place{name: "target " + target, text: "GET " + target + " HTTP/1.1\r\nHost: x\r\n\r\n", tokens: kept})
		}
	}
	for _, target := range []string{
		"http://u:SECRET@h/p", "http://SECRET@h/p", "https://u:SECRET@h:8/p?x=1", "/http://u:SECRET@h/", "/p/https%3A%2F%2Fu%3ASECRET%40h%2F", "//u:SECRET@h/",
		"/p;jsessionid=SECRET", "/p;SECRET", "/p;a=b;SECRET?x=1", "/p?next=https://u:SECRET@h/", "/p?next=https%3A%2F%2Fh%2F%3Ftoken%3DSECRET", "/p?q=https://h/?token=SECRET",
		"/p#access_token=SECRET", "/p?SECRET", "/p?a=b&SECRET", "/token/SECRET", "/api/reset-password/SECRET", "/login/token=SECRET/x",
		"/services/T00000000/B00000000/SECRET", "/bot123456:SECRET/sendMessage", "*SECRET", "ftp://u:SECRET@h/", "SECRET", "x:SECRET", "/a b=SECRET",
		"/p?redirect_uri=http://h/%23access_token%3DSECRET", "http://u:pa/SECRET@h/p",
	} {
		list = append(list, place{name: "target " + target, text: "GET /a HTTP/1.1\r\n\r\nGET " + target + " HTTP/1.1\r\nHost: x\r\n\r\n", tokens: false})
	}
	for _, target := range []string{"/p?SECRET=1", "/p/SECRET", "/p/SECRET/x?a=1", "/SECRET", "/p/x=1/SECRET.json"} {
		list = append(list, place{name: "target " + target, text: "GET " + target + " HTTP/1.1\r\nHost: x\r\n\r\n", tokens: true})
	}
	list = append(list, place{name: "first method", text: "SECRET /a HTTP/1.1\r\nHost: x\r\n\r\n", tokens: true})
	for name, text := range map[string]string{
		"connect userinfo":        "CONNECT u:SECRET@h:443 HTTP/1.1\r\nHost: h\r\n\r\n",
		"version":                 "GET /a HTTP/1.1SECRET\r\nHost: x\r\n\r\n",
		"version 9":               "GET /a HTTP/SECRET\r\nHost: x\r\n\r\n",
		"behind the version":      "GET /a HTTP/1.1 SECRET\r\nHost: x\r\n\r\n",
		"0.9":                     "GET /a?password=SECRET\r\n",
		"reason":                  "GET /a HTTP/1.1\r\n\r\n<HTTP/1.1 200 SECRET\r\nContent-Length: 0\r\n\r\n",
		"status":                  "GET /a HTTP/1.1\r\n\r\n<HTTP/1.1 SECRET OK\r\n\r\n",
		"status digits":           "GET /a HTTP/1.1\r\n\r\n<HTTP/1.1 200SECRET OK\r\n\r\n",
		"response version":        "GET /a HTTP/1.1\r\n\r\n<HTTP/1.1SECRET 200 OK\r\n\r\n",
		"method":                  "GET /a HTTP/1.1\r\n\r\nSECRET /a HTTP/1.1\r\n\r\n",
		"body":                    "POST /a HTTP/1.1\r\nContent-Length: 200\r\n\r\nSECRET" + strings.Repeat("x", 100),
		"body without length":     "POST /a HTTP/1.1\r\nHost: x\r\n\r\nSECRET",
		"head in such a body":     "POST /a HTTP/1.1\r\nHost: x\r\n\r\nGET /SECRET?SECRET=SECRET HTTP/1.1\r\nSECRET: SECRET\r\n\r\n",
		"two lengths":             "POST /a HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 300\r\n\r\nabcGET /SECRET HTTP/1.1\r\n\r\n",
		"list of lengths":         "POST /a HTTP/1.1\r\nContent-Length: 3, 300\r\n\r\nabcGET /SECRET HTTP/1.1\r\n\r\n",
		"hex length":              "POST /a HTTP/1.1\r\nContent-Length: 0x3\r\n\r\nGET /SECRET HTTP/1.1\r\n\r\n",
		"signed length":           "POST /a HTTP/1.1\r\nContent-Length: +3\r\n\r\nGET /SECRET HTTP/1.1\r\n\r\n",
		"folded length":           "POST /a HTTP/1.1\r\nContent-Length: \r\n 30\r\n\r\nGET /SECRET HTTP/1.1\r\n\r\n",
		"gzip":                    "POST /a HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\nGET /SECRET HTTP/1.1\r\n\r\n",
		"chunked, gzip":           "POST /a HTTP/1.1\r\nTransfer-Encoding: chunked, gzip\r\n\r\nGET /SECRET HTTP/1.1\r\n\r\n",
		"xchunked":                "POST /a HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\nGET /SECRET HTTP/1.1\r\n\r\n",
		"chunked but not":         "POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nSECRET",
		"chunk extension":         "POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1;a=SECRET\r\nx\r\n0;SECRET\r\n\r\n",
		"trailer":                 "POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nHost: SECRET\r\nSECRET: b\r\n\r\n",
		"behind a chunk":          "POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxSECRET\r\n0\r\n\r\n",
		"HEAD with a body":        "HEAD /a HTTP/1.1\r\n\r\n<HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nSECRET",
		"204 with a body":         "GET /a HTTP/1.1\r\n\r\n<HTTP/1.1 204 OK\r\n\r\nSECRET",
		"304 with a body":         "GET /a HTTP/1.1\r\n\r\n<HTTP/1.1 304 OK\r\n\r\nSECRET",
		"100 with a body":         "GET /a HTTP/1.1\r\n\r\n<HTTP/1.1 100 OK\r\n\r\nSECRET",
		"no length":               "GET /a HTTP/1.1\r\n\r\n<HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 SECRET\r\nHost: SECRET\r\n\r\n",
		"behind a response":       "GET /a HTTP/1.1\r\n\r\n<HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxSECRET",
		"garbage":                 "GET /a HTTP/1.1\r\n\r\nuser=SECRET&x=y",
		"response without ask":    "GET /a HTTP/1.1\r\n\r\n<HTTP/1.1 204 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\nSECRET",
		"upgrade":                 "GET /a HTTP/1.1\r\nUpgrade: x\r\n\r\n<HTTP/1.1 101 OK\r\n\r\nSECRET",
		"early in an upgrade":     "GET /a HTTP/1.1\r\nUpgrade: x\r\n\r\nGET /SECRET HTTP/1.1\r\n\r\n",
		"tunnel":                  "CONNECT h:443 HTTP/1.1\r\n\r\n<HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 SECRET\r\n\r\n",
		"early in a tunnel":       "CONNECT h:443 HTTP/1.1\r\n\r\nGET /SECRET HTTP/1.1\r\nHost: x\r\n\r\n",
		"lines by LF":             "GET /a?token=SECRET HTTP/1.1\nCookie: SECRET\n\n<HTTP/1.1 200 SECRET\nX: SECRET\n\nSECRET",
		"empty line broken":       "GET /a HTTP/1.1\r\nHost: x\r\n\rSECRET: SECRET\r\n\r\n",
		"lower-case method":       "GET /a HTTP/1.1\r\n\r\nget /SECRET HTTP/1.1\r\n\r\n",
		"second line is a target": "GET /a HTTP/1.1\r\n\r\nGET SECRET HTTP/1.1\r\n\r\n",
	} {
		list = append(list, place{name: name, text: text, heads: strings.Contains(text, "GET /SECRET") || strings.Contains(text, "HTTP/1.1 200 SECRET")})
	}
	return list
}

func command(words ...string) string {
	text := fmt.Sprintf("*%d\r\n", len(words))
	for _, word := range words {
		text += fmt.Sprintf("$%d\r\n%s\r\n", len(word), word)
	}
	return text
}

// redisPlaces have the secret in the words themselves: lengths are announced.
func redisPlaces(secret string) (list []place) {
	add := func(text string) {
		list = append(list, place{name: fmt.Sprintf("redis %q", text), text: command("PING") + text, tokens: false})
	}
	for _, words := range [][]string{
		{"AUTH", "S"},
		{"AUTH", "u", "S"},
		{"auth", "S", "S"},
		{"HELLO", "3", "AUTH", "u", "S"},
		{"HELLO", "3", "SETNAME", "x", "AUTH", "u", "S"},
		{"HELLO", "S"},
		{"ACL", "SETUSER", "u", "on", ">S"},
		{"ACL", "SETUSER", "u", "#S"},
		{"CONFIG", "SET", "requirepass", "S"},
		{"CONFIG", "SET", "a", "b", "masterauth", "S"},
		{"CONFIG", "SET", "primaryauth", "S"},
		{"MIGRATE", "h", "1", "k", "0", "1", "AUTH", "S"},
		{"MIGRATE", "h", "1", "", "0", "1", "AUTH2", "u", "S"},
		{"MODULE", "LOADEX", "/m.so", "CONFIG", "x.password", "S", "ARGS", "S"},
		{"MODULE", "LOAD", "/m.so", "S"},
		{"REPLCONF", "auth", "S"},
		{"REPLCONF", "S"},
		{"FUNCTION", "LOAD", "#!lua name=x\nS"},
		{"FUNCTION", "LOAD", "REPLACE", "S"},
		{"FUNCTION", "RESTORE", "S"},
		{"SCRIPT", "LOAD", "return 'S'"},
		{"EVAL", "return 'S'", "0", "S"},
		{"SENTINEL", "SET", "m", "auth-pass", "S"},
		{"SENTINEL", "CONFIG", "SET", "sentinel-pass", "S"},
		{"SENTINEL", "S"},
		{"SET", "k", "S"},
		{"SET", "k", "v", "S"},
		{"MSET", "a", "S", "b", "S"},
		{"HSET", "k", "f", "S", "g", "S"},
		{"HMSET", "k", "f", "S"},
		{"LPUSH", "k", "a", "S"},
		{"PUBLISH", "c", "S"},
		{"ECHO", "S"},
		{"PING", "S"},
		{"GET", "k", "S"},
		{"XADD", "k", "*", "f", "S"},
		{"ZADD", "k", "1", "S"},
		{"GETSET", "k", "S"},
		{"SETEX", "k", "9", "S"},
		{"CLIENT", "SETNAME", "S"},
		{"CLIENT", "SETINFO", "lib-name", "S"},
		{"CLIENT", "KILL", "USER", "S"},
		{"S"},
		{"S", "a"},
		{"NOSUCH", "S"},
		{"JSON.SET", "k", "$", "S"},
		{"FT.SEARCH", "i", "S"},
		{"CONFIG", "S"},
		{"ACL", "S"},
		{"FCALL", "f", "1", "k", "S"},
		{"DEBUG", "S"},
		{"ACL", "DRYRUN", "u", "SET", "k", "S"},
		{"COMMAND", "GETKEYS", "SET", "k", "S"},
		{"RESTORE", "k", "0", "S"},
		{"APPEND", "k", "S"},
		{"SPUBLISH", "c", "S"},
		{"", "S"},
		{"AUTH"},
		{"JSON.S", "x"},
	} {
		for i, word := range words {
			words[i] = strings.ReplaceAll(word, "S", "\x00")
		}
		for i, word := range words { // Only what was meant: the names keep their letters.
			if strings.HasSuffix(word, "\x00") && len(word) <= 3 || strings.Contains(word, "'\x00'") || strings.HasSuffix(word, "\n\x00") || word == "JSON.\x00" && len(words) == 2 {
				words[i] = strings.ReplaceAll(word, "\x00", secret)
			} else {
				words[i] = strings.ReplaceAll(word, "\x00", "S")
			}
		}
		add(command(words...))
	}
	for _, text := range []string{
		"AUTH S", "AUTH u S", "HELLO 3 AUTH u S", "SET k S", "SET \"a b\" S", "MSET \"a b\" S c S", "MSET 'a b' S c S", "S", "S x", "NOSUCH S", "PING S", "CONFIG SET requirepass S",
		"SET a\\ b S", "config set masterauth S", "GET k S", "ECHO \"S\"",
	} {
		text = strings.ReplaceAll(strings.ReplaceAll(text, "NOSUCH", "NO_UCH"), "SET", "set")
		add(strings.ReplaceAll(text, "S", secret) + "\r\n")
	}
	for _, text := range []string{
		"+S", "-S", "-ERR unknown command 'S', with args beginning with: 'S' ", "-ERR S", "-WRONGPASS S", "-ERR unknown command `S`, with args beginning with: `S`, ", "-NOPERM User S has no permissions",
		":S", ",S", "(S", "#S", "_S", "+1.5 [0 127.0.0.1:6] \"SET\" \"k\" \"S\"", "+OK S",
	} {
		text = strings.ReplaceAll(strings.ReplaceAll(strings.ReplaceAll(text, "WRONGPASS", "WRONGPA"), "\"SET\"", "\"GET\""), "User S", "User S")
		add("<" + strings.ReplaceAll(text, "S", secret) + "\r\n")
	}
	bulk := fmt.Sprintf("$%d\r\n%s\r\n", len(secret), secret)
	for _, text := range []string{
		bulk, "=" + bulk[1:], "!" + bulk[1:], "*1\r\n" + bulk, "*2\r\n$3\r\nGET\r\n" + bulk, "%1\r\n$1\r\na\r\n" + bulk, ">2\r\n$7\r\nmessage\r\n" + bulk, "~1\r\n" + bulk,
		"*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n" + bulk, "*2\r\n*1\r\n$3\r\nGET\r\n" + bulk, "|1\r\n$1\r\na\r\n" + bulk + ":1\r\n",
	} {
		add("<" + text)
	}
	for _, text := range []string{
		"*2\r\n$4\r\nAUTH\r\n*1\r\n" + bulk, "*2\r\n+GET\r\n" + bulk, "*2\r\n$3\r\nGET\r\n+" + secret + "\r\n", bulk, "+" + secret + "\r\n", "-" + secret + "\r\n", "$3\r\nGET" + secret + "\r\n",
		"*2\r\n$3\r\nGET" + secret, "*1\r\n$0\r\n\r\n" + bulk,
	} {
		add(text)
	}
	return list
}

// speak passes a conversation through a redactor and gives what is published of it. Each piece that next gives is one
// event; hole says that a piece is not there.
func speak(tb testing.TB, r *Redactor, text string, role millracev1.Role, pieces func(part string) [][2]int, hole func(i int) bool) []byte {
	tb.Helper()
	var c Connection
	k := kernel.Connection{Role: role}
	var out []byte
	var offsets [2]uint64
	count := 0
	for i, part := range strings.Split(text, "<") {
		way := i % 2 // 0: from the client
		kind := kernel.Send
		if (way == 0) != (role == millracev1.Role_ROLE_CLIENT) {
			kind = kernel.Receive
		}
		for _, p := range pieces(part) {
			length := uint32(p[1] - p[0])
			ev := kernel.Event{Kind: kind, Connection: &k, Offset: offsets[way], Length: length, Payload: []byte(part[p[0]:p[1]])}
			offsets[way] += uint64(length)
			if hole != nil && hole(count) {
				ev.Payload = nil
			}
			count++
			out = append(out, publish(r, &c, &ev)...)
		}
	}
	return out
}

func TestLeaks(t *testing.T) {
	t.Parallel()
	r := newRedactor(t, config.Redact{Enable: true, Literals: true})
	rows, reported := 0, map[string]bool{}
	for _, shape := range shapes {
		places := redisPlaces(shape.text)
		for _, p := range httpPlaces() {
			if p.tokens && !shape.token {
				continue
			}
			p.text = strings.ReplaceAll(p.text, "SECRET", shape.text)
			places = append(places, p)
		}
		for _, p := range places {
			rows++
			for _, role := range []millracev1.Role{millracev1.Role_ROLE_CLIENT, millracev1.Role_ROLE_SERVER} {
				check := func(how string, most int, got []byte) {
					if n := longest(got, shape.text); n > most && !reported[p.name] {
						reported[p.name] = true
						t.Errorf("%s, %v, %s: %d bytes of %q in\n%q", p.name, role, how, n, shape.text, got)
					}
				}
				whole := func(part string) [][2]int { return [][2]int{{0, len(part)}} }
				check("whole", 4, speak(t, r, p.text, role, whole, nil))
				check("byte by byte", cutLeak, speak(t, r, p.text, role, func(part string) (list [][2]int) {
					for i := range part {
						list = append(list, [2]int{i, i + 1})
					}
					return list
				}, nil))
				for cut := 1 + rows%2; cut < len(p.text); cut += 2 { // every byte, of one row or the next
					two := func(part string) [][2]int {
						if cut >= len(part) {
							return whole(part)
						}
						return [][2]int{{0, cut}, {cut, len(part)}}
					}
					check(fmt.Sprint("cut at ", cut), cutLeak, speak(t, r, p.text, role, two, nil))
					if p.heads {
						continue
					}
					check(fmt.Sprint("without the first ", cut), cutLeak, speak(t, r, p.text, role, two, func(i int) bool { return i == 0 }))
				}
			}
		}
	}
	t.Logf("%d rows", rows)
}

// cutLeak is how many bytes of a token a cut may show: what was plain before it.
const cutLeak = 7

// longest gives the length of the longest part of secret that is in b.
func longest(b []byte, secret string) int {
	best := 0
	for i := range secret {
		for n := best + 1; i+n <= len(secret) && bytes.Contains(b, []byte(secret[i:i+n])); n++ {
			best = n
		}
	}
	return best
}

// publish gives what leaves the node of an event.
func publish(r *Redactor, c *Connection, ev *kernel.Event) []byte {
	earlier, pass := r.Event(c, ev)
	var out []byte
	for i := range earlier {
		out = append(out, earlier[i].Payload...)
	}
	if pass {
		out = append(out, ev.Payload...)
	}
	return out
}

// FuzzLeak: whatever stands before it in a head, however it is cut, a credential is not published.
func FuzzLeak(f *testing.F) {
	for _, p := range httpPlaces() {
		if _, line, found := strings.Cut(p.text, "Host: x\r\n"); found && len(line) < 60 {
			f.Add(line, uint64(1))
		}
	}
	const planted = "Zx81Yq72Wp63Vn54Um45Tl36"
	r := newRedactor(f, config.Redact{Enable: true, Literals: true})
	f.Fuzz(func(t *testing.T, noise string, seed uint64) {
		if strings.Contains(noise, "<") || longest([]byte(noise), planted) > 4 {
			t.Skip()
		}
		text := "GET /a HTTP/1.1\r\nHost: x\r\n" + noise + "\r\nCookie: " + planted + "\r\nX-Other: " + planted + "\r\n\r\n"
		random := rand.New(rand.NewPCG(seed, 1))
		got := speak(t, r, text, millracev1.Role_ROLE_CLIENT, func(part string) (list [][2]int) {
			for from := 0; from < len(part); {
				to := from + 1 + random.IntN(len(part)-from)
				list = append(list, [2]int{from, to})
				from = to
			}
			return list
		}, nil)
		if n := longest(got, planted); n > cutLeak {
			t.Errorf("%d bytes of the secret in %q", n, got)
		}
	})
}
