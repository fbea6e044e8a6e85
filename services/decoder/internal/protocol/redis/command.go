package redis

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
