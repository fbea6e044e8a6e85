package sql

// keyword is a word that the summary heeds.
type keyword uint8

const (
	none keyword = iota
	// Verbs of queries.
	kwSelect
	kwInsert
	kwUpdate
	kwDelete
	kwMerge
	kwReplace
	kwValues
	kwTable
	kwWith
	// Verbs before others.
	kwExplain
	kwPrepare
	kwDeclare
	// Verbs whose objects have kinds: CREATE TABLE.
	kwCreate
	kwAlter // also DROP, RENAME
	// Verbs before a table.
	kwTruncate // also LOCK, VACUUM, ANALYZE
	kwCopy
	kwLoad
	kwCall
	// Verbs that stand alone.
	kwAlone
	kwStart
	// What leads to targets, or away from them.
	kwFrom
	kwJoin
	kwInto
	kwUsing
	kwAs
	kwDistinct
	kwClause // WHERE, GROUP, ... end lists of tables
	kwPass   // words before a target that are not its name
	kwRecursive
	kwKind  // of an object: SCHEMA
	kwView  // VIEW, whose definition is a query
	kwOwner // USER, ROLE: kinds whose names are not shown
	kwVerbose
)

// maxKeyword is the length of the longest keyword.
const maxKeyword = 12

// lookup gives the keyword that a word is. Capitals do not matter.
func lookup(word []byte) (k keyword, capitals string) {
	if len(word) > maxKeyword {
		return none, ""
	}
	var b [maxKeyword]byte
	for i, c := range word {
		if c >= 'a' && c <= 'z' {
			c &^= 0x20
		}
		b[i] = c
	}
	e, ok := keywords[string(b[:len(word)])]
	if !ok {
		return none, ""
	}
	return e.keyword, e.text
}

type entry struct {
	keyword keyword
	text    string
}

var keywords = func() map[string]entry {
	m := map[string]entry{}
	add := func(k keyword, words ...string) {
		for _, w := range words {
			m[w] = entry{k, w}
		}
	}
	add(kwSelect, "SELECT")
	add(kwInsert, "INSERT")
	add(kwUpdate, "UPDATE")
	add(kwDelete, "DELETE")
	add(kwMerge, "MERGE")
	add(kwReplace, "REPLACE")
	add(kwValues, "VALUES")
	add(kwTable, "TABLE")
	add(kwWith, "WITH")
	add(kwExplain, "EXPLAIN")
	add(kwPrepare, "PREPARE")
	add(kwDeclare, "DECLARE")
	add(kwCreate, "CREATE")
	add(kwAlter, "ALTER", "DROP", "RENAME")
	add(kwTruncate, "TRUNCATE", "LOCK", "VACUUM", "ANALYZE", "REINDEX", "REFRESH", "OPTIMIZE", "DESCRIBE", "DESC")
	add(kwCopy, "COPY")
	add(kwLoad, "LOAD")
	add(kwCall, "CALL", "EXEC")
	add(kwAlone, "BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE", "END", "ABORT", "SET", "RESET", "SHOW", "DISCARD", "DEALLOCATE",
		"EXECUTE", "FETCH", "MOVE", "CLOSE", "LISTEN", "NOTIFY", "UNLISTEN", "CHECKPOINT", "GRANT", "REVOKE", "USE", "KILL", "FLUSH", "DO",
		"COMMENT", "CLUSTER", "SECURITY", "REASSIGN", "IMPORT", "HANDLER", "XA", "HELP", "PURGE", "UNLOCK", "CHANGE", "STOP", "CACHE",
		"INSTALL", "UNINSTALL", "SHUTDOWN", "BINLOG", "SIGNAL")
	add(kwStart, "START")
	add(kwFrom, "FROM")
	add(kwJoin, "JOIN", "STRAIGHT_JOIN")
	add(kwInto, "INTO")
	add(kwUsing, "USING")
	add(kwAs, "AS")
	add(kwDistinct, "DISTINCT")
	add(kwClause, "WHERE", "GROUP", "ORDER", "HAVING", "LIMIT", "OFFSET", "UNION", "INTERSECT", "EXCEPT", "RETURNING", "WINDOW", "FOR",
		"DEFAULT", "LIKE", "CASCADE", "RESTRICT")
	add(kwPass, "ONLY", "LATERAL", "IF", "NOT", "EXISTS", "CONCURRENTLY", "IGNORE", "LOW_PRIORITY", "HIGH_PRIORITY", "DELAYED", "QUICK",
		"TABLES", "FULL", "FREEZE", "EXTENDED", "MATERIALIZED")
	add(kwRecursive, "RECURSIVE")
	add(kwKind, "INDEX", "SEQUENCE", "FUNCTION", "PROCEDURE", "TRIGGER", "TYPE", "DOMAIN", "EXTENSION", "POLICY", "RULE", "AGGREGATE",
		"DATABASE", "SCHEMA", "EVENT", "PUBLICATION")
	add(kwView, "VIEW")
	add(kwOwner, "USER", "ROLE", "SERVER", "SUBSCRIPTION", "TABLESPACE", "SYSTEM", "OPERATOR", "CAST", "COLLATION", "CONVERSION", "LANGUAGE")
	add(kwVerbose, "VERBOSE")
	return m
}()
