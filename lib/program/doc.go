// Package program names what a process runs, from how it was started: the executable, and for interpreters the script,
// module, class or jar. The name becomes service.name where nobody says otherwise.
//
// Capture names a program on the node, from the arguments as they were at exec, so that the arguments need not leave
// it. The rules are pure and know three kinds of text:
//
//   - arguments ("python3 -m gunicorn shop:app"): interpreters in runner.go and a file per language, programs that run
//     other programs in launcher.go;
//   - titles that a program wrote over its arguments ("gunicorn: worker [shop]"): title.go;
//   - the path of the executable, where neither tells more: name.go.
//
// A text that looks like an address, a number or program code is no name: valid.go.
package program
