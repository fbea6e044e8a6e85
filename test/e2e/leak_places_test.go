package e2e

import (
	"fmt"
	"strings"
)

// leakPlace is a conversation with SECRET where a credential goes. ID is a number of its own for each conversation.
type leakPlace struct {
	name string
	// lines are what the ends say in turn, the client first unless the name begins with "server first".
	lines []string
	// want are spans that both ends have, as [leakSpan] writes them: what is ordinary in the conversation arrives.
	want []string
	// tokens: only what looks like a token is promised to be blanked here.
	tokens bool
	// until: the server ends the connection.
	until bool
}

const (
	leakFine  = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
	leakAfter = "GET /place/ID/after HTTP/1.1\r\nHost: millrace.test\r\n\r\n"
)

// leakFar is how many bytes are before a secret that is beyond what is copied of one send or receive.
const leakFar = 70_000

// leakGet is a request for the target, with header lines behind Host.
func leakGet(target string, lines ...string) string {
	return string(head("GET "+target+" HTTP/1.1", append([]string{"Host: millrace.test"}, lines...)))
}

// leakHTTP are places of HTTP/1.
func leakHTTP() (list []leakPlace) {
	one, two := []string{"GET /place/ID 200"}, []string{"GET /place/ID 200", "GET /place/ID/after 200"}
	whole := func(name, request string) {
		list = append(list, leakPlace{name: name, lines: []string{request, leakFine, leakAfter, leakFine}, want: two})
	}
	answer := func(name, response string) {
		list = append(list, leakPlace{name: name, lines: []string{leakGet("/place/ID"), response, leakAfter, leakFine}, want: two})
	}
	odd := func(name string, want []string, lines ...string) {
		list = append(list, leakPlace{name: name, lines: lines, want: want})
	}
	for _, name := range strings.Fields("Authorization Proxy-Authorization Cookie X-Api-Key X-Whatever Referer Origin Forwarded Via Baggage From Accept " +
		"If-Match Traceparent Tracestate User-Agent Content-Type") {
		p := leakPlace{name: name, lines: []string{leakGet("/place/ID", name+": SECRET"), leakFine, leakAfter, leakFine}, want: two}
		p.tokens = name == "User-Agent" || name == "Tracestate" || name == "Content-Type"
		list = append(list, p)
	}
	for _, line := range []string{
		"Authorization: Basic SECRET", "Authorization:Bearer SECRET", "authorization: Digest username=\"a\", response=\"SECRET\"", "Cookie: a=b; sid=SECRET",
		"X-SECRET: a", "Referer: http://a/b#access_token=SECRET", "Referer: http://a/b?token=SECRET", "X-Whatever: a\tSECRET",
	} {
		whole(line, leakGet("/place/ID", line))
	}
	for _, line := range []string{
		"Set-Cookie: sid=SECRET; Path=/", "Location: http://a/b#access_token=SECRET", "Location: /b?code=SECRET", "Link: <http://a/b#token=SECRET>; rel=next",
		"WWW-Authenticate: Digest nonce=\"SECRET\"", "X-Whatever: SECRET", "X-SECRET: a", "Server: SECRET", "ETag: \"SECRET\"", "Refresh: 0; url=/a#SECRET",
	} {
		answer(line, string(response(200, 0, line)))
	}
	for _, query := range []string{
		"token=SECRET", "accessToken=SECRET", "user[password]=SECRET", "user%5Bpassword%5D=SECRET", "pass%77ord=SECRET", "%74oken=SECRET", "a=b;token=SECRET",
		"page=2&sig=SECRET", "next=https%3A%2F%2Fh%2F%3Ftoken%3DSECRET", "next=https://u:SECRET@h/", "q=a%26password%3DSECRET", "X-Amz-Signature=SECRET", "SAMLResponse=SECRET",
		"page=2#access_token=SECRET", "whatever=SECRET", "SECRET", "=SECRET", "password=a+SECRET", "password=a%20SECRET",
	} {
		p := leakPlace{name: "query " + query, lines: []string{leakGet("/place/ID?" + query), leakFine, leakAfter, leakFine}, want: two}
		p.tokens = query == "SECRET" || strings.HasPrefix(query, "q=")
		list = append(list, p)
	}
	for _, path := range []string{
		";jsessionid=SECRET", ";v=1;SECRET", "/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.SECRET", "/https://u:SECRET@h/", "#access_token=SECRET", "/login=SECRET/x",
		"/https%3A%2F%2Fu%3ASECRET%40h%2F",
	} {
		p := leakPlace{name: "path " + path, lines: []string{leakGet("/place/ID" + path), leakFine, leakAfter, leakFine}, want: two}
		if path[0] == '/' {
			p.want = two[1:] // of the first the path is longer
		}
		list = append(list, p)
	}
	list = append(list,
		leakPlace{name: "token in a path", lines: []string{leakGet("/place/ID/SECRET"), leakFine, leakAfter, leakFine}, want: two[1:], tokens: true},
		leakPlace{name: "behind token/", lines: []string{leakGet("/place/ID/token/SECRET"), leakFine, leakAfter, leakFine}, want: two[1:], tokens: true})
	whole("user information of a target", leakGet("http://user:SECRET@millrace.test/place/ID"))
	whole("user name of a target", leakGet("http://SECRET@millrace.test/place/ID"))
	whole("user information of Host", "GET /place/ID HTTP/1.1\r\nHost: user:SECRET@millrace.test\r\n\r\n")
	post := "POST /place/ID HTTP/1.1\r\nHost: millrace.test\r\n"
	posted := []string{"POST /place/ID 200", "GET /place/ID/after 200"}
	odd("body", posted, post+"Content-Length: LENGTH\r\n\r\nSECRET", leakFine, leakAfter, leakFine)
	odd("body with Expect", posted, post+"Content-Length: LENGTH\r\nExpect: 100-continue\r\n\r\n", "HTTP/1.1 100 Continue\r\n\r\n", "SECRET", leakFine, leakAfter, leakFine)
	odd("chunks", posted, post+"Transfer-Encoding: chunked\r\n\r\nHEXLEN;x=SECRET\r\nSECRET\r\n0\r\nX-Sum: SECRET\r\nCookie: SECRET\r\n\r\n", leakFine, leakAfter, leakFine)
	answer("body of a response", "HTTP/1.1 200 OK\r\nContent-Length: LENGTH\r\n\r\nSECRET")
	answer("chunks of a response", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: SECRET\r\n\r\nHEXLEN\r\nSECRET\r\n0\r\nSet-Cookie: SECRET\r\n\r\n")
	answer("reason", "HTTP/1.1 200 SECRET and more\r\nContent-Length: 0\r\n\r\n")
	far := strings.Repeat("x", leakFar)
	whole("far in a header", leakGet("/place/ID", "Cookie: "+far+"SECRET", "Authorization: SECRET"))
	whole("far in a query", leakGet("/place/ID?token="+far+"SECRET"))
	answer("far in a header of a response", string(response(200, 0, "Set-Cookie: "+far+"SECRET", "X-Whatever: SECRET")))
	odd("far in a body", posted, post+"Content-Length: "+leakLength(far+"SECRET"+far)+"\r\n\r\n"+far+"SECRET"+far, leakFine, leakAfter, leakFine)
	answer("far in a body of a response", "HTTP/1.1 200 OK\r\nContent-Length: "+leakLength(far+"SECRET")+"\r\n\r\n"+far+"SECRET")
	odd("behind HEAD", []string{"HEAD /place/ID 200"}, strings.Replace(leakGet("/place/ID"), "GET", "HEAD", 1), "HTTP/1.1 200 OK\r\nContent-Length: LENGTH\r\n\r\nSECRET")
	odd("behind 204", []string{"GET /place/ID 204"}, leakGet("/place/ID"), "HTTP/1.1 204 OK\r\n\r\nSECRET")
	odd("behind 304", []string{"GET /place/ID 304"}, leakGet("/place/ID"), "HTTP/1.1 304 OK\r\nContent-Length: LENGTH\r\n\r\nSECRET")
	odd("behind a response", one, leakGet("/place/ID"), leakFine+"password=SECRET")
	odd("behind a request", nil, leakGet("/place/ID")+"password=SECRET&a=b", leakFine)
	odd("two lengths", nil, post+"Content-Length: 3\r\nContent-Length: 300\r\n\r\nabcGET /SECRET?SECRET HTTP/1.1\r\nHost: SECRET\r\n\r\n", leakFine)
	odd("two lengths of a response", nil, leakGet("/place/ID"), "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 30\r\n\r\nabcHTTP/1.1 200 SECRET\r\nHost: SECRET\r\n\r\n")
	list = append(list, leakPlace{name: "until close", lines: []string{leakGet("/place/ID"), "HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 SECRET\r\nHost: SECRET\r\n\r\n"}, want: one, until: true})
	odd("no length of a request", nil, post+"\r\nGET /SECRET HTTP/1.1\r\nHost: SECRET\r\n\r\n", leakFine)
	for name, line := range map[string]string{
		"space before a colon": "Authorization : SECRET", "bare CR": "X-A: b\rAuthorization: SECRET", "folded": "Authorization:\r\n SECRET", "folded by a tab": "X-A: b\r\n\tSECRET",
		"no colon": "SECRET", "no name": ": SECRET", "space before a name": " Cookie: SECRET", "NUL": "X-A: \x00SECRET", "NUL in a name": "Coo\x00kie: SECRET",
	} {
		odd("malformed head, "+name, nil, leakGet("/place/ID", line, "Authorization: SECRET"), leakFine)
		odd("malformed response, "+name, nil, leakGet("/place/ID"), string(response(200, 0, line, "Set-Cookie: SECRET")))
	}
	odd("upgrade", []string{"GET /place/ID 101"}, leakGet("/place/ID", "Connection: Upgrade", "Upgrade: SECRET", "Sec-WebSocket-Key: SECRET"),
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: SECRET\r\n\r\n", "GET /SECRET HTTP/1.1\r\nHost: SECRET\r\n\r\n", "HTTP/1.1 200 SECRET\r\n\r\n")
	for _, method := range []string{"ACL", "SET", "AUTH", "PING", "GETSET"} {
		first := strings.Replace(leakGet("/place/ID", "Authorization: Bearer SECRET"), "GET", method, 1)
		odd(method+" as a method", []string{"_OTHER /place/ID 200", "GET /place/ID/after 200"}, first, leakFine,
			strings.Replace(leakAfter, "\r\n\r\n", "\r\nAuthorization: Bearer SECRET\r\nCookie: SECRET\r\n\r\n", 1), leakFine)
	}
	for _, line := range []string{
		"GET x:SECRET HTTP/1.1", "GET SECRET HTTP/1.1", "GET /place/ID HTTP/1.1SECRET", "GET /place/ID SECRET HTTP/1.1", "GET  x:SECRET HTTP/1.1", "GET ?token=SECRET HTTP/1.1",
		"GET *SECRET HTTP/1.1", "GET ftp://u:SECRET@h/ HTTP/1.1", "GET http:SECRET HTTP/1.1", "GET /a?token=SECRET", "SECRET /place/ID HTTP/1.1", "CONNECT user:SECRET@h:443 HTTP/1.1",
		"GET http://u:SECRET HTTP/1.1", "GET //u:SECRET@h/ HTTP/1.1", "OPTIONS SECRET HTTP/1.1", "POST data:SECRET HTTP/1.0", "GET \tSECRET HTTP/1.1", "GET /a\x00SECRET HTTP/1.1",
	} {
		p := leakPlace{name: "first line " + line, lines: []string{line + "\r\nHost: millrace.test\r\nCookie: SECRET\r\n\r\n", leakFine}}
		p.tokens = line[0] == 'S' // a method
		list = append(list, p)
		p.tokens = false
		p.name, p.lines = "second line "+line, append([]string{leakGet("/place/ID/before"), leakFine}, p.lines...)
		p.want = []string{"GET /place/ID/before 200"}
		list = append(list, p)
	}
	return list
}

// leakRedis are places of Redis. Each is between two ordinary commands.
func leakRedis() (list []leakPlace) {
	command := func(words ...string) string {
		text := fmt.Sprintf("*%d\r\n", len(words))
		for _, word := range words {
			text += "$" + leakLength(word) + "\r\n" + word + "\r\n"
		}
		return text
	}
	add := func(name, ask, reply string, want ...string) {
		list = append(list, leakPlace{
			name: name, lines: []string{command("GET", "place"), "$-1\r\n", ask, reply, command("EXISTS", "place"), ":1\r\n"}, want: append(want, "GET", "EXISTS"),
		})
	}
	for line, want := range map[string]string{
		"AUTH SECRET": "AUTH", "AUTH user SECRET": "AUTH", "HELLO 3 SETNAME x AUTH u SECRET": "HELLO", "HELLO 3 AUTH SECRET SECRET": "HELLO", "CONFIG SET requirepass SECRET": "CONFIG SET",
		"CONFIG SET maxmemory 1 masterauth SECRET": "CONFIG SET", "ACL SETUSER u on >SECRET ~* +@all": "ACL SETUSER", "EVAL SECRET 1 k SECRET": "EVAL", "SCRIPT LOAD SECRET": "SCRIPT LOAD",
		"FUNCTION LOAD SECRET": "FUNCTION LOAD", "SET k SECRET": "SET", "SET k SECRET EX 10": "SET", "MSET a SECRET b SECRET": "MSET", "HSET h f SECRET": "HSET", "LPUSH l SECRET": "LPUSH",
		"XADD s * f SECRET": "XADD", "ZADD z 1 SECRET": "ZADD", "PUBLISH c SECRET": "PUBLISH", "MIGRATE h 6379 k 0 100 AUTH SECRET": "MIGRATE", "ECHO SECRET": "ECHO", "PING SECRET": "PING",
		"MIGRATE h 6379  0 100 AUTH2 user SECRET KEYS k": "MIGRATE", "CLIENT SETNAME SECRET": "CLIENT SETNAME", "NOSUCHCOMMAND SECRET": "", "SECRET a": "", "MODULE LOADEX /m CONFIG a SECRET": "",
		"set k SECRET": "SET", "auth SECRET": "AUTH",
	} {
		add(line, command(strings.Split(line, " ")...), "+OK\r\n", strings.Split(want, "\x00")...)
	}
	far := strings.Repeat("x", leakFar)
	for _, words := range [][]string{{"SET", "k", far + "SECRET"}, {"AUTH", far + "SECRET"}, {"EVAL", far + "SECRET" + far, "0"}, {"LPUSH", "l", far, "SECRET"}} {
		add("far in "+words[0], command(words...), "+OK\r\n", words[0])
	}
	get := command("GET", "k")
	add("far in a reply", get, "$"+leakLength(far+"SECRET")+"\r\n"+far+"SECRET\r\n", "GET")
	for _, reply := range []string{
		"$LENGTH\r\nSECRET\r\n", "+SECRET\r\n", "-ERR unknown command 'SECRET', with args beginning with: 'SECRET' \r\n", "-ERR unknown command `SECRET`, with args beginning with: \r\n",
		"-WRONGPASS SECRET\r\n", "-SECRET\r\n", "*2\r\n$1\r\na\r\n$LENGTH\r\nSECRET\r\n", "%1\r\n$1\r\na\r\n$LENGTH\r\nSECRET\r\n", "!LENGTH\r\nSECRET\r\n", "-NOPERM User SECRET has no permissions\r\n",
		"*1\r\n*1\r\n+SECRET\r\n", ">2\r\n$10\r\ninvalidate\r\n*1\r\n$LENGTH\r\nSECRET\r\n$-1\r\n", "-ERR user_script:1: SECRET script: abc, on @user_script:1.\r\n",
	} {
		add("reply "+reply, get, reply, "GET")
	}
	for _, line := range []string{"AUTH SECRET", "AUTH u SECRET", "set k SECRET", "SET \"a b\" SECRET", "CONFIG SET requirepass SECRET", "NOSUCHCOMMAND SECRET", "SECRET"} {
		add("inline "+line, line+"\r\n", "+OK\r\n")
		list[len(list)-1].want = []string{"GET"}
		list = append(list, leakPlace{name: "inline first " + line, lines: []string{line + "\r\n", "+OK\r\n", command("PING"), "+PONG\r\n"}})
	}
	list = append(list,
		leakPlace{name: "first AUTH", lines: []string{command("AUTH", "SECRET"), "+OK\r\n", command("EXISTS", "place"), ":1\r\n"}, want: []string{"AUTH", "EXISTS"}},
		leakPlace{name: "first HELLO", lines: []string{command("HELLO", "3", "AUTH", "u", "SECRET", "SETNAME", "SECRET"), "%1\r\n+a\r\n+SECRET\r\n", command("PING"), "+PONG\r\n"}, want: []string{"HELLO", "PING"}},
		leakPlace{name: "first SET", lines: []string{command("SET", "k", "SECRET") + command("AUTH", "SECRET"), "+OK\r\n+OK\r\n"}, want: []string{"SET", "AUTH"}},
		leakPlace{name: "messages", lines: []string{
			command("SUBSCRIBE", "c"), "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$LENGTH\r\nSECRET\r\n",
		}, want: []string{"SUBSCRIBE"}},
		leakPlace{name: "pushed messages", lines: []string{
			command("SUBSCRIBE", "c"), ">3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n>3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$LENGTH\r\nSECRET\r\n", command("PING"), "+PONG\r\n",
		}, want: []string{"PING"}},
		leakPlace{name: "MONITOR", lines: []string{
			command("MONITOR"), "+OK\r\n+1700000000.123456 [0 127.0.0.1:50000] \"SET\" \"k\" \"SECRET\"\r\n+1700000000.2 [0 127.0.0.1:50000] \"AUTH\" \"SECRET\"\r\n",
		}, want: []string{"MONITOR"}})
	return list
}

// leakOthers are places of protocols that are not decoded, beside the [lookalikes].
func leakOthers() []leakPlace {
	nats := "INFO {\"server_id\":\"x\"}\r\n"
	return []leakPlace{
		{name: "server first: nats", lines: []string{nats, "CONNECT {\"user\":\"u\",\"pass\":\"SECRET\"}\r\nPING\r\n", "PONG\r\n", "PUB a LENGTH\r\nSECRET\r\n", "+OK\r\n"}},
		{name: "server first: nats, a subject", lines: []string{nats, "CONNECT {\"auth_token\":\"SECRET\"}\r\nPING\r\n", "PONG\r\n", "SUB SECRET 1\r\n", "-ERR 'SECRET'\r\n"}},
		{name: "irc", lines: []string{"PASS SECRET\r\nNICK a\r\n", ":s 001 a :SECRET\r\n"}},
		{name: "server first: pop3", lines: []string{"+OK POP3\r\n", "USER a\r\n", "+OK\r\n", "PASS SECRET\r\n", "+OK\r\n", "AUTH PLAIN SECRET\r\n", "-ERR SECRET\r\n"}},
		{name: "server first: smtp", lines: []string{"220 mx ESMTP\r\n", "EHLO a\r\n", "250 AUTH\r\n", "AUTH LOGIN\r\n", "334 a\r\n", "SECRET\r\n", "235 ok\r\n"}},
		{name: "memcached, numbers", lines: []string{"SET k 0 0 LENGTH\r\nSECRET\r\n", "ERROR\r\n"}},
		{name: "like an inline GET", lines: []string{"GET SECRET\r\n", "NOT_FOUND\r\n"}},
		{name: "like an inline AUTH", lines: []string{"AUTH SECRET\r\n", "OK\r\n", "AUTH SECRET\r\n", "+OK\r\n"}},
		{name: "server first: like a reply", lines: []string{"+OK SECRET\r\n", "AUTH SECRET\r\n", "+OK\r\n", "SET k SECRET\r\n", "+OK\r\n"}},
		{name: "server first: like an error", lines: []string{"-ERR SECRET\r\n", "PING SECRET\r\n", "+PONG SECRET\r\n"}},
		{name: "server first: like a response", lines: []string{"HTTP/1.1 200 SECRET\r\nSet-Cookie: SECRET\r\n\r\nSECRET", "GET /SECRET HTTP/1.1\r\nHost: SECRET\r\n\r\n"}, tokens: true},
	}
}
