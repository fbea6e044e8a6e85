// Package resource gives the identity of the process behind a span: service.name and the other resource attributes.
package resource
