package decodetest

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"

	"millrace.dev/protocols/decode"
)

// ended is what is left of an exchange.
type ended struct {
	key   endedKey
	head  string // who, how it ended, sizes
	times string
	said  []string
	// Of what is said; and whether the exchange claims that nothing of it is missing.
	operation, failed string
	whole             bool
	at                uint64 // offset, to sort by
}

type endedKey struct {
	pushed         bool
	offset, stream uint64
}

// describe takes down all of x that is published.
func describe(x *decode.Exchange) ended {
	e := ended{
		key: endedKey{x.Pushed, x.Offset, x.Stream}, at: x.Offset,
		operation: string(x.Said.Operation), failed: string(x.Said.ErrorType),
		whole: x.Outcome == decode.Complete && !x.Estimated && x.LostBytes == 0 && !x.ContextUnknown && !unknownHead(x),
	}
	if x.Flow != 0 {
		e.key = endedKey{stream: x.Flow}
	}
	who := ""
	if x.Pushed {
		who = " of the server"
	}
	e.head = fmt.Sprintf("%d#%d%s: %s, %d bytes (body %d), %d answered (body %d)", x.Offset, x.Stream, who,
		[...]string{"?", "complete", "closed", "reset", "lost", "expired", "one way"}[x.Outcome],
		x.RequestBytes, x.RequestBodyBytes, x.ResponseBytes, x.ResponseBodyBytes)
	for _, flag := range []struct {
		is   bool
		text string
	}{{x.LostBytes > 0, fmt.Sprintf(", lost %d", x.LostBytes)}, {x.Estimated, ", estimated"}, {x.Patient, ", patient"}, {x.ContextUnknown, ", context unknown"}} {
		if flag.is {
			e.head += flag.text
		}
	}
	piece := func(at int64) int64 { return at / pieceTime }
	e.times = fmt.Sprintf(" in pieces %d-%d", piece(x.Start), piece(x.RequestEnd))
	if x.ResponseStart != 0 {
		e.times += fmt.Sprintf(", answered in %d-%d", piece(x.ResponseStart), piece(x.ResponseTime))
	}
	e.said = said(x)
	return e
}

// unknownHead reports whether the exchange says that fields of a head are not known (HPACK's table was not seen).
func unknownHead(x *decode.Exchange) (unknown bool) {
	x.Said.Attributes.Each(func(n decode.Name, _ *decode.Value) bool {
		unknown = unknown || n.String() == "millrace.head_unknown"
		return !unknown
	})
	return unknown
}

// saidOperation begins the line of the operation.
const saidOperation = "    operation: "

func said(x *decode.Exchange) (lines []string) {
	s := &x.Said
	add := func(format string, args ...any) { lines = append(lines, "    "+fmt.Sprintf(format, args...)) }
	if s.Family != 0 || s.Kind != 0 || s.Protocol != 0 {
		add("%v %v %v", s.Family, s.Kind, s.Protocol)
	}
	for _, t := range []struct {
		name string
		text []byte
	}{{"operation", s.Operation}, {"error", s.ErrorType}, {"message", s.ErrorMessage}, {"path", s.Path}, {"server", s.ServerName}} {
		if len(t.text) > 0 {
			add("%s: %q", t.name, t.text)
		}
	}
	if x.Flow != 0 {
		add("flow: %016x", x.Flow)
	}
	if s.ServerPort != 0 {
		add("port: %d", s.ServerPort)
	}
	if x.Context.Valid {
		add("context: %s", context(&x.Context))
	}
	for i := range s.Links {
		add("link: %s", context(&s.Links[i]))
	}
	s.Attributes.Each(func(n decode.Name, v *decode.Value) bool {
		switch {
		case v.IsText():
			add("%s = %q", n, v.Text)
		case v.IsNumber():
			add("%s = %d", n, v.Number)
		case v.IsReal():
			add("%s = %v", n, v.Real)
		case v.IsYes():
			add("%s", n)
		default:
			add("%s = [%q]", n, bytes.Join(v.Texts, []byte(`" "`)))
		}
		return true
	})
	return lines
}

func context(c *decode.Context) string {
	return fmt.Sprintf("%x-%016x-%02x %q", c.TraceID, c.SpanID, c.Flags, c.State)
}

// text is the exchange in the golden file.
func (e *ended) text(times bool) string {
	head := e.head
	if times {
		head += e.times
	}
	return strings.Join(append([]string{head}, e.said...), "\n")
}

// render gives the lines of the golden file.
func render(all []ended, times bool) (lines []string) {
	sorted := slices.Clone(all)
	slices.SortStableFunc(sorted, func(a, b ended) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.key.stream, b.key.stream))
	})
	for i := range sorted {
		lines = append(lines, strings.Split(sorted[i].text(times), "\n")...)
	}
	return lines
}

// claimsAll reports whether the exchange says of itself that nothing of it is missing.
func (e *ended) claimsAll() bool { return e.whole }
