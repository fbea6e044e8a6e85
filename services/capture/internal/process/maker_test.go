package process

import (
	"testing"

	millracev1 "millrace.dev/proto/millrace/v1"
)

func TestMakers(t *testing.T) {
	t.Parallel()
	const hour = uint64(forgetMakers)
	of := func(id uint64) *Process { return &Process{ID: id, facts: &millracev1.Process{Id: id}} }
	fork := func(parent *Process, id, at uint64) *Process {
		child := of(id)
		child.MadeBy(parent, Maker{Process: parent.ID, Thread: 9, TimeNS: at})
		return child
	}
	server := of(1)
	if child := fork(server, 2, 5); len(child.Makers) != 0 || child.Home() != 2 {
		t.Errorf("child of a process that serves nothing: %+v, home %d", child.Makers, child.Home())
	}
	server.Serves = true
	shell := fork(server, 3, 10)
	program := fork(shell, 4, 20)
	if len(program.Makers) != 2 || program.Makers[0] != (Maker{3, 9, 0, 20}) || program.Makers[1] != (Maker{1, 9, 0, 10}) {
		t.Errorf("makers %+v", program.Makers)
	}
	if program.Home() != 1 || program.Facts().Home != 1 {
		t.Errorf("home %d, told as %d", program.Home(), program.Facts().Home)
	}
	if late := fork(shell, 5, 10+hour); len(late.Makers) != 0 || late.Home() != 5 {
		t.Errorf("made by a child that lives for long: %+v, home %d", late.Makers, late.Home())
	}
	next := program
	for id := uint64(10); id < 30; id++ {
		next = fork(next, id, id)
	}
	if len(next.Makers) != maxMakers || next.Home() != 1 {
		t.Errorf("%d makers, home %d", len(next.Makers), next.Home())
	}
	acting := of(40)
	acting.Active = true
	if acting.MadeBy(server, Maker{Process: 1}); len(acting.Makers) != 0 {
		t.Error("a process whose events went somewhere already is moved")
	}
	again := of(41)
	if again.Continue(program); again.Home() != 1 || len(again.Makers) != 2 {
		t.Error("a program that was taken for another process has lost its makers")
	}
}
