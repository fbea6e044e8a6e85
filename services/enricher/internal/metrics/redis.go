package metrics

import "strconv"

var redisFields = []field{
	{"db.system.name", func(dst []byte, f *facts) []byte {
		if f.redis == nil {
			return append(dst, absent)
		}
		return appendText(dst, "redis")
	}},
	{"db.operation.name", func(dst []byte, f *facts) []byte {
		if f.redis == nil {
			return append(dst, absent)
		}
		return appendText(dst, f.redis.Command)
	}},
	{"db.namespace", func(dst []byte, f *facts) []byte {
		if f.redis == nil || f.redis.Database < 0 {
			return append(dst, absent)
		}
		var b [16]byte
		return appendText(dst, strconv.AppendInt(b[:0], int64(f.redis.Database), 10))
	}},
	{"db.response.status_code", func(dst []byte, f *facts) []byte {
		if f.redis == nil {
			return append(dst, absent)
		}
		return appendText(dst, f.redis.ErrorCode)
	}},
}
