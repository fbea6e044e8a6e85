package mysql

import (
	"strings"
	"testing"
)

// TestParameters: attributes of every type, and where the text begins.
func TestParameters(t *testing.T) {
	t.Parallel()
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	long := strings.Repeat("v", 300)
	for body, want := range map[string]string{
		"\x00\x01SELECT 1": "SELECT 1",
		"\x01\x01\x00\x01\xfd\x00\x04name\x05valueSELECT 1":                                    "SELECT 1",
		"\x01\x01\x01\x01\xfd\x00\x04nameSELECT 2":                                             "SELECT 2", // NULL
		"\x01\x01\x00\x01\xfd\x00\x00\xfc\x2c\x01" + long + "SELECT 3":                         "SELECT 3",
		"\x02\x01\x00\x01\x08\x00\x01a\x03\x80\x01b123456781234SELECT 4":                       "SELECT 4",
		"\x03\x01\x02\x01\x0c\x00\x01a\x01\x00\x01b\x05\x00\x01c\x041234" + "12345678SELECT 5": "SELECT 5",
		"\x01\x01\x00\x01\xfe\x00\x0btraceparent\x37" + parent + "SELECT 6":                    "SELECT 6 of " + parent,
		"\x01\x01\x00\x01\xfe\x00\x0btraceparenx\x37" + parent + "SELECT 7":                    "SELECT 7",
		"\x01\x01\x00\x01\xfe\x00\x0btraceparent\x03abcSELECT 8":                               "SELECT 8",
		"\x01\x02\x00\x01\xfd\x00\x04name\x05valueSELECT 1":                                    "failed",
		"\x01\x01\x00\x00SELECT 1":                                                             "failed",
		"\x01\x01\x00\x01\x20\x00\x00SELECT 1":                                                 "failed",
		"\x41\x01SELECT 1":                                                                     "failed",
		"\xffSELECT 1":                                                                         "failed",
		"\x01\x01\x00\x01\xfd\x00\x04name\xfe":                                                 "more",
	} {
		var p Parameters
		i := 0
		for ; i < len(body) && !p.Done() && !p.Failed(); i++ {
			p.Read(body[i])
		}
		got := "more"
		switch {
		case p.Failed():
			got = "failed"
		case p.Done():
			if got = body[i:]; p.Traceparent() != nil {
				got += " of " + string(p.Traceparent())
			}
		}
		if got != want {
			t.Errorf("%q: %q, want %q", body, got, want)
		}
	}
}

// FuzzParameters: any bytes end somewhere, or want more.
func FuzzParameters(f *testing.F) {
	f.Add("\x03\x01\x02\x01\x0c\x00\x01a\x01\x00\x01b\x05\x00\x01c\x04123412345678SELECT 5")
	f.Fuzz(func(_ *testing.T, body string) {
		var p Parameters
		for i := 0; i < len(body) && !p.Done() && !p.Failed(); i++ {
			p.Read(body[i])
		}
		p.Traceparent()
	})
}
