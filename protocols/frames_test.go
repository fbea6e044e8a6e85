package protocols

import "testing"

// postgres is a protocol with everything that Frames can say.
func postgres() Frames {
	cancel := Match{Least: 8}
	for i, b := range []byte{0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f} {
		cancel.Mask[i], cancel.Value[i] = 0xff, b
	}
	return Frames{
		Header: FrameHeader{Size: 5, LengthAt: 1, LengthSize: 4, Add: 1, Most: 1 << 30},
		First:  First{Header: FrameHeader{Size: 8, LengthSize: 4, Most: 10000}, Again: []Match{cancel}, Answer: 1},
		Server: Copy{Types: map[byte]int{'D': 7, 'd': 5}},
	}
}

func TestFrames(t *testing.T) {
	t.Parallel()
	f := postgres()
	if err := f.Check(); err != nil {
		t.Fatal(err)
	}
	if f.Server.Of('D') != 7 || f.Server.Of('T') != 0 || f.Client.Of('D') != 0 {
		t.Error("numbers of bytes by type")
	}
	for _, test := range []struct {
		header FrameHeader
		bytes  string
		length uint64
		ok     bool
	}{
		{f.Header, "D\x00\x00\x01\x02", 0x103, true},
		{f.Header, "D\x00\x00\x00\x03", 4, false},
		{f.Header, "D\x7f\x00\x00\x00", 0x7f000001, false},
		{FrameHeader{Size: 4, LengthSize: 3, Little: true, Add: 4}, "\x02\x01\x00\x00", 0x106, true},
		{FrameHeader{Size: 9, LengthSize: 3, Add: 9}, "\x01\x00\x00\x00\x00\x00\x00\x00\x00", 65545, true},
		{FrameHeader{Size: 4, LengthSize: 4, Little: true}, "\xff\xff\xff\xff", 1<<32 - 1, true},
		{FrameHeader{Size: 4, LengthSize: 4, Add: -8}, "\x00\x00\x00\x01", 0, false},
	} {
		if n, ok := test.header.Length([]byte(test.bytes)); ok != test.ok || ok && n != test.length {
			t.Errorf("%q: %d, %v, want %d", test.bytes, n, ok, test.length)
		}
	}
}

func TestFramesThatCannotBe(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(f *Frames){
		"no header":       func(f *Frames) { f.Header.Size = 0 },
		"a long header":   func(f *Frames) { f.Header.Size = 17 },
		"a long length":   func(f *Frames) { f.Header.LengthSize = 5 },
		"length outside":  func(f *Frames) { f.Header.LengthAt = 2 },
		"type outside":    func(f *Frames) { f.Header.TypeAt = 5 },
		"less than heads": func(f *Frames) { f.Client.Bytes = 4 },
		"less by type":    func(f *Frames) { f.Server.Types['x'] = 1 },
		"many numbers": func(f *Frames) {
			for i := range 8 {
				f.Server.Types[byte(i)] = 100 + i
			}
		},
		"a long preface": func(f *Frames) { f.First.Bytes = 65 },
		"long again":     func(f *Frames) { f.First.Again[0].Least = 9 },
		"many again":     func(f *Frames) { f.First.Again = make([]Match, 5) },
		"again alone":    func(f *Frames) { f.First.Header = FrameHeader{} },
	} {
		f := postgres()
		change(&f)
		if f.Check() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
