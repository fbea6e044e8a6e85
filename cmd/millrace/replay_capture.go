package main

import (
	"errors"
	"os"
)

func openCapture(file *os.File) (source, error) {
	return nil, errors.Join(errors.New("neither a recording nor a packet capture"), file.Close())
}
