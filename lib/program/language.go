package program

import (
	"slices"
	"strings"
)

// python names the script or module. Short options may be joined: "-um pkg".
func (s *search) python() string {
	for {
		arg, ok := s.next()
		switch {
		case !ok, arg == "-":
			return ""
		case arg == "--":
		case arg == "--check-hash-based-pycs":
			s.next()
		case strings.HasPrefix(arg, "--"):
		case strings.HasPrefix(arg, "-"):
			i := strings.IndexAny(arg, "cmWX")
			if i < 0 {
				continue
			}
			value := arg[i+1:]
			if value == "" {
				value, _ = s.next()
			}
			switch arg[i] {
			case 'c':
				return s.pythonText(value)
			case 'm':
				return s.pythonModule(value)
			}
		default:
			return s.launched(append([]string{arg}, s.args...))
		}
	}
}

// pythonText is for program text: only that of workers has a name, their parent's.
func (s *search) pythonText(text string) string {
	if strings.HasPrefix(text, "from multiprocessing") || slices.Contains(s.args, "--multiprocessing-fork") {
		return inheritedName
	}
	return ""
}

func (s *search) pythonModule(module string) string {
	if strings.HasPrefix(module, "joblib.externals.loky") || strings.HasPrefix(module, "loky.backend") {
		return inheritedName
	}
	module = strings.TrimSuffix(module, ".__main__")
	if l := launchers[module]; l != nil {
		if found := l(s.of(s.args)); valid(found) || found == inheritedName {
			return found
		}
	}
	return module
}

var nodeValues = []string{
	"-r", "--require", "--import", "--loader", "--experimental-loader", "-C", "--conditions", "--env-file", "--title", "--icu-data-dir", "--openssl-config",
	"--input-type", "--watch-path", "--inspect-port", "--redirect-warnings", "--trace-event-categories", "--test-name-pattern", "--experimental-config-file",
	"--tsconfig", "--project", "-P", "--max-http-header-size", "--dns-result-order", "--disable-warning",
}

// node names the script.
func (s *search) node() string {
	for {
		arg, ok := s.next()
		switch {
		case !ok, arg == "-", arg == "-e", arg == "--eval", arg == "-p", arg == "--print", arg == "-pe":
			return ""
		case arg == "--":
		case slices.Contains(nodeValues, arg):
			s.next()
		case strings.HasPrefix(arg, "-"):
		default:
			return s.launched(append([]string{arg}, s.args...))
		}
	}
}

func (s *search) bun() string {
	arg, ok := s.positional("-r", "--preload", "--require", "--import", "--cwd", "-c", "--config", "--port", "--env-file", "-e", "--eval", "-p", "--print")
	if ok && (arg == "run" || arg == "x") {
		arg, ok = s.positional("--cwd", "--filter", "-c", "--config", "--port", "--env-file", "-r", "--preload")
	}
	if !ok {
		return ""
	}
	return s.launched(append([]string{arg}, s.args...))
}

func (s *search) deno() string {
	values := []string{"-c", "--config", "--import-map", "--lock", "--port", "--host", "--location", "--cert", "--seed", "--v8-flags", "--cwd", "--env-file", "-e"}
	arg, ok := s.positional(values...)
	switch {
	case !ok, arg == "eval", arg == "repl":
		return ""
	case arg == "run", arg == "serve", arg == "task", arg == "test", arg == "bench":
		if arg, ok = s.positional(values...); !ok {
			return ""
		}
	}
	arg, _, _ = strings.Cut(arg, "?")
	return s.launched(append([]string{arg}, s.args...))
}

// ruby names the script.
func (s *search) ruby() string {
	for {
		arg, ok := s.next()
		switch {
		case !ok, arg == "-", arg == "-e":
			return ""
		case arg == "--":
		case arg == "-I", arg == "-r", arg == "-C", arg == "-E", arg == "-x":
			s.next()
		case strings.HasPrefix(arg, "-"):
		default:
			return s.launched(append([]string{arg}, s.args...))
		}
	}
}

var javaValues = []string{
	"-cp", "-classpath", "--class-path", "-p", "--module-path", "--add-modules", "--add-opens", "--add-exports", "--add-reads", "--patch-module",
	"--upgrade-module-path", "--limit-modules", "--enable-native-access", "--source", "-d", "--describe-module",
}

// classes that start another program, which they are not named after.
var javaStarters = map[string]string{
	"org.apache.catalina.startup.Bootstrap":                     "tomcat",
	"org.eclipse.jetty.start.Main":                              "jetty",
	"org.springframework.boot.loader.JarLauncher":               "",
	"org.springframework.boot.loader.WarLauncher":               "",
	"org.springframework.boot.loader.launch.JarLauncher":        "",
	"org.springframework.boot.loader.launch.WarLauncher":        "",
	"org.springframework.boot.loader.PropertiesLauncher":        "",
	"org.springframework.boot.loader.launch.PropertiesLauncher": "",
}

// java names what is set as the name, else the jar, the module's class or the class. Files of arguments ("@file") stand
// replaced by what they hold; where one does not, what follows may be arguments of the program.
func (s *search) java() string {
	for _, property := range []string{"-Dotel.service.name=", "-Dspring.application.name=", "--spring.application.name="} {
		for _, arg := range s.args {
			if name, found := strings.CutPrefix(arg, property); found && valid(name) {
				return name
			}
		}
	}
	jar, hidden := false, false
	for {
		arg, ok := s.next()
		switch {
		case !ok:
			return ""
		case strings.HasPrefix(arg, "@"):
			hidden = true
		case arg == "-jar":
			jar = true
		case arg == "-m" || arg == "--module":
			module, _ := s.next()
			return className(module)
		case strings.HasPrefix(arg, "--module="):
			return className(strings.TrimPrefix(arg, "--module="))
		case slices.Contains(javaValues, arg):
			s.next()
		case strings.HasPrefix(arg, "-"):
		case jar, strings.HasSuffix(arg, ".java"):
			return s.stem(arg)
		case hidden:
			return ""
		default:
			if name, starter := javaStarters[arg]; starter {
				return s.javaStarter(name)
			}
			return className(arg)
		}
	}
}

// javaStarter names a program whose main class only starts it: by its directory where it is not the starter's own.
func (s *search) javaStarter(name string) string {
	if name != "" {
		return name
	}
	switch at := served(s.directory, s.directory); at {
	case "app", "application", "workspace", "srv", "opt", "home", "root":
		return ""
	default:
		return at
	}
}

// className shortens com.example.shop.ShopApplication, also behind a module, to ShopApplication.
func className(arg string) string {
	arg = arg[strings.LastIndexByte(arg, '/')+1:]
	return arg[strings.LastIndexByte(arg, '.')+1:]
}
