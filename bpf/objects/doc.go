// Package objects carries the compiled objects of the kernel side, one set for each architecture, so that a build needs
// no clang.
package objects
