package redis_test

import (
	"testing"

	"millrace.dev/protocols/edge/edgetest"
	"millrace.dev/protocols/redis"
	"millrace.dev/protocols/redis/conversations"
)

func TestEdge(t *testing.T) { t.Parallel(); edgetest.Run(t, &redis.Edge, conversations.List()) }

func FuzzEdge(f *testing.F) { edgetest.Fuzz(f, &redis.Edge, conversations.List()) }
