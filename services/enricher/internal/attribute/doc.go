// Package attribute reads what protocols add to spans: attributes that refer to the names of the message they came in
// (proto/millrace/v1/exchange.proto). It allocates for names that it has not met before, and for nothing else.
package attribute
