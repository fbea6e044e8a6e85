package decodetest_test

import (
	"testing"

	"millrace.dev/protocols"
	"millrace.dev/protocols/decode/decodetest"
)

var framesKit = decodetest.Kit{
	Known: &protocols.Protocol{
		Order: protocols.ByID,
		Recognise: func(b []byte, _ protocols.End, _ protocols.Evidence) protocols.Guess {
			if len(b) > 4 && b[0] >= '0' && b[0] <= '9' {
				return protocols.Sure
			}
			return protocols.No
		},
	},
	Decode: decodetest.Frames,
}

func framesConversations() []decodetest.Conversation {
	client, server, frame := decodetest.Client, decodetest.Server, decodetest.Frame
	return []decodetest.Conversation{{Name: "interleaved", Pieces: []decodetest.Piece{
		client(decodetest.FramesOpening), client(frame(1, '+', 8) + frame(2, '*', 3)), client(frame(1, '!', 9)),
		server(frame(2, '.', 30)), server(frame(1, '!', 4) + frame(0, '.', 2)), server(frame(2, '!', 5)),
	}}, {Name: "pushed", Pieces: []decodetest.Piece{
		server(frame(7, '*', 20)), client(frame(8, '+', 1)), client(frame(7, '!', 2) + frame(8, '!', 6)), server(frame(8, '.', 2)),
	}}}
}

func TestFrames(t *testing.T) {
	t.Parallel()
	framesKit.Run(t, framesConversations()...)
}

func FuzzFrames(f *testing.F) { framesKit.Fuzz(f, framesConversations()...) }

func TestPings(t *testing.T) {
	t.Parallel()
	client, server := decodetest.Client, decodetest.Server
	kit := decodetest.Kit{Known: &decodetest.KnownPings, Decode: decodetest.Pings, Golden: "testdata/pings.golden"}
	kit.Run(t, decodetest.Conversation{Name: "pings", Pieces: []decodetest.Piece{
		client("?aone"), client("?btwo"), server("!bTWO."), server("!x"), client("?cthree"), server("!aONE"), client("?bfour"), server("!b"),
	}})
}
