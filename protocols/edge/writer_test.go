package edge

import "testing"

func TestWriter(t *testing.T) {
	t.Parallel()
	payload := []byte("keep secret drop tail")
	var w Writer
	w.Start(payload)
	w.Run(0, 100)
	w.Keep(0, 5)
	w.Blank(5, 11)
	w.Keep(16, 18)
	w.Run(18, 200)
	w.Keep(1, 3)
	kept, segments := w.Kept()
	if string(kept) != "keep ******"+" t"+"il" || !w.Blanked() {
		t.Errorf("kept %q", kept)
	}
	if len(segments) != 3 || segments[0] != (Segment{100, 11}) || segments[1] != (Segment{116, 2}) || segments[2] != (Segment{201, 2}) {
		t.Errorf("segments %v", segments)
	}
}
