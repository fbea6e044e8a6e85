package decodetest

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"

	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols/decode"
)

// saidCase is an exchange with a detail, as protobuf's JSON, and what is said of it. The enricher's adapter of details
// is tested with the same files.
type saidCase struct {
	Exchange json.RawMessage `json:"exchange"`
	Said     []string        `json:"said"`
}

// Said tests [decode.Detail] with the cases of a file, whose results -decodetest.update writes anew: what is read of a
// detail, and that a detail which is written of that says the same.
func Said(t *testing.T, p *decode.Protocol, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var cases []saidCase
	if err := json.Unmarshal(data, &cases); err != nil {
		t.Fatal(err)
	}
	for i := range cases {
		var m millracev1.Exchange
		if err := protojson.Unmarshal(cases[i].Exchange, &m); err != nil {
			t.Fatal(err)
		}
		var detail []byte
		m.ProtoReflect().Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
			if f.ContainingOneof() != nil {
				if detail, err = protoMarshal(v.Message()); err != nil {
					t.Fatal(err)
				}
				if uint8(f.Number()) != p.Detail.Field {
					t.Errorf("field %d", f.Number())
				}
			}
			return true
		})
		at := decode.Place{Client: m.Side == millracev1.Side_SIDE_CLIENT, RemoteAddress: m.RemoteAddress, RemotePort: m.RemotePort}
		x := readDetail(p, detail, at)
		for n := range detail { // Must not panic.
			readDetail(p, detail[:n], at)
		}
		got := saidLines(&x.Said)
		if again := saidLines(&readDetail(p, p.Detail.Append(nil, x), at).Said); !slices.Equal(got, again) {
			t.Errorf("%s: once more\n%s\nafter\n%s", cases[i].Exchange, strings.Join(again, "\n"), strings.Join(got, "\n"))
		}
		if *update {
			cases[i].Said = got
		} else if !slices.Equal(got, cases[i].Said) {
			t.Errorf("%s: got\n%s\nwant\n%s", cases[i].Exchange, strings.Join(got, "\n"), strings.Join(cases[i].Said, "\n"))
		}
	}
	if !*update {
		return
	}
	if data, err = json.MarshalIndent(cases, "", "  "); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append(data, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}

// readDetail gives an exchange as a message describes it.
func readDetail(p *decode.Protocol, message []byte, at decode.Place) *decode.Exchange {
	x := &decode.Exchange{}
	p.Detail.Read(x, message, at)
	if p.Conclude != nil {
		p.Conclude(x, at)
	}
	return x
}

func protoMarshal(m protoreflect.Message) ([]byte, error) {
	return m.Interface().(interface{ MarshalVT() ([]byte, error) }).MarshalVT()
}

func saidLines(s *decode.Said) []string {
	lines := []string{
		fmt.Sprintf("family %d, operation %q, path %q", s.Family, s.Operation, s.Path),
		fmt.Sprintf("error %q %q, server %q %d", s.ErrorType, s.ErrorMessage, s.ServerName, s.ServerPort),
	}
	s.Attributes.Each(func(n decode.Name, v *decode.Value) bool {
		if v.IsNumber() {
			lines = append(lines, fmt.Sprintf("%s = %d", n, v.Number))
		} else {
			lines = append(lines, fmt.Sprintf("%s = %q", n, v.Text))
		}
		return true
	})
	slices.Sort(lines[2:])
	return lines
}
