// Package wire reads protobuf messages field by field without allocating. Hot paths use it where the generated code
// would make an object of every message and a string of every text.
package wire
