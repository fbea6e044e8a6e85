package redis

import "millrace.dev/services/decoder/internal/protocol"

// keep says which arguments of a command are shown; the others are values.
type keep uint8

const (
	keepNone   keep = iota
	keepAll         // keys, options and numbers only
	keepFirst       // key, then values
	keepSecond      // key and field or member, then values
	keepPairs       // key value key value
	keepFields      // key, then field value field value
)

// Traits of commands that change how replies are read.
type trait uint8

const (
	traitNone      trait = iota
	traitContainer       // the second word is part of the name
	traitSubscribe       // confirmed by messages only
	traitMonitor
	traitReplicate // the connection becomes a replication stream
	traitSelect
	traitReset
	traitBlock // may wait for ever
	traitClient
)

type command struct {
	name  string
	keep  keep
	trait trait
}

var commands = func() map[string]*command {
	m := map[string]*command{}
	add := func(k keep, t trait, names ...string) {
		for _, n := range names {
			m[n] = &command{name: n, keep: k, trait: t}
		}
	}
	add(keepAll, traitNone,
		"GET", "DEL", "EXISTS", "EXPIRE", "EXPIREAT", "EXPIRETIME", "PEXPIRE", "PEXPIREAT", "PEXPIRETIME", "PERSIST", "TTL", "PTTL",
		"TYPE", "KEYS", "SCAN", "SSCAN", "HSCAN", "ZSCAN", "RANDOMKEY", "RENAME", "RENAMENX", "TOUCH", "UNLINK", "DUMP", "COPY", "MOVE",
		"WAIT", "WAITAOF", "SORT", "SORT_RO", "INCR", "DECR", "INCRBY", "DECRBY", "INCRBYFLOAT", "MGET", "GETRANGE", "SUBSTR", "STRLEN",
		"GETDEL", "GETEX", "LCS", "GETBIT", "BITCOUNT", "BITPOS", "BITOP", "BITFIELD_RO", "HGET", "HMGET", "HGETALL", "HKEYS", "HVALS",
		"HLEN", "HDEL", "HEXISTS", "HSTRLEN", "HRANDFIELD", "HINCRBY", "HINCRBYFLOAT", "LLEN", "LRANGE", "LINDEX", "LPOP", "RPOP", "LTRIM",
		"RPOPLPUSH", "LMOVE", "LMPOP", "SCARD", "SMEMBERS", "SPOP", "SRANDMEMBER", "SINTER", "SINTERSTORE", "SINTERCARD", "SUNION",
		"SUNIONSTORE", "SDIFF", "SDIFFSTORE", "ZCARD", "ZCOUNT", "ZRANGE", "ZRANGEBYSCORE", "ZREVRANGE", "ZREVRANGEBYSCORE",
		"ZRANGESTORE", "ZREMRANGEBYRANK", "ZREMRANGEBYSCORE", "ZPOPMIN", "ZPOPMAX", "ZMPOP", "ZUNION", "ZINTER", "ZDIFF", "ZUNIONSTORE",
		"ZINTERSTORE", "ZDIFFSTORE", "ZINTERCARD", "ZRANDMEMBER", "PFCOUNT", "PFMERGE", "GEOPOS", "GEODIST", "GEOHASH", "XLEN", "XRANGE",
		"XREVRANGE", "XDEL", "XTRIM", "XACK", "XPENDING", "XCLAIM", "XAUTOCLAIM", "XSETID", "MULTI", "EXEC", "DISCARD", "WATCH", "UNWATCH",
		"PING", "QUIT", "READONLY", "READWRITE", "ASKING", "INFO", "DBSIZE", "FLUSHALL", "FLUSHDB", "LASTSAVE", "SAVE", "BGSAVE",
		"BGREWRITEAOF", "SHUTDOWN", "ROLE", "TIME", "LOLWUT", "SWAPDB", "REPLICAOF", "SLAVEOF", "FAILOVER", "REPLCONF")
	add(keepAll, traitBlock, "BLPOP", "BRPOP", "BRPOPLPUSH", "BLMOVE", "BLMPOP", "BZPOPMIN", "BZPOPMAX", "BZMPOP", "XREAD", "XREADGROUP")
	add(keepFirst, traitNone,
		"SET", "SETNX", "GETSET", "APPEND", "SADD", "SREM", "SISMEMBER", "SMISMEMBER", "LPUSH", "RPUSH", "LPUSHX", "RPUSHX", "LINSERT",
		"LREM", "LPOS", "PFADD", "RESTORE", "RESTORE-ASKING", "GEOADD", "ZADD", "ZREM", "ZSCORE", "ZMSCORE", "ZRANK", "ZREVRANK", "ZINCRBY",
		"ZLEXCOUNT", "ZRANGEBYLEX", "ZREVRANGEBYLEX", "ZREMRANGEBYLEX", "GEORADIUS", "GEORADIUS_RO", "GEORADIUSBYMEMBER",
		"GEORADIUSBYMEMBER_RO", "GEOSEARCH", "GEOSEARCHSTORE", "PUBLISH", "SPUBLISH", "FCALL", "FCALL_RO", "EVALSHA", "EVALSHA_RO", "BITFIELD")
	add(keepSecond, traitNone, "SETEX", "PSETEX", "SETRANGE", "SETBIT", "LSET", "SMOVE", "XADD", "HSETNX")
	add(keepPairs, traitNone, "MSET", "MSETNX")
	add(keepFields, traitNone, "HSET", "HMSET")
	add(keepNone, traitNone, "AUTH", "ECHO", "EVAL", "EVAL_RO", "HELLO", "MIGRATE")
	add(keepFirst, traitContainer, "ACL", "CONFIG")
	add(keepAll, traitContainer, "COMMAND", "CLUSTER", "MEMORY", "OBJECT", "LATENCY", "SLOWLOG", "MODULE", "PUBSUB", "XINFO", "XGROUP")
	add(keepFirst, traitContainer, "SCRIPT", "FUNCTION", "DEBUG")
	add(keepAll, traitClient, "CLIENT")
	add(keepAll, traitSubscribe, "SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE")
	add(keepAll, traitMonitor, "MONITOR")
	add(keepAll, traitReplicate, "SYNC", "PSYNC")
	add(keepAll, traitSelect, "SELECT")
	add(keepAll, traitReset, "RESET")
	return m
}()

// inlineStart are the inline commands that are taken for Redis without other evidence; more of them belong to other
// protocols too.
var inlineStart = map[string]bool{"PING": true, "INFO": true, "DBSIZE": true, "MONITOR": true, "COMMAND": true, "FLUSHALL": true}

// unknown stands for commands that are not in the table (modules, newer versions): nothing but the name is shown.
var unknown = command{}

// shown reports whether argument i (1 is the first behind the name) is shown.
func (k keep) shown(i int) bool {
	switch k {
	case keepAll:
		return true
	case keepFirst:
		return i == 1
	case keepSecond:
		return i <= 2
	case keepPairs:
		return i%2 == 1
	case keepFields:
		return i == 1 || i%2 == 0
	default:
		return false
	}
}

// lookup finds a command in any case.
func lookup(name []byte) *command {
	var upper [24]byte
	if len(name) > len(upper) {
		return &unknown
	}
	for i, c := range name {
		if c >= 'a' && c <= 'z' {
			c -= 'a' - 'A'
		}
		upper[i] = c
	}
	if c := commands[string(upper[:len(name)])]; c != nil {
		return c
	}
	return &unknown
}

// look judges whether b begins with a command.
func look(b []byte, roleKnown bool) protocol.Guess {
	if b[0] == '*' {
		return lookArray(b, roleKnown)
	}
	if !roleKnown {
		return protocol.No
	}
	n := 0
	for n < len(b) && n < 12 && (b[n]|0x20) >= 'a' && (b[n]|0x20) <= 'z' {
		n++
	}
	if n == len(b) {
		for name := range inlineStart {
			if len(name) >= n && equalFold(b, name[:n]) {
				return protocol.Maybe
			}
		}
		return protocol.No
	}
	if b[n] != '\r' && b[n] != '\n' && b[n] != ' ' {
		return protocol.No
	}
	c := lookup(b[:n])
	if !inlineStart[c.name] {
		return protocol.No
	}
	for i := n; i < len(b) && i < 256; i++ {
		switch {
		case b[i] == '\n':
			return protocol.Request
		case b[i] == '{' || b[i] >= 0x7f || b[i] < ' ' && b[i] != '\r':
			return protocol.No
		}
	}
	if len(b) < 256 {
		return protocol.Maybe
	}
	return protocol.No
}

// lookArray judges "*<n> CR LF $<m> CR LF <name>".
func lookArray(b []byte, roleKnown bool) protocol.Guess {
	n, at, g := lookNumber(b, 1)
	if g != protocol.Request {
		return g
	}
	if n < 1 || n > 1<<20 {
		return protocol.No
	}
	if at == len(b) {
		return protocol.Maybe
	}
	if b[at] != '$' {
		return protocol.No
	}
	m, at, g := lookNumber(b, at+1)
	if g != protocol.Request {
		return g
	}
	if m < 1 || m > 64 {
		return protocol.No
	}
	name := b[at:min(len(b), at+m)]
	for _, c := range name {
		if c <= ' ' || c >= 0x7f {
			return protocol.No
		}
	}
	if len(name) < m {
		return protocol.Maybe
	}
	if !roleKnown && lookup(name) == &unknown {
		return protocol.No
	}
	return protocol.Request
}

// lookNumber reads a decimal number and CR LF.
func lookNumber(b []byte, at int) (n, next int, g protocol.Guess) {
	start := at
	for ; at < len(b) && at-start < 8 && b[at] >= '0' && b[at] <= '9'; at++ {
		n = n*10 + int(b[at]-'0')
	}
	switch {
	case at == len(b):
		return 0, at, protocol.Maybe
	case at == start || b[at] != '\r':
		return 0, at, protocol.No
	case at+1 == len(b):
		return 0, at, protocol.Maybe
	case b[at+1] != '\n':
		return 0, at, protocol.No
	}
	return n, at + 2, protocol.Request
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
