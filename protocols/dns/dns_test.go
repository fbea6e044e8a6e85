package dns

import (
	"testing"

	"millrace.dev/protocols"
)

// Messages of a conversation, with their length in front.
const (
	question = "\x03WwW\x07example\x03com\x00\x00\x01\x00\x01"
	query    = "\x12\x34\x01\x20\x00\x01\x00\x00\x00\x00\x00\x01" + question + "\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x0c\x00\x0a\x00\x08secretck"
	response = "\x12\x34\x81\x80\x00\x01\x00\x02\x00\x00\x00\x01" + question + "\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\x0a\x00\x00\x07" +
		"\xc0\x0c\x00\x10\x00\x01\x00\x00\x00\x3c\x00\x0d\x0ctoken=secret" + "\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00"
)

func framed(message string) string {
	return string([]byte{byte(len(message) >> 8), byte(len(message))}) + message
}

func TestRecognise(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		bytes string
		from  protocols.End
		how   protocols.Evidence
		want  protocols.Guess
	}{
		{framed(query), protocols.Client, protocols.Opening, protocols.Sure},
		{framed(query) + framed(query), protocols.Client, protocols.Opening, protocols.Sure},
		{framed(query), protocols.Client, protocols.Anywhere, protocols.Sure},
		{framed(query) + "x", protocols.Client, protocols.Anywhere, protocols.No},
		{framed(response), protocols.Server, protocols.Anywhere, protocols.Sure},
		{framed(response), protocols.Client, protocols.Anywhere, protocols.No},
		{framed(query)[:2], protocols.Client, protocols.Opening, protocols.More},
		{framed(query)[:2], protocols.Client, protocols.Anywhere, protocols.More},
		{framed(query[:11] + "\x02" + query[12:]), protocols.Client, protocols.Opening, protocols.No},
		{framed(query[:4] + "\x00\x02" + query[6:]), protocols.Client, protocols.Opening, protocols.No},
		{"\x00\x00\x00\x4e\x00\x03\x00\x00user\x00postgres\x00\x00", protocols.Client, protocols.Opening, protocols.No},
	} {
		if got := recognise([]byte(tt.bytes), tt.from, tt.how); got != tt.want {
			t.Errorf("%q from %d: %d, want %d", tt.bytes, tt.from, got, tt.want)
		}
	}
}

func TestAppendName(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"\x03WwW\x07example\x03com\x00": "www.example.com", "\x00": ".", "\x03a.b\x00": `a\046b`, "\x02\xff\n\x00": `\255\010`, "\xc0\x0c": "", "\x03ab": "", "": "",
		"\x01a\xc0\x00": "", "\x40" + string(make([]byte, 70)): "",
	} {
		if got, end := AppendName(nil, []byte(text), 0); string(got) != want && end >= 0 || (end < 0) != (want == "") {
			t.Errorf("%q: %q %d, want %q", text, got, end, want)
		}
	}
}
