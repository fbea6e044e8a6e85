package kernel

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"

	"golang.org/x/sys/unix"
)

func writeFromFork(c *command) (reply, error) {
	duplicate, err := unix.Dup(c.FD)
	if err != nil {
		return reply{}, err
	}
	file := os.NewFile(uintptr(duplicate), "socket")
	defer file.Close()
	executable, err := os.Executable()
	if err != nil {
		return reply{}, err
	}
	order, err := json.Marshal(command{Do: "write", FD: 3, Data: c.Data})
	if err != nil {
		return reply{}, err
	}
	cmd := exec.Command(executable)
	cmd.Env = os.Environ()
	cmd.Stdin, cmd.Stderr = bytes.NewReader(order), os.Stderr
	cmd.ExtraFiles = []*os.File{file}
	if err := cmd.Run(); err != nil {
		return reply{}, err
	}
	return reply{N: cmd.Process.Pid}, nil
}
