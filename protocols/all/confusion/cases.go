package confusion

import (
	"math/rand/v2"
	"strings"

	"millrace.dev/protocols"
	"millrace.dev/protocols/all"
)

// Way is what was done to a sample.
type Way string

// Ways.
const (
	Whole    Way = "whole"
	Cut      Way = "cut"      // each of its beginnings, alone
	Shifted  Way = "shifted"  // without its first 1 to 16 bytes
	Changed  Way = "changed"  // with one to three bytes replaced at random
	Answered Way = "answered" // whole, with each of some answers
	Joined   Way = "joined"   // whole and without its first 1 to 16 bytes, on a connection whose beginning was not seen
	Random   Way = "random"   // bytes at random, not of a sample
)

// ways in the order of the table.
var ways = []Way{Whole, Cut, Shifted, Changed, Answered, Joined, Random}

// Case is a connection of which one end said Bytes, and the other said Answer behind it.
type Case struct {
	Way Way
	// Of is the protocol that the sample speaks, "" if none of the list.
	Of            string
	From          protocols.End
	Bytes, Answer string
}

// answers are what servers of several protocols say to what they do or do not understand.
var answers = []string{
	"+OK\r\n", "+PONG\r\n", "-ERR unknown command\r\n", ":1\r\n", "$5\r\nhello\r\n", "VALUE foo 0 5\r\nhello\r\nEND\r\n", "END\r\n", "STORED\r\n",
	"ERROR\r\n", "DELETED\r\n", "HD\r\n", "VERSION 1.6\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "220 mx ESMTP\r\n", "PONG\n", "\x00\x00\x00\x04\x00\x00\x00\x00\x00",
}

const (
	shifts       = 16
	changes      = 12 // of each sample
	randomCases  = 4096
	randomLength = 48
)

// Cases makes the cases, the same ones each time.
func Cases() (list []Case) {
	r := rand.New(rand.NewPCG(2, 7))
	for _, s := range Samples() {
		c := Case{Way: Whole, Of: s.of(), From: s.From, Bytes: s.Bytes}
		add := func(way Way, bytes, answer string) {
			c.Way, c.Bytes, c.Answer = way, bytes, answer
			list = append(list, c)
		}
		add(Whole, s.Bytes, "")
		for n := 1; n < len(s.Bytes); n++ {
			add(Cut, s.Bytes[:n], "")
		}
		add(Joined, s.Bytes, "")
		for n := 1; n < min(len(s.Bytes), shifts+1); n++ {
			add(Shifted, s.Bytes[n:], "")
			add(Joined, s.Bytes[n:], "")
		}
		for range changes {
			b := []byte(s.Bytes)
			for range 1 + r.IntN(3) {
				b[r.IntN(len(b))] = byte(r.IntN(256))
			}
			add(Changed, string(b), "")
		}
		if s.From == protocols.Client {
			for _, answer := range answers {
				add(Answered, s.Bytes, answer)
			}
		}
	}
	for i := range randomCases {
		b := make([]byte, 1+r.IntN(randomLength))
		for k := range b {
			b[k] = byte(r.IntN(256))
			if i%2 == 1 { // printable
				b[k] = ' ' + b[k]%95
			}
		}
		list = append(list, Case{Way: Random, From: protocols.End(1 + i/2%2), Bytes: string(b)})
	}
	return list
}

// of gives the protocol that a sample speaks, by what it is taken for.
func (s *Sample) of() string {
	if s.Of != "" {
		return s.Of
	}
	if s.Speaks == "more" {
		return ""
	}
	return strings.TrimPrefix(s.Speaks, "likely ")
}

// Judge gives what the connection has to be taken for at the node and at the decoder: a protocol if they are sure of
// one, and their guess.
func (c *Case) Judge() (*protocols.Protocol, protocols.Guess) {
	if c.Way == Joined {
		p, g := all.Recognise([]byte(c.Bytes), c.From, protocols.Anywhere)
		if g != protocols.Sure || c.From == protocols.Server && p.Confirm != nil {
			return nil, min(g, protocols.More) // answers that say so little have to be of something that was asked
		}
		return p, g
	}
	talk := all.Talk{Client: []byte(c.Bytes), Server: []byte(c.Answer)}
	if c.From == protocols.Server {
		talk = all.Talk{Server: []byte(c.Bytes), ServerFirst: true}
	}
	v := all.Judge(&talk)
	if v.Guess != protocols.Sure || !v.Protocol.Decoded {
		if v.Guess == protocols.Sure {
			return nil, protocols.No
		}
		return nil, v.Guess
	}
	return v.Protocol, v.Guess
}

// Rule gives the rule of the kernel side that the first bytes fit, nil if none does.
func (c *Case) Rule(rules []protocols.Rule) *protocols.Rule {
	return protocols.Find(rules, []byte(c.Bytes), c.From, c.Way != Joined)
}
