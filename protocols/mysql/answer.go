package mysql

// Class is what a packet of the server is.
type Class uint8

// Classes.
const (
	// ClassData: a row or a definition. Nothing of it is needed.
	ClassData Class = iota
	// ClassOK: the end of a result: numbers, status flags, a text.
	ClassOK
	// ClassEOF: the end of definitions or rows as servers before MySQL 5.7.5 and MariaDB write it.
	ClassEOF
	// ClassError: a code, a state, a text.
	ClassError
	// ClassCount: the number of columns.
	ClassCount
	// ClassPrepared: what a prepared statement has.
	ClassPrepared
	// ClassFile: the server asks for a file of the client.
	ClassFile
	// ClassOther: a text, or a packet of authentication.
	ClassOther
)

// Known is what is known of a capability.
type Known uint8

// What is known of a capability.
const (
	NotKnown Known = iota
	Yes
	No
)

type stage uint8

const (
	atResult      stage = iota // before OK, an error, or the number of columns
	atDefinitions              // before a definition
	atColumnsEnd               // before the EOF packet behind definitions, if there is one
	atRows
	atParameters    // before the definition of a parameter of a prepared statement
	atParametersEnd // before the EOF packet behind them
	atFieldsEnd     // before the EOF packet behind the columns of a prepared statement
	atText
	atLogin
	lastStage = iota // not a stage: what a snapshot holds is below it
)

// Answer follows the packets of the answer to a command. It needs the first bytes of each packet only.
type Answer struct {
	// DeprecateEOF is the capability of that name. Where it is not known it shows, but for the end of what prepares a
	// statement.
	DeprecateEOF Known
	// Rows of all results, and whether there was a result that has rows.
	Rows      uint64
	HasRows   bool
	Status    uint16 // of the last packet that had one
	Statement uint32 // number of the statement that was prepared
	Code      uint16 // of the error
	State     [5]byte
	Failed    bool

	kind    Kind
	stage   stage
	left    uint64 // definitions still to come
	columns uint64 // definitions that come behind those of parameters
}

// Begin begins the answer to a command of a kind.
func (a *Answer) Begin(k Kind) {
	*a = Answer{DeprecateEOF: a.DeprecateEOF, Status: a.Status, kind: k}
	switch k {
	case Fields:
		a.stage, a.left = atDefinitions, 1<<62
	case Rows:
		a.stage, a.HasRows = atRows, true
	case Text:
		a.stage = atText
	case Login:
		a.stage = atLogin
	default:
	}
}

// AtStart reports whether the next packet is the first of the answer.
func (a *Answer) AtStart() bool {
	return a.stage == atResult || a.stage == atText || a.stage == atLogin
}

// Class says what the packet is that begins with first; length is that of its payload, and not 0.
func (a *Answer) Class(length uint32, first byte) Class {
	ends := first == 0xfe && length < MaxPacket
	switch a.stage {
	case atText:
		return ClassOther
	case atLogin:
		switch first {
		case 0:
			return ClassOK
		case 0xff:
			return ClassError
		}
		return ClassOther
	case atResult:
		switch {
		case first == 0xff:
			return ClassError
		case first == 0 && a.kind == Prepared:
			return ClassPrepared
		case first == 0:
			return ClassOK
		case first == 0xfb:
			return ClassFile
		case ends && length == 5:
			return ClassEOF
		}
		return ClassCount
	default:
		switch {
		case first == 0xff && length < MaxPacket:
			return ClassError
		case ends && length == 5:
			return ClassEOF
		case ends:
			return ClassOK
		}
		return ClassData
	}
}

// Need is how many bytes of a packet of a class are needed, of which head are the first. It may grow with what is in
// head, up to 23; it is not more than length.
func Need(c Class, head []byte, length uint32) int {
	n := 1
	switch c {
	case ClassEOF:
		n = 5
	case ClassError:
		if n = 4; len(head) >= 4 && head[3] == '#' {
			n = 9
		}
	case ClassCount:
		n = 10
	case ClassPrepared:
		n = 13
	case ClassOK: // two numbers, status flags, the number of warnings
		at := 1
		for range 2 {
			if at >= len(head) {
				return int(min(uint32(at+1), length))
			}
			at += max(1, integerSize(head[at]))
		}
		n = at + 4
	default:
	}
	return int(min(uint32(n), length))
}

// Take acts on a packet of which the needed bytes are in head, as far as they are there. It reports whether the answer
// ends with it.
func (a *Answer) Take(c Class, head []byte) (done bool) {
	switch c {
	case ClassError:
		return a.fail(head)
	case ClassOK:
		a.status(okStatus(head))
		return a.resultEnds()
	case ClassEOF:
		return a.eof(head)
	case ClassCount:
		return a.count(head)
	case ClassPrepared:
		return a.prepared(head)
	case ClassFile: // what follows the file is the result
		return false
	case ClassOther:
		return a.stage == atText
	default:
		return a.data()
	}
}

func (a *Answer) fail(head []byte) bool {
	if len(head) >= 3 {
		a.Code = uint16(head[1]) | uint16(head[2])<<8
	}
	if a.Code == progressReport {
		a.Code = 0
		return false
	}
	if a.State = [5]byte{}; len(head) >= 9 && head[3] == '#' {
		copy(a.State[:], head[4:9])
	}
	a.Failed = true
	return true
}

func (a *Answer) status(v uint16, ok bool) {
	if ok {
		a.Status = v
	} else {
		a.Status &^= statusMore | statusCursor
	}
}

// okStatus reads the status flags of an OK packet.
func okStatus(head []byte) (uint16, bool) {
	at := 1
	for range 2 {
		if at >= len(head) {
			return 0, false
		}
		at += max(1, integerSize(head[at]))
	}
	if len(head) < at+2 {
		return 0, false
	}
	return uint16(head[at]) | uint16(head[at+1])<<8, true
}

func (a *Answer) eof(head []byte) bool {
	status, ok := uint16(0), len(head) >= 5
	if ok {
		status = uint16(head[3]) | uint16(head[4])<<8
	}
	switch a.stage {
	case atColumnsEnd:
		a.DeprecateEOF = No
		if a.status(status, ok); a.Status&statusCursor != 0 {
			return a.resultEnds()
		}
		a.stage = atRows
		return false
	case atParametersEnd:
		a.DeprecateEOF = No
		return a.fieldsOf(a.columns)
	case atFieldsEnd:
		return true
	default:
	}
	a.status(status, ok)
	return a.resultEnds()
}

// resultEnds goes on behind a result: the answer ends, or another follows.
func (a *Answer) resultEnds() bool {
	if a.Status&statusCursor != 0 && a.kind == Result { // the rows are fetched, by other commands
		a.HasRows = false
	}
	if a.Status&statusMore == 0 || a.kind != Result {
		return true
	}
	a.stage = atResult
	return false
}

func (a *Answer) count(head []byte) bool {
	n, size := Integer(head)
	if size == 0 || n == 0 {
		return true
	}
	a.HasRows = true
	if a.left = n; len(head) > size && head[size] == 0 { // the client has the definitions already
		a.left = 0
	}
	a.stage = atDefinitions
	if a.left == 0 {
		a.columnsEnd()
	}
	return false
}

func (a *Answer) columnsEnd() {
	if a.stage = atColumnsEnd; a.DeprecateEOF == Yes {
		a.stage = atRows
	}
}

func (a *Answer) prepared(head []byte) bool {
	if len(head) < 9 {
		return true
	}
	a.Statement = uint32(head[1]) | uint32(head[2])<<8 | uint32(head[3])<<16 | uint32(head[4])<<24
	a.columns = uint64(head[5]) | uint64(head[6])<<8
	if a.left = uint64(head[7]) | uint64(head[8])<<8; len(head) == 13 && head[12] == 0 {
		return true // no definitions follow
	}
	if a.left > 0 {
		a.stage = atParameters
		return false
	}
	return a.fieldsOf(a.columns)
}

// fieldsOf goes on before the definitions of the columns of a prepared statement.
func (a *Answer) fieldsOf(columns uint64) bool {
	if columns == 0 {
		return true
	}
	a.left, a.columns, a.stage = columns, 0, atDefinitions
	return false
}

// data acts on a row or a definition.
func (a *Answer) data() bool {
	switch a.stage {
	case atColumnsEnd: // there was no EOF packet: this is a row
		a.DeprecateEOF, a.stage = Yes, atRows
		a.Rows++
	case atRows:
		a.Rows++
	case atParametersEnd: // likewise: this is a definition
		a.DeprecateEOF = Yes
		if a.fieldsOf(a.columns) {
			return true
		}
		return a.data()
	case atParameters:
		if a.left--; a.left > 0 {
			return false
		}
		if a.columns == 0 {
			return a.lastDefinition()
		}
		if a.stage = atParametersEnd; a.DeprecateEOF == Yes {
			return a.fieldsOf(a.columns)
		}
	case atDefinitions:
		if a.left--; a.left > 0 {
			return false
		}
		if a.kind == Prepared {
			return a.lastDefinition()
		}
		a.columnsEnd()
	default:
	}
	return false
}

// lastDefinition acts on the last definition of a prepared statement. Where it is not known whether an EOF packet
// follows, the answer ends with it, and the EOF packet is passed over: see [Answer.Trails].
func (a *Answer) lastDefinition() bool {
	a.stage = atFieldsEnd
	return a.DeprecateEOF != No
}

// Trails reports whether a packet belongs to the answer that has ended: the EOF packet behind the definitions of a
// prepared statement on a connection of which the capabilities are not known.
func (a *Answer) Trails(length uint32, sequence, first byte) bool {
	return a.stage == atFieldsEnd && a.DeprecateEOF == NotKnown && length == 5 && sequence != 1 && first == 0xfe
}

// InRows reports whether the next packet may be a row.
func (a *Answer) InRows() bool { return a.stage == atRows || a.stage == atColumnsEnd }

// Forget forgets the answer; what is known of the capabilities stays.
func (a *Answer) Forget() { *a = Answer{DeprecateEOF: a.DeprecateEOF} }

// AnswerState is what [Answer.Export] gives.
type AnswerState [11]uint64

// Export gives the state of a, for [Answer.Import].
func (a *Answer) Export() (s AnswerState) {
	flags := uint64(0)
	if a.HasRows {
		flags |= 1
	}
	if a.Failed {
		flags |= 2
	}
	s = AnswerState{
		uint64(a.DeprecateEOF), a.Rows, flags, uint64(a.Status), uint64(a.Statement), uint64(a.Code), uint64(a.kind), uint64(a.stage), a.left, a.columns,
	}
	for i, c := range a.State[:] {
		s[10] |= uint64(c) << (8 * i)
	}
	return s
}

// Import takes what Export gave; false if that cannot be.
func (a *Answer) Import(s AnswerState) bool {
	*a = Answer{
		DeprecateEOF: Known(s[0]), Rows: s[1], HasRows: s[2]&1 != 0, Failed: s[2]&2 != 0, Status: uint16(s[3]), Statement: uint32(s[4]), Code: uint16(s[5]),
		kind: Kind(s[6]), stage: stage(s[7]), left: s[8], columns: s[9],
	}
	for i := range a.State {
		a.State[i] = byte(s[10] >> (8 * i))
	}
	counts := a.stage == atDefinitions || a.stage == atParameters
	return a.stage < lastStage && a.kind <= Stream && a.DeprecateEOF <= No && (!counts || a.left > 0)
}
