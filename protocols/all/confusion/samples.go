package confusion

import (
	"fmt"
	"strings"

	"millrace.dev/protocols"
)

// Sample is bytes with which an end of a connection may begin.
type Sample struct {
	Name, Bytes string
	From        protocols.End
	// Speaks says what [protocols.Recognise] makes of all of Bytes: the name of a protocol, "likely" before it, "more",
	// or "" for no protocol of the list.
	Speaks string
	// Of is the protocol that the sample is of where Speaks does not name it.
	Of string
}

const (
	proxy1    = "PROXY TCP4 203.0.113.7 127.0.0.1 51000 80\r\n"
	proxy2    = "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xcb\x00\x71\x07\x7f\x00\x00\x01\xc7\x38\x00\x50"
	mongoFind = "\x32\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\xdd\x07\x00\x00\x00\x00\x00\x00\x00\x1d\x00\x00\x00" +
		"\x02find\x00\x02\x00\x00\x00c\x00\x02$db\x00\x02\x00\x00\x00d\x00\x00"
	mongoHello = "\x38\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\xd4\x07\x00\x00\x04\x00\x00\x00admin.$cmd\x00\x00\x00\x00\x00\xff\xff\xff\xff" +
		"\x11\x00\x00\x00\x10ismaster\x00\x01\x00\x00\x00\x00"
)

// Samples gives first bytes of every protocol of the list, and of many others.
func Samples() (list []Sample) {
	from := func(end protocols.End, title, speaks string, texts []string) {
		of := ""
		if rest, ok := strings.CutPrefix(speaks, "more "); ok {
			speaks, of = "more", rest
		}
		for _, t := range texts {
			list = append(list, Sample{fmt.Sprintf(title+"%.40q", t), t, end, speaks, of})
		}
	}
	ask := func(speaks string, texts ...string) { from(protocols.Client, "", speaks, texts) }
	say := func(speaks string, texts ...string) { from(protocols.Server, "server ", speaks, texts) }
	for _, method := range strings.Fields("GET HEAD POST PUT DELETE PATCH OPTIONS TRACE QUERY PURGE BAN REFRESH PROPFIND PROPPATCH MKCOL COPY MOVE " +
		"LOCK UNLOCK REPORT SEARCH MKACTIVITY CHECKOUT MERGE M-SEARCH NOTIFY SUBSCRIBE UNSUBSCRIBE MKCALENDAR ACL LINK UNLINK REBIND LIST FLUSH " +
		"XYZ RPC_IN_DATA VERSION-CONTROL BASELINE-CONTROL UPDATEREDIRECTREF BREW get x A !#$%&'*+-.^_`|~1 averyveryverylongmethodofitsown PRI SET " +
		"INFO ECHO CONFIG PING AUTH") {
		ask("http", method+" / HTTP/1.1\r\nHost: x\r\n\r\n", method+" /a?b=c HTTP/1.0\r\n\r\n", method+" http://h/ HTTP/1.1\r\n\r\n")
		if method != "PRI" {
			ask("http", method+" * HTTP/1.1\r\n\r\n")
		}
	}
	ask("http", "CONNECT a:443 HTTP/1.1\r\n\r\n", "CONNECT 10.0.0.1:443 HTTP/1.1\r\n\r\n", "CONNECT [::1]:443 HTTP/1.1\n\n", "\r\nGET / HTTP/1.1\r\n\r\n",
		"\nGET / HTTP/1.1\n\n", "GET / HTTP/1.1 \r\n\r\n", "GET ftp://a/b HTTP/1.1\r\n\r\n", "POST HTTPS://A/b HTTP/1.1\r\n\r\n")
	say("http", "HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.0 408\r\n\r\n", "HTTP/1.1 500 \r\n")
	ask("redis", "*1\r\n$4\r\nPING\r\n", "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\nb\r\n", "*2\r\n$11\r\nmodule.verb\r\n$1\r\nx\r\n", "*12\r\n$10\r\nzrangebylex\r\n")
	ask("likely redis", "PING\r\n", "ping\n", "INFO\r\n", "info\n", "AUTH secret\r\n", "SET a b\r\n", "GET foo\r\n", "CONFIG GET *\r\n", "ECHO HTTP/1.1\r\n",
		"SET / 1\r\n", "AUTH PLAIN AGpvZQBzZWNyZXQ=\r\n", "PING SPAMC/1.2\r\n\r\n", "GET /\r\n", "GET x HTTP/1.1\r\n")
	ask("more memcached", "incr n 1\r\n", "get foo\r\n", "get a b c\n", "set k 0 0 5\r\n", "incr n 1 noreply\r\nget n\r\n", "delete 5\r\n", "quit\r\n", "touch 5 1\r", "set k 0 0 5 noreply\r\n")
	ask("likely memcached", "stats\r\n", "version\r\n", "gets k\r\n", "gat 60 k\r\n", "cas k 0 0 5 77\r\n",
		"delete k\r\n", "touch k 60\r\n", "flush_all\r\n", "verbosity 1\r\n", "mg k v t\r\n", "ms k 5 T60\r\n", "md k\r\n", "ma k N0\r\n", "mn\r\n", "delete 5\r\nget a\r\n")
	ask("memcached", "set k 0 0 5\r\nhello\r\n", "set k 0 0 0 noreply\r\n\r\n", "ms k 2\r\nhi\r\nmn\r\n")
	ask("tls", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "\x17\x03\x03\x00\x20abcdefgh", "\x15\x03\x00\x00\x02\x02\x28")
	ask("postgresql", "\x00\x00\x00\x08\x04\xd2\x16\x2f", "\x00\x00\x00\x08\x04\xd2\x16\x30", "\x00\x00\x00\x10\x04\xd2\x16\x2e\x00\x00\x00\x01abcd",
		"\x00\x00\x00\x21\x00\x03\x00\x00user\x00joe\x00database\x00joe\x00\x00", "\x00\x00\x00\x12\x00\x03\x00\x02_pq_.x\x001\x00\x00",
		"\x00\x00\x00\x12\x00\x03\x27\x0fuser\x00joe\x00\x00")
	ask("http2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
	say("more http2", "\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x64") // settings before a preface
	ask("proxy", proxy1, proxy2, "PROXY UNKNOWN\r\n", "PROXY UNKNOWN ffff:: ffff:: 1 2\r\n", "PROXY TCP6 2001:db8::1 ::1 1 2\r\n",
		"\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00", "\r\n\r\n\x00\r\nQUIT\n\x21\x31\x00\xd8/run/x")
	ask("mongodb", mongoFind, strings.Replace(mongoFind, "\xdd\x07", "\xdc\x07", 1)[:16]+"\xdd\x07\x00\x00\x64\x00\x00\x00\x01", mongoHello,
		"\x24\x00\x00\x00\x07\x00\x00\x00\x00\x00\x00\x00\xd5\x07\x00\x00\x00\x00\x00\x00a.b\x00\x00\x00\x00\x00\x01\x02\x03\x04\x05\x06\x07\x08")
	say("mongodb", "\x28\x00\x00\x00\x09\x00\x00\x00\x01\x00\x00\x00\xdd\x07\x00\x00\x00\x00\x00\x00\x00\x13\x00\x00\x00\x01ok\x00\x00\x00\x00\x00\x00\x00\xf0\x3f\x00")
	ask("dns", "\x00\x21\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03www\x07example\x03com\x00\x00\x01\x00\x01",
		"\x00\x1c\x00\x00\x01\x20\x00\x01\x00\x00\x00\x00\x00\x01\x00\x00\x06\x00\x01\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00")
	ask("kafka", "\x00\x00\x00\x11\x00\x12\x00\x00\x00\x00\x00\x01\x00\x07rdkafka", // ApiVersions
		"\x00\x00\x00\x1c\x00\x12\x00\x04\x00\x00\x00\x00\xff\xff\x00\x05java\x064.1.0xxxx",
		"\x00\x00\x00\x0e\x00\x03\x00\x01\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff",
		"\x00\x00\x00\x2a\x00\x00\x00\x02\x00\x00\x00\x05\x00\x01p\xff\xff\x00\x00\x75\x30\x00\x00\x00\x01\x00\x01t",
		"\x00\x00\x00\x2a\x00\x0b\x00\x07\x00\x00\x00\x05\x00\x03abc\x00\x06group")
	ask("", // others, in the order of the alphabet
		"\x00\x00\x00\x2d\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x75\x30\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x10", // ZooKeeper
		"\x00\x00\x00\x1c\x80\x01\x00\x01\x00\x00\x00\x04ping\x00\x00\x00\x01\x00",                                                         // Thrift
		"\x00\x00\x00\x1c\x00\x01\x00\x04\x00\x00\x00\x05\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",                         // lengths and numbers
		"\x04\x00\x00\x00\x05\x00\x00\x00\x00", "\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x64\x00\x04\x00\x00\xff\xff",
		"\x20\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\xdd\x07\x00\x00\x00\x00\x00\x00\x05\x00\x00\x00\x00\x00\x00\x00", // no section
		"CONNECT {\"verbose\":false,\"pass\":\"secret\"}\r\n", "CONNECT\naccept-version:1.2\npasscode:secret\n\n\x00", "STOMP\nlogin:a\n\n\x00",
		"DESCRIBE rtsp://c/s RTSP/1.0\r\nCSeq: 1\r\n\r\n", "EHLO a\r\n", "LHLO a\r\n", "MAIL FROM:<a@b>\r\n", "NICK a\r\nUSER a 0 * :a\r\n",
		"OPTIONS * RTSP/1.0\r\n\r\n", "OPTIONS icap://h/s ICAP/1.0\r\n\r\n", "OPTIONS rtsp://c/s RTSP/1.0\r\nCSeq: 1\r\n\r\n",
		"OPTIONS sip:a@b SIP/2.0\r\nCall-ID: 1\r\n\r\n", "REGISTER sip:b SIP/2.0\r\n\r\n", "SOURCE /live ICE/1.0\r\n\r\n", "SUB a 1\r\n", "USER joe\r\n",
		"a001 LOGIN joe secret\r\n", "a.b:1|c\n", "agent.ping\n", "put 0 0 60 2\r\nhi\r\n", "reserve\r\n", "servers.a.load 1 1700000000\n",
		"set foo 0 0 3 HTTP/1.1", "show info\n", "workers\n", "zPING\x00", "ruok", "{\"op\":\"ping\"}\n",
		"<34>1 2026-01-01T00:00:00Z h a - - - GET / HTTP/1.1\n", "POST /\r\n", "HEAD /x HTTP/0.9\r\n", "XYZ x HTTP/1.1\r\n", "PUT  / HTTP/1.1\r\n",
		"\x00\x03\x00\x00user\x00joe\x00", "\x30\x26\x02\x01\x01\x60\x21", "SSH-2.0-Go\r\n", "*a\r\n", "*1\r\n:1\r\n",
		"*0\r\n", "*3000000\r\n", "PROXY TCP9 1 2 3 4\r\n", "\x10\x0d\x00\x04MQTT", "\x80\x00\x00\x03\x00\x00\x00\x00\x00\x00\x00\x03", "AMQP\x00\x00\x09\x01")
	say("mysql", "\x4a\x00\x00\x00\x0a8.0.33\x00\x07\x00\x00\x00CHALLENG\x00\xff\xf7", "\x59\x00\x00\x00\x0a10.11.6-MariaDB-0+deb12u1\x00abcdCHALLENG\x00\xfe\xf7\x2d\x02\x00")
	say("more mysql", "\x4a\x00\x00\x00\x0a8.0.33\x00")
	say("", "\x4a\x00\x00\x01\x0a8.0.33\x00\x07\x00\x00\x00CHALLENG\x00\xff\xf7", "\x4a\x00\x00\x00\x0a8.0.33\x00\x07\x00\x00\x00CHALLENG\x01\xff\xf7",
		"\x17\x00\x00\x00\xff\x10\x04Too many connections")
	say("", "INFO {\"server_id\":\"x\"}\r\n", "+OK POP3 ready\r\n", "220 mx ESMTP\r\n", "* OK IMAP4 ready\r\n", "SSH-2.0-OpenSSH\r\n",
		"RTSP/1.0 200 OK\r\n", "SIP/2.0 200 OK\r\n", "ICY 200 OK\r\n", "HTTP/2.0 200 OK\r\n", "$5\r\nhello\r\n",
		"\"IMPLEMENTATION\" \"x\"\r\n", "OK MPD 0.23\n", ":s 001 a :hi\r\n", "RFB 003.008\n")
	return list
}
