// Package product builds and runs Millrace as a user would: a binary, a configuration file, and the endpoints it
// serves.
package product
