package process

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"millrace.dev/lib/program"
)

// started runs a program until the end of the test. It gives the pids that the program writes, one a line, of which
// there are n.
func started(t *testing.T, dir string, env []string, n int, args ...string) []uint32 {
	t.Helper()
	command := exec.Command(args[0], args[1:]...)
	command.Dir, command.Env = dir, append(os.Environ(), env...)
	in, err := command.StdinPipe() // What it starts ends with it, at the end of this.
	if err != nil {
		t.Fatal(err)
	}
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		_ = command.Process.Kill()
		_ = command.Wait()
	})
	var pids []uint32
	for lines := bufio.NewScanner(out); len(pids) < n; {
		if !lines.Scan() {
			t.Fatalf("%q ended: %v", args, lines.Err())
		}
		pid, err := strconv.ParseUint(strings.TrimSpace(lines.Text()), 10, 32)
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, uint32(pid))
	}
	return pids
}

// scanned gives the processes as capture knows them that starts now.
func scanned(t *testing.T, pids []uint32) (found []*Process) {
	t.Helper()
	inv, err := New("node")
	if err != nil {
		t.Fatal(err)
	}
	if err := inv.Scan(); err != nil {
		t.Fatal(err)
	}
	for _, pid := range pids {
		found = append(found, inv.Known(pid))
	}
	return found
}

func write(t *testing.T, file, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// A server that writes titles over its arguments and its environment, and forks workers, has one name, the one that it
// was started under; the workers have what its environment said.
func TestTitles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	script := write(t, dir+"/orders.pl", `$| = 1; my ($master, $worker, $up) = @ARGV; $0 = $master if $master;
		for (1, 2) { if (!fork) { $0 = $worker if $worker; print "$$\n"; sleep 30 while getppid() != 1; exit } }
		print "$$\n"; <STDIN>; kill 9, -getpgrp`)
	own := []string{"OTEL_SERVICE_NAME=", "OTEL_RESOURCE_ATTRIBUTES="}
	for _, test := range []struct{ want, master, worker string }{
		{"orders", "", ""},
		{"orders", "", "orders: worker 1 of " + strings.Repeat("many, ", 200)},
		{"shop", "shop: master of " + strings.Repeat("many, ", 200), "worker of " + strings.Repeat("many, ", 200)},
		{"shop.wsgi", "gunicorn: master [shop.wsgi:app]", "gunicorn: worker [shop.wsgi:app]"},
		{"shop", "shop-0: running", ""},
	} {
		pids := started(t, dir, own, 3, "setsid", "perl", script, test.master, test.worker)
		for _, p := range scanned(t, pids) {
			if got := p.Facts().ProgramName; got != test.want {
				t.Errorf("%.60q and %.60q: %q, want %q", test.master, test.worker, got, test.want)
			}
		}
	}
}

// What the environment said at exec counts, although a title was written over it since.
func TestOverwrittenEnvironment(t *testing.T) {
	t.Parallel()
	const overwrite = `$| = 1; <STDIN> if $ARGV[0]; $0 = "cache " . ("x" x 100_000); print "$$\n"; <STDIN>`
	own := []string{"OTEL_SERVICE_NAME=cache-eu", "OTEL_RESOURCE_ATTRIBUTES=team=a"}

	// Seen at exec.
	command := exec.Command("perl", "-e", overwrite, "wait")
	command.Env = append(os.Environ(), own...)
	in, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = command.Process.Kill(); _ = command.Wait() }()
	pid := uint32(command.Process.Pid)
	inv, err := New("node")
	if err != nil {
		t.Fatal(err)
	}
	inv.Fork(pid, uint32(os.Getpid()), 0)
	inv.Exec(pid, "perl", 0)
	if _, err := in.Write([]byte("\n")); err != nil {
		t.Fatal(err)
	}
	if !bufio.NewScanner(out).Scan() {
		t.Fatal("perl ended")
	}
	overwritten(t, pid)
	for _, p := range []*Process{inv.Lookup(pid), inv.Fork(4194303, pid, 1e9)} {
		if f := p.Facts(); f.OtelServiceName != "cache-eu" || f.OtelResourceAttributes["team"] != "a" {
			t.Errorf("after it was overwritten: %v", f)
		}
	}

	// Not seen at exec: the shell that started it has the same environment.
	pids := started(t, "/", own, 1, "sh", "-c", `perl -e '`+overwrite+`'; true`)
	overwritten(t, pids[0])
	if f := scanned(t, pids)[0].Facts(); f.OtelServiceName != "cache-eu" || f.OtelResourceAttributes["team"] != "a" {
		t.Errorf("found overwritten: %v", f)
	}
}

// overwritten checks that the environment of a process cannot be read any more: else the test says nothing.
func overwritten(t *testing.T, pid uint32) {
	t.Helper()
	text, err := procfs{"/proc"}.read(pid, "environ", maxEnviron)
	if err != nil || strings.Contains(string(text), "OTEL_") {
		t.Fatalf("the environment still is there (%v)", err)
	}
}

// Children of Python's multiprocessing have the name of what started them, found at exec or later, and also after that
// has gone.
func TestMultiprocessing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	script := write(t, dir+"/billing.py", `
import multiprocessing, os, sys
def work(out, end):
    out.send(os.getpid())
    end.recv()
if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    out, inner = context.Pipe()
    end, far = context.Pipe()
    for _ in range(2): context.Process(target=work, args=(inner, far), daemon=True).start()
    for _ in range(2): print(out.recv(), flush=True)
    print(os.getpid(), flush=True)
    sys.stdin.read()
`)
	pids := started(t, dir, nil, 3, "python3", script)
	for _, p := range scanned(t, pids) {
		if p.Facts().ProgramName != "billing" {
			t.Errorf("found later: %v", p.Facts())
		}
	}
	inv, err := New("node")
	if err != nil {
		t.Fatal(err)
	}
	inv.Lookup(pids[2])
	child := inv.Fork(pids[0], pids[2], 0)
	inv.Exit(pids[2])
	inv.byPID[pids[2]].facts.ExecutablePath = "" // It is another process by now.
	if got := inv.Exec(pids[0], "", 0); got != child || got.Facts().ProgramName != "billing" {
		t.Errorf("at exec: %v", got.Facts())
	}
}

// Files of arguments are read from where the process is.
func TestJavaArgumentFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir+"/jar.txt", "-Xmx64m # memory\n-jar\n\""+dir+"/a b/pay.jar\"\n")
	write(t, dir+"/class.txt", "-cp 'a:b'\n  -Dx=y com.acme.PayMain serve")
	write(t, dir+"/deep/options.txt", "-Xmx64m")
	if err := unix.Mkfifo(dir+"/pipe", 0o644); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ want, args string }{
		{"pay", "@jar.txt 8000"},
		{"pay", "@" + dir + "/jar.txt"},
		{"PayMain", "@deep/options.txt @class.txt 8000"},
		{"x", "@deep/options.txt -jar x.jar"},
		{"java", "@missing.txt serve"},
		{"java", "@deep serve"},
		{"java", "@pipe serve"},
	} {
		l := &program.Launch{Executable: "/usr/bin/java", Args: strings.Fields("java " + test.args), Directory: dir}
		l.Args = procfs{"/proc"}.expand(uint32(os.Getpid()), l, nil)
		if got, _ := program.Name(l); got != test.want {
			t.Errorf("%q: %q, want %q", test.args, got, test.want)
		}
	}
}

// Capture may read more than the process, and must not read it because the process asks for it.
func TestMayRead(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	write(t, root+"/7/status", "Name:\tjava\nUid:\t1\t1\t1\t1000\nGid:\t1\t1\t1\t2000\n")
	write(t, root+"/8/status", "Name:\tjava\nUid:\t0\t0\t0\t0\nGid:\t1\t1\t1\t1\n")
	for _, test := range []struct {
		pid, mode, uid, gid uint32
		want                bool
	}{
		{7, 0o600, 0, 0, false},
		{7, 0o640, 0, 0, false},
		{7, 0o644, 0, 0, true},
		{7, 0o600, 1000, 0, true},
		{7, 0o200, 1000, 0, false},
		{7, 0o640, 0, 2000, true},
		{7, 0o600, 0, 2000, false},
		{7, 0o600, 1, 1, false},
		{8, 0o600, 1, 1, true},
		{9, 0o600, 0, 0, false},
	} {
		if got := (procfs{root}).mayRead(test.pid, &unix.Stat_t{Mode: test.mode, Uid: test.uid, Gid: test.gid}); got != test.want {
			t.Errorf("%+v: %v", test, got)
		}
	}
}

// pm2 runs every program under a script of its own.
func TestProcessManager(t *testing.T) {
	t.Parallel()
	l := &program.Launch{Executable: "/usr/bin/node", Args: []string{"node", "/usr/lib/node_modules/pm2/lib/ProcessContainerFork.js"}}
	l.Args = procfs{"/proc"}.expand(1, l, []byte("A=b\x00pm_exec_path=/srv/checkout.js\x00"))
	if got, _ := program.Name(l); got != "checkout" {
		t.Errorf("%q", got)
	}
}

func TestArgumentsOfFile(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ in, want string }{
		{"-jar x.jar", "-jar|x.jar"},
		{"# all of it\n-jar\t'a b.jar' # end", "-jar|a b.jar"},
		{`"a\"b" 'c\\d' e"f g"h`, `a"b|c\d|ef gh`},
		{`a#b ""`, "a#b|"},
		{"'open", "open"},
		{"", ""},
	} {
		if got := strings.Join(argumentsOfFile([]byte(test.in)), "|"); got != test.want {
			t.Errorf("%q: %q, want %q", test.in, got, test.want)
		}
	}
}

// A daemon's parent has exited when its fork is heard of.
func TestForkOfDaemon(t *testing.T) {
	t.Parallel()
	inv, err := New("node")
	if err != nil {
		t.Fatal(err)
	}
	inv.Lookup(uint32(os.Getpid()))
	pids := started(t, "/", nil, 1, "perl", "-e", `$| = 1; if (!fork) { if (!fork) { sleep 1 while getppid() == $ARGV[0]; print "$$\n"; sleep 30 } exit } wait; <STDIN>`)
	const middle = 4194303 // the one between: only its fork is known
	inv.Fork(middle, uint32(os.Getpid()), 0)
	s, err := inv.fs.stat(pids[0])
	if err != nil {
		t.Fatal(err)
	}
	var boot, monotonic unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot) != nil || unix.ClockGettime(unix.CLOCK_MONOTONIC, &monotonic) != nil {
		t.Fatal("no clock")
	}
	began := s.startTicks*(1e9/ticksPerSecond) - uint64(boot.Nano()-monotonic.Nano())
	if p := inv.Fork(pids[0], middle, began); p.Facts().ProgramName != "process.test" {
		t.Errorf("it is what its parent was: %v", p.Facts())
	}
	inv.Exit(pids[0])
	if p := inv.Fork(pids[0], middle, began-1e9); p.Facts().ProgramName != "perl" {
		t.Errorf("another fork of a process with its number: %v", p.Facts())
	}
}
