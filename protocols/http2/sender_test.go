package http2

import (
	"testing"

	"millrace.dev/protocols"
)

// TestSender: where frames do not tell which end sent them, a head behind them does.
func TestSender(t *testing.T) {
	t.Parallel()
	const window, ping, ack = "\x00\x00\x04\x08\x00\x00\x00\x00\x00\x00\x00\x00\x06", "\x00\x00\x08\x06\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
		"\x00\x00\x00\x04\x01\x00\x00\x00\x00"
	for _, tt := range []struct {
		bytes string
		from  protocols.End
	}{
		{window + ping + "\x00\x00\x03\x01\x05\x00\x00\x00\x01\x82\x86\x84", protocols.Client},
		{window + ping + "\x00\x00\x01\x01\x05\x00\x00\x00\x01\x88", protocols.Server},
		{window + ack + "\x00\x00\x0d\x01\x04\x00\x00\x00\x01\x40\x07:status\x03200", protocols.Server},
		{window + ack + "\x00\x00\x0d\x01\x05\x00\x00\x00\x01\x00\x07:method\x03PUT", protocols.Client},
	} {
		for _, from := range []protocols.End{protocols.Client, protocols.Server} {
			want := protocols.No
			if from == tt.from {
				want = protocols.Sure
			}
			if got := recognise([]byte(tt.bytes), from, protocols.Anywhere); got != want {
				t.Errorf("%q from %d: %d, want %d", tt.bytes, from, got, want)
			}
		}
	}
	if got := recognise([]byte(window+ping), protocols.Server, protocols.Anywhere); got != protocols.Sure {
		t.Errorf("without a head: %d", got)
	}
}
