package message

// command is what is known of a command by its name.
type command uint8

const (
	anyCommand   command = iota
	onCollection         // its value is the name of a collection
	onCursor             // getMore: "collection" is
)

// commandOf looks a command up. The value of a command that is not listed never leaves the node: that of createUser is
// the name of a user.
func commandOf(name []byte) command {
	switch string(name) {
	case "find", "insert", "update", "delete", "aggregate", "count", "distinct", "findAndModify", "findandmodify", "mapReduce",
		"mapreduce", "create", "createIndexes", "drop", "dropIndexes", "deleteIndexes", "listIndexes", "collMod", "collStats",
		"collstats", "validate", "compact", "reIndex", "killCursors", "geoNear", "geoSearch", "parallelCollectionScan",
		"planCacheClear", "planCacheClearFilters", "planCacheListFilters", "planCacheSetFilter", "convertToCapped",
		"cloneCollectionAsCapped", "createSearchIndexes", "dropSearchIndex", "updateSearchIndex":
		return onCollection
	case "getMore":
		return onCursor
	}
	return anyCommand
}

// isCounted reports whether the elements of an array, or of a document sequence, with this name are the operations of a
// command.
func isCounted(name []byte) bool {
	switch string(name) {
	case "documents", "updates", "deletes", "ops":
		return true
	}
	return false
}
