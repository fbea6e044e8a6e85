package confusion

import "strings"

// Lookalike is a whole conversation of a protocol that is not decoded: what the ends say in turn, the client first.
type Lookalike struct {
	Name        string
	ServerFirst bool
	Lines       []string
}

// Lookalikes gives conversations that look a little like those of protocols of the list. Each holds the secret.
func Lookalikes(secret string) (list []Lookalike) {
	for _, group := range []struct {
		greets bool
		of     map[string][]string
	}{{true, greeters}, {false, texts}, {false, binaries}} {
		for name, lines := range group.of {
			l := Lookalike{Name: name, ServerFirst: group.greets}
			for _, line := range lines {
				l.Lines = append(l.Lines, strings.ReplaceAll(line, "%", secret))
			}
			list = append(list, l)
		}
	}
	return list
}

// In the conversations % stands for the secret. The server speaks first in these.
var greeters = map[string][]string{
	"amqp connection.start first": {"\x01\x00\x00\x00\x00\x00\x0c\x00\x0a\x00\x0a\x00\x09\x00\x00\x00\x00\xce", "\x01\x00\x00\x00\x00\x00\x04%\xce"},
	"asterisk manager":            {"Asterisk Call Manager/7.0.3\r\n", "Action: Login\r\nSecret: %\r\n\r\n", "Response: Success\r\n\r\n"},
	"ftp":                         {"220 ftp\r\n", "USER x\r\n", "331 pw\r\n", "PASS %\r\n", "230 in\r\n"},
	"imap":                        {"* OK IMAP4rev1 ready\r\n", "a001 LOGIN joe %\r\n", "a001 OK\r\n", "a002 SELECT INBOX\r\n", "* 3 EXISTS\r\na002 OK\r\n"},
	"managesieve":                 {"\"IMPLEMENTATION\" \"x\"\r\nOK\r\n", "AUTHENTICATE \"PLAIN\" \"%\"\r\n", "OK\r\n"},
	"mpd":                         {"OK MPD 0.23.5\n", "password %\n", "OK\n", "status\n", "volume: 1\nOK\n"},
	"nats": {
		"INFO {\"server_id\":\"x\"}\r\n", "CONNECT {\"verbose\":true,\"user\":\"a\",\"pass\":\"%\"}\r\n", "+OK\r\n", "PING\r\n", "PONG\r\n",
		"PUB a 2\r\nhi\r\n", "+OK\r\n", "PING\r\n", "+PONG\r\n", "FOO %\r\n", "-ERR 'Unknown Protocol Operation'\r\n",
	},
	"nntp":   {"200 news ready\r\n", "AUTHINFO PASS %\r\n", "281 ok\r\n", "GROUP a.b\r\n", "211 1 1 1 a.b\r\n", "QUIT\r\n", "205 bye\r\n"},
	"pop3":   {"+OK POP3 ready\r\n", "AUTH PLAIN %\r\n", "+OK\r\n", "STAT\r\n", "+OK 2 320\r\n", "PING\r\n", "-ERR %\r\n"},
	"rsync":  {"@RSYNCD: 31.0\n", "@RSYNCD: 31.0\n", "@RSYNCD: AUTHREQD abc\n", "joe %\n", "@RSYNCD: OK\n"},
	"smtp":   {"220 mx ESMTP\r\n", "EHLO a\r\n", "250 OK\r\n", "AUTH PLAIN %\r\n", "235 ok\r\n", "INFO\r\n", "-ERR\r\n"},
	"ssh":    {"SSH-2.0-OpenSSH_9.2\r\n", "SSH-2.0-Go\r\n", "\x00\x00\x05\xdc\x06\x14%", "\x00\x00\x05\xdc\x06\x14%"},
	"svn":    {"( success ( 2 2 ( ) ( edit-pipeline ) ) ) ", "( 2 ( edit-pipeline ) 9:svn://a/b ) ", "( success ( ( CRAM-MD5 ) 1:x ) ) ", "( PLAIN ( % ) ) "},
	"telnet": {"\xff\xfd\x18\xff\xfd\x20", "\xff\xfb\x18", "login: ", "joe\r\n", "Password: ", "%\r\n"},
	"vnc":    {"RFB 003.008\n", "RFB 003.008\n", "\x01\x02", "\x02", "0123456789abcdef", "%"},
}

// Lines of text, the client first.
var texts = map[string][]string{
	"acme of no one": {"get\n", "?\n", "info %\n", "?\n"},
	"beanstalk":      {"put 0 0 60 32\r\n%\r\n", "INSERTED 1\r\n", "reserve\r\n", "RESERVED 1 32\r\n%\r\n", "delete 1\r\n", "DELETED\r\n"},
	"beanstalk that deletes first": {
		"delete 5\r\n", "NOT_FOUND\r\n", "touch 5\r\n", "NOT_FOUND\r\n", "put 0 0 60 32\r\n%\r\n", "INSERTED 1\r\n",
	},
	"carbon":       {"servers.%.load 1 1700000000\n", "x"},
	"clamd":        {"PING\n", "PONG\n", "SCAN /%\n", "/x: OK\n", "PING\n", "PONG\n"},
	"clamd, zero":  {"zPING\x00", "PONG\x00", "zSCAN /%\x00", "/x: OK\x00"},
	"finger":       {"joe %\r\n", "Login: joe\r\n"},
	"gearman":      {"status\n", ".\n", "SUBMIT %\n", "ERR\n"},
	"gopher":       {"/%\r\n", "0about\t/about\thost\t70\r\n.\r\n"},
	"graphite 2":   {"a.b;token=% 1 1700000000\n", "x"},
	"haproxy":      {"show info\n", "Name: HAProxy\n\n", "set server a/b addr %\n", "ok\n"},
	"http/0.9":     {"GET /%\r\n", "%"},
	"icap":         {"REQMOD icap://h/s ICAP/1.0\r\nEncapsulated: req-hdr=0\r\n\r\n", "ICAP/1.0 100 Continue\r\n\r\n", "GET /in HTTP/1.1\r\nAuthorization: Bearer %\r\n\r\n", "ICAP/1.0 204 No\r\n\r\n"},
	"icecast":      {"SOURCE /live ICE/1.0\r\nAuthorization: Basic %\r\n\r\n", "HTTP/1.0 200 OK\r\n\r\n", "%%", "x"},
	"ident":        {"6193, 23\r\n", "6193, 23 : USERID : UNIX : %\r\n"},
	"imap, client": {"a001 LOGIN joe %\r\n", "a001 OK\r\n"},
	"info":         {"info\n", "what?\n", "auth %\n", "no\n"},
	"irc":          {"PING %\r\n", ":s PONG s :x\r\n", "PASS %\r\nNICK a\r\n", ":s 001 a :hi\r\n"},
	"irc, nick":    {"NICK a\r\nUSER a 0 * :%\r\n", ":s 001 a :hi\r\n", "PING x\r\n", ":s PONG s :x\r\n"},
	"jdwp":         {"JDWP-Handshake", "JDWP-Handshake", "\x00\x00\x00\x2b\x00\x00\x00\x01\x00\x01\x01%", "\x00\x00\x00\x0b\x00\x00\x00\x01\x80\x00\x00"},
	"lines of json": {
		"{\"op\":\"get\",\"key\":\"%\"}\n", "{\"ok\":true}\n", "{\"op\":\"set\",\"key\":\"%\"}\n", "{\"ok\":false}\n",
	},
	"lmtp":              {"LHLO a\r\n", "250 ok\r\n", "AUTH PLAIN %\r\n", "235\r\n"},
	"lpd":               {"\x02queue\n", "\x00", "\x02125 cfA001%\n", "\x00"},
	"managed by a word": {"version\n", "1.2.3\n", "stats %\n", "none\n"},
	"rtsp":              {"OPTIONS * RTSP/1.0\r\nAuthorization: Basic %\r\n\r\n", "RTSP/1.0 200 OK\r\n\r\n", "DESCRIBE rtsp://a/% RTSP/1.0\r\n\r\n", "RTSP/1.0 200 OK\r\n\r\n"},
	"sip":               {"REGISTER sip:b SIP/2.0\r\nAuthorization: Digest %\r\n\r\n", "SIP/2.0 200 OK\r\n\r\n", "OPTIONS sip:a@b SIP/2.0\r\nX: %\r\n\r\n", "SIP/2.0 200 OK\r\n\r\n"},
	"spamd":             {"PING SPAMC/1.2\r\n\r\n", "SPAMD/1.5 0 PONG\r\n", "CHECK SPAMC/1.2\r\nUser: %\r\n\r\n", "SPAMD/1.5 0 EX_OK\r\n\r\n"},
	"statsd":            {"a.b:1|c|#token:%\n", "x"},
	"stomp":             {"CONNECT\nlogin:a\npasscode:%\n\n\x00", "CONNECTED\nversion:1.2\n\n\x00", "SEND\n\n%\x00", "RECEIPT\n\n\x00"},
	"syslog":            {"<34>1 2026-01-01T00:00:00Z h a - - - GET /% HTTP/1.1\n", "x"},
	"whois":             {"domain %.example\r\n", "% not found\r\n"},
	"xmpp": {
		"<?xml version='1.0'?><stream:stream to='a' xmlns='jabber:client'>", "<?xml version='1.0'?><stream:stream id='1'>",
		"<auth mechanism='PLAIN'>%</auth>", "<success/>",
	},
	"zookeeper, four letters": {"ruok", "imok", "stat", "Zookeeper version: % "},
}

// Messages of bytes, the client first.
var binaries = map[string][]string{
	"ajp":              {"\x12\x34\x00\x2b\x02\x02\x00\x08HTTP/1.1\x00\x00\x20%", "AB\x00\x02\x05\x01"},
	"amqp":             {"AMQP\x00\x00\x09\x01", "\x01\x00\x00\x00\x00\x00\x0c\x00\x0a\x00\x0a\x00\x09\x00\x00\x00\x00\xce", "\x01\x00\x00\x00\x00\x00\x04%\xce", "x"},
	"bgp":              {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x1d\x01\x04\xfd\xe8\x00\xb4\x0a\x00\x00\x01\x00", "\xff\xff\xff\xff%"},
	"cassandra":        {"\x04\x00\x00\x00\x05\x00\x00\x00\x00", "\x84\x00\x00\x00\x06\x00\x00\x00\x00", "\x04\x00\x00\x01\x0f\x00\x00\x00\x20%", "\x84\x00\x00\x01\x10\x00\x00\x00\x00"},
	"diameter":         {"\x01\x00\x00\x34\x80\x00\x01\x01\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x02%", "\x01\x00\x00\x14\x00\x00\x01\x01\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x02"},
	"fastcgi":          {"\x01\x01\x00\x01\x00\x08\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01\x04\x00\x01\x00\x20\x00\x00%", "\x01\x06\x00\x01\x00\x00\x00\x00"},
	"gearman, packets": {"\x00REQ\x00\x00\x00\x07\x00\x00\x00\x20%", "\x00RES\x00\x00\x00\x08\x00\x00\x00\x01x"},
	"kerberos":         {"\x00\x00\x00\x24\x6a\x22\x30\x20%", "\x00\x00\x00\x04\x7e\x02\x30\x00"},
	"ldap":             {"0&\x02\x01\x01`!\x02\x01\x03\x04\x0acn=%", "0\x0c\x02\x01\x01a\x07"},
	"memcached, binary": {
		"\x80\x21\x00\x05\x00\x00\x00\x26\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00PLAIN%",
		"\x81\x21\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
	},
	"mqtt":             {"\x10\x2c\x00\x04MQTT\x04\x82\x00\x3c\x00\x00\x00\x20%", "\x20\x02\x00\x00", "\xc0\x00", "\xd0\x00"},
	"onc rpc":          {"\x80\x00\x00\x28\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x02\x00\x01\x86\xa3%", "\x80\x00\x00\x18\x00\x00\x00\x01\x00\x00\x00\x01"},
	"openvpn":          {"\x00\x0e\x38\x01\x02\x03\x04\x05\x06\x07\x08\x00\x00\x00\x00\x00", "\x00\x1a\x40\x01\x02\x03\x04\x05\x06\x07\x08\x01\x00\x00\x00\x00%"},
	"oracle tns":       {"\x00\x3a\x00\x00\x01\x00\x00\x00\x01\x3d\x01\x2c\x0c\x41\x20\x00(DESCRIPTION=%", "\x00\x08\x00\x00\x0b\x00\x00\x00"},
	"rdp":              {"\x03\x00\x00\x2f\x2a\xe0\x00\x00\x00\x00\x00Cookie: mstshash=%\r\n", "\x03\x00\x00\x13\x0e\xd0\x00\x00\x12\x34\x00\x02\x00\x08\x00\x02\x00\x00\x00"},
	"rtmp":             {"\x03\x00\x00\x00\x00\x00\x00\x00\x00%", "\x03\x00\x00\x00\x00%"},
	"smb":              {"\x00\x00\x00\x44\xfeSMB\x40\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00%", "\x00\x00\x00\x44\xfeSMB\x40\x00"},
	"socks 4":          {"\x04\x01\x00\x50\x0a\x00\x00\x01%\x00", "\x00\x5a\x00\x50\x0a\x00\x00\x01"},
	"socks 5":          {"\x05\x01\x02", "\x05\x02", "\x01\x03joe\x20%", "\x01\x00"},
	"tds":              {"\x12\x01\x00\x2f\x00\x00\x01\x00\x00\x00\x1a\x00\x06\x01\x00\x20\x00\x01%", "\x04\x01\x00\x2b\x00\x00\x01\x00"},
	"thrift, framed":   {"\x00\x00\x00\x34\x80\x01\x00\x01\x00\x00\x00\x04ping\x00\x00\x00\x01\x0b\x00\x01\x00\x00\x00\x20%\x00", "\x00\x00\x00\x11\x80\x01\x00\x02\x00\x00\x00\x04ping\x00\x00\x00\x01\x00"},
	"thrift, unframed": {"\x80\x01\x00\x01\x00\x00\x00\x04ping\x00\x00\x00\x01\x0b\x00\x01\x00\x00\x00\x20%\x00", "\x80\x01\x00\x02\x00\x00\x00\x04ping\x00\x00\x00\x01\x00"},
	"tns, zabbix":      {"ZBXD\x01\x2c\x00\x00\x00\x00\x00\x00\x00{\"request\":\"%\"}", "ZBXD\x01\x02\x00\x00\x00\x00\x00\x00\x00{}"},
	"x11":              {"l\x00\x0b\x00\x00\x00\x12\x00\x10\x00\x00\x00MIT-MAGIC-COOKIE%", "\x01\x00\x0b\x00"},
	"zeromq":           {"\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f\x03\x00PLAIN", "\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f", "\x04\x2f\x05HELLO\x03joe\x20%", "\x04\x08\x07WELCOME"},
	"zookeeper": {
		"\x00\x00\x00\x2d\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x75\x30\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x10%\x00",
		"\x00\x00\x00\x25\x00\x00\x00\x00\x00\x00\x75\x30\x01\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x10%\x00",
	},
}
