package decode

import "millrace.dev/protocols/rediscommand"

// Traits of commands that change how replies are read.
type trait uint8

const (
	traitNone      trait = iota
	traitContainer       // the second word is part of the name
	traitSubscribe       // answered by confirmations
	traitMonitor
	traitReplicate // the connection becomes a replication stream
	traitSelect
	traitReset
	traitBlock // may wait for ever
	traitClient
	traitExec // the reply has those of a transaction
	traitMulti
	traitDiscard
)

// command is what the parser does with a command; which of its arguments are shown is in its table entry.
type command struct {
	name  string
	trait trait
}

// special are the commands that change how replies are read.
var special = func() map[*rediscommand.Command]*command {
	m := map[*rediscommand.Command]*command{}
	for t, names := range map[trait][]string{
		traitBlock: {
			"BLPOP", "BRPOP", "BRPOPLPUSH", "BLMOVE", "BLMPOP", "BZPOPMIN", "BZPOPMAX", "BZMPOP", "XREAD", "XREADGROUP",
			"WAIT", "WAITAOF",
		},
		traitContainer: {
			"ACL", "CONFIG", "COMMAND", "CLUSTER", "MEMORY", "OBJECT", "LATENCY", "SLOWLOG", "MODULE", "PUBSUB", "XINFO", "XGROUP", "SCRIPT",
			"FUNCTION", "DEBUG", "SENTINEL",
		},
		traitClient:    {"CLIENT"},
		traitSubscribe: {"SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE"},
		traitMonitor:   {"MONITOR"},
		traitReplicate: {"SYNC", "PSYNC"},
		traitSelect:    {"SELECT"},
		traitReset:     {"RESET"},
		traitExec:      {"EXEC"},
		traitMulti:     {"MULTI"},
		traitDiscard:   {"DISCARD"},
	} {
		for _, name := range names {
			m[rediscommand.Lookup([]byte(name))] = &command{name: name, trait: t}
		}
	}
	return m
}()

// ordinary stands for commands that are read like most.
var ordinary = command{}

// lookup finds what is special of a command.
func lookup(entry *rediscommand.Command) *command {
	if c := special[entry]; c != nil {
		return c
	}
	return &ordinary
}

func equalFold(b []byte, upper string) bool {
	if len(b) != len(upper) {
		return false
	}
	for i, c := range b {
		if c >= 'a' && c <= 'z' {
			c -= 'a' - 'A'
		}
		if c != upper[i] {
			return false
		}
	}
	return true
}
