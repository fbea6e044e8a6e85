// Package redis is RESP2 and RESP3, which Redis and Valkey speak: how commands and replies are recognised, and what of
// them may leave the node. Package rediscommand knows the commands.
//
// redis.go judges first bytes. edge.go is the node's half: values (edge_value.go), inline commands (edge_inline.go),
// and the words of statuses and errors (edge_text.go). The decoder's half is package decode below.
//
// Understood: commands as arrays and as inline commands, replies of every type. Nesting of replies is not followed at
// the node: every value delimits itself, and nothing of their contents is kept.
package redis
