package main

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"sync"
)

// A terminal is where the user reads and types. It is safe for concurrent use:
// notifications and requests of the server arrive while a call is running.
type terminal struct {
	asking sync.Mutex // guards in, and is held from a prompt to its answer
	in     *bufio.Reader

	printing sync.Mutex // guards out
	out      io.Writer
}

// printf prints a line.
func (t *terminal) printf(format string, args ...any) {
	t.printing.Lock()
	defer t.printing.Unlock()
	fmt.Fprintf(t.out, format+"\n", args...)
}

// ask prints a prompt and returns the line that the user types. Nothing can
// interrupt it but the end of the input.
func (t *terminal) ask(format string, args ...any) (string, error) {
	t.asking.Lock()
	defer t.asking.Unlock()
	t.printf(format, args...)
	line, err := t.in.ReadString('\n')
	if err != nil && line == "" {
		return "", err
	}
	return strings.TrimSpace(line), nil
}
