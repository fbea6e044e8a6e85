package decodertest

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"sync"

	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/decode/all"
)

// names are those of attributes of all outputs, so that exchanges of several can be compared.
var names struct {
	sync.Mutex
	list []string
}

// Without takes an attribute out of an exchange of an [Output].
func Without(x *millracev1.Exchange, name string) {
	names.Lock()
	defer names.Unlock()
	i := slices.Index(names.list, name)
	x.Attributes = slices.DeleteFunc(x.Attributes, func(a *millracev1.Attribute) bool { return int(a.Name) == i })
}

// Describe gives the attributes of x, whose names are in its batch, numbers that are the same in all outputs, and puts
// them in their order. What older versions described by a detail gets the detail that says the same, for tests to look
// into.
func Describe(x *millracev1.Exchange, of []string) {
	values := map[string]*millracev1.Attribute{}
	names.Lock()
	defer names.Unlock()
	for _, a := range x.Attributes {
		name := of[a.Name]
		i := slices.Index(names.list, name)
		if i < 0 {
			i, names.list = len(names.list), append(names.list, name)
		}
		a.Name, values[name] = uint32(i), a
	}
	slices.SortStableFunc(x.Attributes, func(a, b *millracev1.Attribute) int { return cmp.Compare(a.Name, b.Name) })
	if x.Detail != nil {
		return
	}
	if !slices.ContainsFunc(all.List, func(p decode.Protocol) bool { return p.Detail != nil && p.Number == x.Protocol }) {
		return
	}
	switch x.Family {
	case millracev1.Family_FAMILY_HTTP:
		x.Detail = &millracev1.Exchange_Http{Http: asHTTP(x, values)}
	case millracev1.Family_FAMILY_DATABASE:
		x.Detail = &millracev1.Exchange_Redis{Redis: asRedis(x, values)}
	default:
	}
}

func asHTTP(x *millracev1.Exchange, values map[string]*millracev1.Attribute) *millracev1.HttpExchange {
	text := func(name string) string { return values[name].GetText() }
	h := &millracev1.HttpExchange{
		Method: text("http.request.method"), Status: uint32(values["http.response.status_code"].GetNumber()),
		Version: text("network.protocol.version"), UserAgent: text("user_agent.original"), Host: x.ServerName,
	}
	if original := text("http.request.method_original"); original != "" {
		h.Method = original
	}
	if x.ServerPort != 0 {
		h.Host += ":" + strconv.Itoa(int(x.ServerPort))
	}
	h.Target = x.Path
	if x.Side == millracev1.Side_SIDE_SERVER {
		if query := text("url.query"); query != "" {
			h.Target += "?" + query
		}
	} else if _, query, ok := strings.Cut(text("url.full"), "?"); ok {
		h.Target += "?" + query
	}
	return h
}

func asRedis(x *millracev1.Exchange, values map[string]*millracev1.Attribute) *millracev1.RedisExchange {
	text := func(name string) string { return values[name].GetText() }
	r := &millracev1.RedisExchange{
		Command: text("db.operation.name"), Statement: text("db.query.text"), ErrorCode: text("db.response.status_code"),
		ErrorMessage: x.ErrorMessage, Database: -1, BatchSize: uint32(values["db.operation.batch.size"].GetNumber()),
	}
	if database, err := strconv.Atoi(text("db.namespace")); err == nil {
		r.Database = int32(database)
	}
	return r
}
