// Package config is Millrace's configuration: one YAML file for every service, every key optional, with environment
// overrides. A key is one field of one struct here, with its default in [Default] and its documentation in the field's
// comment, from which the reference page is generated.
package config
