package all

import (
	"slices"

	"millrace.dev/protocols"
	"millrace.dev/protocols/proxy"
)

// Talk is how a connection began, from the first byte of each direction on, as far as it was seen.
type Talk struct {
	// Client and Server are the first bytes that each end sent.
	Client, Server []byte
	// ClientCut and ServerCut say that bytes are missing behind them, so that waiting for more is in vain.
	ClientCut, ServerCut bool
	// ServerFirst says that the server spoke before the client.
	ServerFirst bool
	// Behind says that a preface was read before Client.
	Behind bool
}

// Judgement is what a connection speaks.
type Judgement struct {
	// Guess is Sure, No, or More: wait.
	Guess protocols.Guess
	// Protocol is what the connection speaks with Sure. Otherwise it is what it was likely taken for, nil for nothing.
	Protocol *protocols.Protocol
	// Preface is what a load balancer said before the client's first message; the zero value if there was none.
	Preface proxy.Preface
}

// speaking are the protocols that a connection can speak, which prefaces are not.
var speaking = func() (list []*protocols.Protocol) {
	for _, p := range List {
		if p != &proxy.Protocol {
			list = append(list, p)
		}
	}
	return list
}()

// Speaking gives the protocols of the list that a connection can speak, which prefaces are not.
func Speaking() []*protocols.Protocol { return slices.Clone(speaking) }

// Judge says what a connection speaks that was seen from its beginning. The node asks it before it publishes anything
// of the connection, the decoder before it takes anything of it for a request.
func Judge(t *Talk) Judgement { return JudgeAmong(speaking, t) }

// JudgeAmong is [Judge] for a list of protocols other than [Speaking].
func JudgeAmong(list []*protocols.Protocol, t *Talk) Judgement {
	asked, preface, g := t.Client, proxy.Preface{}, protocols.No
	if !t.Behind && len(asked) > 0 {
		preface, g = proxy.Read(asked)
	}
	if g == protocols.Sure && preface.Length > len(asked) && !t.ClientCut {
		return Judgement{Guess: protocols.More, Preface: preface}
	}
	if g == protocols.Sure {
		asked = asked[min(len(asked), preface.Length):]
	}
	var greeted Judgement
	greets := t.ServerFirst || len(asked) == 0 && len(t.Server) > 0 // a preface is nothing that a server waits for
	if greets {
		greeted = greeting(list, t)
		greeted.Preface = preface
	}
	switch {
	case greeted.Guess == protocols.Sure, greets && (greeted.Guess == protocols.No || len(asked) == 0):
		return greeted // a server that greets decides alone, whatever the client says
	case len(asked) == 0:
		return Judgement{Guess: wait(t.ClientCut && len(t.Client) > 0), Preface: preface}
	}
	v := request(list, t, asked)
	v.Preface = preface
	if v.Guess == protocols.No && g == protocols.More {
		v.Guess = wait(t.ClientCut)
	}
	return v
}

// greeting judges a server that speaks first. Its first bytes may be among those that are missing.
func greeting(list []*protocols.Protocol, t *Talk) Judgement {
	p, g := protocols.Recognise(list, t.Server, protocols.Server, protocols.Opening)
	if g == protocols.More || g == protocols.Likely {
		g = wait(t.ServerCut && len(t.Client) == 0)
	}
	return Judgement{Guess: g, Protocol: p}
}

// request judges what the client sent behind a preface.
func request(list []*protocols.Protocol, t *Talk, asked []byte) Judgement {
	p, g := protocols.Recognise(list, asked, protocols.Client, protocols.Opening)
	switch {
	case g == protocols.More:
		return undecided(list, t, asked)
	case g != protocols.Likely:
	case t.ServerFirst:
		g = protocols.No
	case len(t.Server) == 0:
		g = wait(t.ServerCut)
	default:
		g = p.Confirm(protocols.Answered{Asked: asked, Answer: t.Server, Cut: t.ServerCut})
	}
	return Judgement{Guess: g, Protocol: p}
}

// undecided judges what several protocols may be, or what goes on like one. Of those that are equally likely the
// answer can confirm one, whatever is missing of what was asked.
func undecided(list []*protocols.Protocol, t *Talk, asked []byte) Judgement {
	v := Judgement{Guess: wait(t.ClientCut)}
	if t.ServerFirst {
		return v
	}
	answered := protocols.Answered{Asked: asked, Answer: t.Server, Cut: t.ServerCut}
	count := 0
	for _, p := range list {
		if p.Confirm == nil || p.Recognise(asked, protocols.Client, protocols.Opening) != protocols.Likely {
			continue
		}
		g := protocols.More
		if len(t.Server) > 0 {
			g = p.Confirm(answered)
		}
		switch {
		case g == protocols.Sure:
			v.Protocol = p
			count++
		case g == protocols.More && !t.ServerCut:
			v.Guess = protocols.More
		}
	}
	if count == 1 {
		v.Guess = protocols.Sure
	} else {
		v.Protocol = nil
	}
	return v
}

// Recognise judges bytes that are not known to begin a connection, for protocols that are decoded.
func Recognise(b []byte, from protocols.End, how protocols.Evidence) (*protocols.Protocol, protocols.Guess) {
	return Among(speaking, b, from, how)
}

// Among is [Recognise] for a list of protocols other than [Speaking].
func Among(list []*protocols.Protocol, b []byte, from protocols.End, how protocols.Evidence) (*protocols.Protocol, protocols.Guess) {
	p, g := protocols.Recognise(list, b, from, how)
	if p != nil && (!p.Decoded || p.OpeningOnly) {
		return p, protocols.No
	}
	return p, g
}

func wait(cut bool) protocols.Guess {
	if cut {
		return protocols.No
	}
	return protocols.More
}
