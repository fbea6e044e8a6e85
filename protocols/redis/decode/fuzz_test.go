package decode

import (
	"testing"

	"millrace.dev/protocols/decode/decodetest"
)

func FuzzParser(f *testing.F) {
	f.Add(decodetest.Script("*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", "$5\r\nhello\r\n"))
	f.Add(decodetest.Script("*1\r\n$5\r\nMULTI\r\nPING\r\n", "+OK\r\n*2\r\n:1\r\n-ERR x\r\n", "*1\r\n$4\r\nEXEC\r\n", "%1\r\n+a\r\n*?\r\n#t\r\n.\r\n"))
	f.Add(decodetest.Script("*2\r\n$9\r\nSUBSCRIBE\r\n$1\r\na\r\n", ">3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n", "*1\r\n$7\r\nMONITOR\r\n", "+OK\r\n+1.2 [0] x\r\n"))
	f.Add(decodetest.Script("*3\r\n$6\r\nCLIENT\r\n$5\r\nREPLY\r\n$3\r\nOFF\r\n", "|1\r\n+a\r\n+b\r\n$?\r\n;1\r\nx\r\n;0\r\n"))
	f.Fuzz(func(t *testing.T, script []byte) { decodetest.Drive(t, Protocol, script) })
}
