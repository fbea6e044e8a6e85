// Package selection decides what a destination gets: which services, which metrics and which attributes.
package selection
