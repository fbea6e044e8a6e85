// Package sql reads statements of SQL as they stand in the messages of databases: it blanks literals at the node, and
// makes the normal form and the summary of a statement in the decoder. It knows tokens, not grammar.
//
// [Blanker] overwrites literals in place. Its rule is default-deny: it overwrites every byte that belongs to a literal
// by any reading of the dialect that the connection may use. What it writes lexes to the same tokens again, so that
// blanking twice changes nothing, and so that [Statement] reads blanked texts as it reads others.
//
//	SELECT * FROM t WHERE a = 'it''s' AND b > 12.5 -- why
//	SELECT * FROM t WHERE a = '**''*' AND b > 0000 --****
//
// Sources: PostgreSQL's documentation, chapter 4.1 (lexical structure), and src/backend/parser/scan.l; MySQL's
// reference manual, chapter 11 (language structure); MariaDB's, "SQL Language Structure"; OpenTelemetry's semantic
// conventions for database client spans, "Generating a summary of the query".
package sql
