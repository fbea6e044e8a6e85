// Package selection decides what a destination gets: of which services, which metrics, and which attributes.
package selection
