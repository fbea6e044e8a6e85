package databases

import (
	"bytes"
	"errors"
	"fmt"
	"sync"

	"github.com/bradfitz/gomemcache/memcache"
)

// memcached uses a server with a client of Go; the argument is its address.
func memcached(done account, arguments []string) error {
	client := memcache.New(arguments[0])
	client.MaxIdleConns = 8
	client.Timeout = 0
	for _, size := range []int{0, 10, 3000, 70_000, 900_000} {
		key := fmt.Sprint("go:", size)
		if err := client.Set(&memcache.Item{Key: key, Value: bytes.Repeat([]byte("v"), size)}); err != nil {
			return fmt.Errorf("set: %w", err)
		}
		done.add("set", -1, "")
		item, err := client.Get(key)
		if err != nil || len(item.Value) != size {
			return fmt.Errorf("get: %w", err)
		}
		done.add("gets", 1, "")
		item.Value = append(item.Value, 'w')
		if err := client.CompareAndSwap(item); err != nil {
			return fmt.Errorf("cas: %w", err)
		}
		done.add("cas", -1, "")
	}
	if _, err := client.Get("go:none"); !errors.Is(err, memcache.ErrCacheMiss) {
		return err
	}
	done.add("gets", 0, "")
	items, err := client.GetMulti([]string{"go:0", "go:10", "go:none", "go:3000"})
	if err != nil || len(items) != 3 {
		return fmt.Errorf("%d items: %w", len(items), err)
	}
	done.add("gets", 3, "")
	if _, err := client.Increment("go:10", 1); err == nil {
		return errors.New("a text was incremented")
	}
	done.add("incr", -1, "CLIENT_ERROR")
	if err := client.Delete("go:none"); !errors.Is(err, memcache.ErrCacheMiss) {
		return err
	}
	done.add("delete", -1, "")
	return memcachedAtOnce(done, client)
}

// memcachedAtOnce uses several connections at once.
func memcachedAtOnce(done account, client *memcache.Client) error {
	var group sync.WaitGroup
	failures := make([]error, 8)
	for i := range failures {
		group.Go(func() {
			key := fmt.Sprint("go:n", i)
			failures[i] = client.Set(&memcache.Item{Key: key, Value: []byte("1")})
			for range 100 {
				if _, err := client.Increment(key, 1); err != nil {
					failures[i] = err
				}
			}
		})
	}
	group.Wait()
	done["set"] += len(failures)
	done["incr"] += 100 * len(failures)
	return errors.Join(failures...)
}
