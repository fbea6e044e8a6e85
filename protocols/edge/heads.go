package edge

// HeaderUse says what is shown of the values of an HTTP header.
type HeaderUse uint8

// Uses of headers.
const (
	// HeaderUnknown is a name that is on no list: neither name nor value is shown.
	HeaderUnknown HeaderUse = iota
	// HeaderBlanked is a name that may be shown; values are not.
	HeaderBlanked
	HeaderHost
	HeaderType
	HeaderAgent
	HeaderParent
	HeaderState
	// HeaderKept is on the configuration's list of what is shown.
	HeaderKept
	// HeaderLayered is the first field that a layer needs; others follow, up to MaxLayered.
	HeaderLayered HeaderUse = 64
)

// MaxLayered is how many header fields layers may need.
const MaxLayered = 64

// Heads judges what the heads of HTTP messages say, by the configured rules, for scanners that have it in memory of
// their own. What is not to be shown is overwritten with '*', in place. Values of the type can be compared. Not safe
// for concurrent use.
type Heads interface {
	// Header says what is shown of a header by its name, in any case.
	Header(name []byte) HeaderUse
	// Begins reports whether the name of a header that is known begins with b.
	Begins(b []byte) bool
	// Value screens a whole value.
	Value(use HeaderUse, value []byte)
	// Target screens a whole target of a request in origin form, or an authority where connect is set.
	Target(target []byte, connect bool)
	// Path reports whether the beginning of a path may be shown, whatever follows; segment is its last segment, as far
	// as it goes. All shorter beginnings may be shown.
	Path(path, segment []byte) bool
	// Secret reports whether text looks like a credential, or the beginning of one.
	Secret(text []byte) bool
}

// HideAll shows nothing of any header.
type HideAll struct{}

// Header implements [Heads].
func (HideAll) Header([]byte) HeaderUse { return HeaderUnknown }

// Begins implements [Heads].
func (HideAll) Begins([]byte) bool { return false }

// Value implements [Heads].
func (HideAll) Value(_ HeaderUse, value []byte) { blank(value) }

// Target implements [Heads].
func (HideAll) Target(target []byte, _ bool) { blank(target) }

// Path implements [Heads].
func (HideAll) Path(_, _ []byte) bool { return false }

// Secret implements [Heads].
func (HideAll) Secret([]byte) bool { return true }

func blank(b []byte) {
	for n := 0; n < len(b); {
		n += copy(b[n:], stars)
	}
}
