package main

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// call is something that a request makes the service do.
type call struct {
	target *url.URL
}

func redisCall(address string) call { return call{&url.URL{Scheme: "redis", Host: address}} }

// parseCalls reads the flag -calls.
func parseCalls(text string) (groups [][]call, err error) {
	for _, group := range strings.Split(text, ";") {
		var calls []call
		for _, one := range strings.Split(group, ",") {
			if one = strings.TrimSpace(one); one == "" {
				continue
			}
			target, err := url.Parse(one)
			if err != nil {
				return nil, fmt.Errorf("call %q: %w", one, err)
			}
			if !slices.Contains([]string{"http", "redis", "grpc"}, target.Scheme) || target.Host == "" {
				return nil, fmt.Errorf("call %q: want http://HOST:PORT/PATH, redis://HOST:PORT or grpc://HOST:PORT", one)
			}
			calls = append(calls, call{target})
		}
		if len(calls) > 0 {
			groups = append(groups, calls)
		}
	}
	return groups, nil
}

func (s *service) make(id string, c call) error {
	switch c.target.Scheme {
	case "redis":
		return s.stores.remember(c.target.Host, id)
	case "grpc":
		return s.channels.take(c.target.Host, id)
	}
	target := *c.target
	query := target.Query()
	query.Set("id", id)
	target.RawQuery = query.Encode()
	response, err := s.client.Get(target.String())
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", c.target, response.Status)
	}
	return nil
}
