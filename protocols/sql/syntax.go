package sql

// Dialect says whose rules of tokens hold.
type Dialect uint8

// Dialects.
const (
	// Generic: not known. Whatever is a literal in one of the common dialects is blanked.
	Generic Dialect = iota
	// PostgreSQL, and what speaks like it.
	PostgreSQL
	// MySQL and MariaDB.
	MySQL
)

// Known is what is known of a setting.
type Known uint8

// What is known of a setting. Where it matters and is not known, the rest of a text is blanked.
const (
	Unknown Known = iota
	Yes
	No
)

// Syntax is what a connection's statements are read by. The zero value is Generic, with all settings unknown.
type Syntax struct {
	Dialect Dialect
	// Backslash: in '...' a backslash takes the byte behind it along. PostgreSQL: standard_conforming_strings is off;
	// MySQL: NO_BACKSLASH_ESCAPES is not set.
	Backslash Known
	// DoubleQuoted: "..." is a string (MySQL without ANSI_QUOTES). PostgreSQL does not ask.
	DoubleQuoted Known
	// Bytes: a byte below 0x80 is always a character of ASCII, as in UTF-8 and ISO 8859. In Shift JIS, Big5, GBK and GB
	// 18030 it may be the second half of one.
	Bytes Known
}
