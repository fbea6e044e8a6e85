// Command edge is one service of a small mesh, for tests of traces: it serves HTTP, and for each request calls what its
// flags say.
//
//	edge -listen 127.0.0.1:9000 -calls 'http://127.0.0.1:9001/b'
//	edge -listen 127.0.0.1:9001 -calls 'http://127.0.0.1:9002/c?n=1,http://127.0.0.1:9002/c?n=2' -redis 127.0.0.1:6379
//	edge -listen 127.0.0.1:9002
//
// Calls in a list with commas are made in parallel, each in a goroutine of its own; groups separated by semicolons
// follow one after another. A call is a URL with the scheme http, redis or grpc. The request's id, its query parameter
// id, is added to every call, so that a test knows which belong together; the program itself propagates nothing else,
// no trace header in particular. It prints "listening ADDRESS" when it is ready. The answer is 200 with a JSON object,
// or 502 if a call failed. GET /-/counts says how many requests it has answered and how many calls it has made; a group
// of calls counts when all of it has succeeded.
//
// edge.py beside it does the same with Python's threads, without gRPC and counts.
package main
