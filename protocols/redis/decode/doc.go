// Package decode decodes the Redis serialization protocol, RESP2 and RESP3
// (https://redis.io/docs/latest/develop/reference/protocol-spec/).
//
// Requests are arrays of bulk strings or inline commands; replies are values of any type and depth. Bulk strings may be
// holes: their length is in front of them. Messages that answer no request (pushes, messages of subscriptions, the
// output of MONITOR) are passed over. Statements keep what names things (keys, fields, options) where the command is
// known, and show every other argument as "?".
package decode
