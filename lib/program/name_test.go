package program

import (
	"strings"
	"testing"
)

const (
	python = "/usr/bin/python3.11"
	node   = "/usr/bin/node"
	java   = "/usr/lib/jvm/java-17/bin/java"
	ruby   = "/usr/bin/ruby3.1"
	php    = "/usr/bin/php8.2"
	dotnet = "/usr/share/dotnet/dotnet"
	erlang = "/usr/lib/erlang/erts-13.1.5/bin/beam.smp"
)

// Arguments as they were at exec. In the texts a space divides arguments.
func TestNameOfArguments(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ want, exe, args string }{
		{"shop", python, "python3 /srv/app/shop.py --port 80"},
		{"shop", python, "python3 -u -X dev -W ignore shop.py 8000"},
		{"shop", python, "python3 -Wignore -Xdev shop.py"},
		{"shop", python, "python3 -- shop.py"},
		{"shop", "/root/.pyenv/versions/3.12.1/bin/python3.12", "python shop.py 8000"},
		{"shop", "/opt/pypy/bin/pypy3.10", "pypy3 shop.py"},
		{"http.server", python, "python3 -m http.server 8000 --bind 127.0.0.1"},
		{"pkg.billing", python, "python3 -m pkg.billing"},
		{"pkg.billing", python, "python3 -um pkg.billing"},
		{"pkg.billing", python, "python3 -mpkg.billing"},
		{"pkg", python, "python3 -m pkg.__main__"},
		{"stock", python, "python3 stock 8000"},
		{"stock", python, "python3 /srv/stock/"},
		{"work", python, "python3 ."},
		{"stock", python, "python3 stock/__main__.py"},
		{"python3.11", python, "python3 -c print(1) shop.py"},
		{"python3.11", python, "python3 -ic print(1)"},
		{"python3.11", python, "python3"},
		{"python3.11", python, "python3 -"},
		{"python3.11", python, "python3 127.0.0.1:8000"},
		{"python3.11", python, "python3 8000"},
		{"shop.wsgi", python, "/usr/bin/python3 /usr/bin/gunicorn -b 0.0.0.0:80 shop.wsgi:app"},
		{"shop.wsgi", python, "python3 -m gunicorn shop.wsgi:app -b localhost:8000 -w 4"},
		{"shop.wsgi", python, "python3 -m gunicorn --chdir /srv --preload shop.wsgi"},
		{"orders-web", python, "python3 /usr/bin/gunicorn --bind=127.0.0.1:80 --name orders-web shop:app"},
		{"orders-web", python, "python3 /usr/bin/gunicorn -n orders-web shop:app"},
		{"shop", python, "python3 /usr/bin/gunicorn -k uvicorn.workers.UvicornWorker shop:create_app()"},
		{"shop", python, "python3 /usr/bin/gunicorn -b unix:/run/gunicorn.sock shop:app"},
		{"gunicorn", python, "python3 /usr/bin/gunicorn -c /etc/gunicorn.conf.py"},
		{"asgi_cart", python, "python3 /usr/bin/uvicorn asgi_cart:app --port 8000"},
		{"asgi_cart", python, "python3 /usr/bin/uvicorn --workers 2 asgi_cart:app --port 8000"},
		{"shop.main", python, "python3 -m uvicorn --factory shop.main:create --host localhost"},
		{"shop.main", python, "python3 -m uvicorn --reload --log-level info shop.main:app"},
		{"shop.asgi", python, "python3 /usr/bin/daphne -b 0.0.0.0 -p 8001 shop.asgi:application"},
		{"shop", python, "python3 /usr/bin/hypercorn -b localhost:8000 asgi:shop:app"},
		{"shop", python, "python3 /usr/bin/waitress-serve --host=127.0.0.1 --port=80 shop:app"},
		{"shop", python, "python3 /usr/bin/waitress-serve --call shop:create"},
		{"shop", python, "python3 /usr/bin/granian --interface asgi shop:app"},
		{"flaskshop", python, "python3 -m flask --app flaskshop run --port 80"},
		{"flaskshop", python, "python3 /usr/bin/flask --app=src/flaskshop.py run"},
		{"flaskshop", python, "python3 -m flask -A flaskshop:create_app() run"},
		{"flask", python, "python3 -m flask run"},
		{"proj", python, "python3 /usr/bin/celery -A proj worker -l info"},
		{"proj.celery", python, "python3 -m celery worker --app=proj.celery:app"},
		{"celery", python, "python3 /usr/bin/celery worker"},
		{"main", python, "python3 /usr/bin/fastapi run app/main.py --port 80"},
		{"dash", python, "python3 /usr/bin/streamlit run dash.py"},
		{"shop", python, "python3 -m coverage run shop.py"},
		{"shop.web", python, "python3 -m coverage run -m shop.web"},
		{"shop", python, "python3 -m debugpy --listen 5678 shop.py"},
		{"shop", python, "python3 -m cProfile -o out.prof shop.py"},
		{"shop", python, "python3 /usr/bin/poetry run python shop.py"},
		{"shop.wsgi", python, "python3 /usr/bin/pipenv run gunicorn shop.wsgi:app"},
		{"shop", python, "python3 /usr/bin/ddtrace-run gunicorn shop:app"},
		{"manage", python, "python3 manage.py runserver 0.0.0.0:8000"},

		{"server", node, "node api/server.js 8000"},
		{"server", node, "node --require ./pre.js --max-old-space-size=100 api/server.js 8000"},
		{"cart", node, "node -r dotenv/config --import ./trace.mjs /srv/cart.mjs"},
		{"work", node, "node ."},
		{"node", node, "node -e require('http')"},
		{"node", node, "node"},
		{"server", node, "node /srv/node_modules/.bin/ts-node --project tsconfig.json src/server.ts"},
		{"server", node, "node --require /x/preflight.cjs --import file:///x/loader.mjs src/server.ts"},
		{"server", node, "node /srv/node_modules/.bin/tsx watch src/server.ts"},
		{"server", node, "node /usr/bin/nodemon src/server.js"},
		{"next", node, "node /srv/node_modules/.bin/next start"},
		{"npm-cli", node, "node /usr/lib/node_modules/npm/bin/npm-cli.js start"},
		{"server", "/root/.bun/bin/bun", "bun run --hot server.ts"},
		{"server", "/root/.bun/bin/bun", "bun server.ts"},
		{"server", "/usr/bin/deno", "deno run --allow-net -c deno.json server.ts"},
		{"server", "/usr/bin/deno", "deno serve --port 80 https://example.org/x/server.ts?v=1"},

		{"x", java, "java -Xmx1g -cp a:b -jar /opt/x.jar --server"},
		{"pay-1.4.2", java, "java -XX:+UseSerialGC --add-opens java.base/java.lang=ALL-UNNAMED -Da=b -jar pay-1.4.2.jar 80"},
		{"x", java, "java -jar -Xmx1g x.jar"},
		{"PayMain", java, "java -cp cls com.acme.pay.PayMain 80"},
		{"ShopApplication", java, "java -cp /opt/* com.example.ShopApplication"},
		{"PayMain", java, "java -p mods -m pay/com.acme.pay.PayMain"},
		{"PayMain", java, "java -p mods --module=pay/com.acme.pay.PayMain"},
		{"pay", java, "java -p mods --module pay"},
		{"Pay", java, "java Pay.java 80"},
		{"Pay", java, "java --source 21 --enable-preview src/Pay.java 80"},
		{"java", java, "java @args.txt 80"},
		{"java", java, "java @args.txt serve"},
		{"x", java, "java @opts -jar x.jar"},
		{"orders", java, "java -Dspring.application.name=orders -jar app.jar"},
		{"orders", java, "java -jar app.jar --spring.application.name=orders"},
		{"tomcat", java, "java -Dcatalina.base=/srv -classpath /a.jar org.apache.catalina.startup.Bootstrap start"},
		{"work", java, "java org.springframework.boot.loader.launch.JarLauncher"},
		{"Kafka", java, "java -cp " + strings.Repeat("/opt/kafka/libs/x.jar:", 400) + " kafka.Kafka /etc/kafka.properties"},

		{"shop", dotnet, "dotnet /app/shop.dll --urls http://+:80"},
		{"shop", dotnet, "dotnet exec --runtimeconfig a.json --depsfile b.json shop.dll"},
		{"dotnet", dotnet, "dotnet run --project shop"},
		{"shop", "/usr/bin/mono-sgen", "mono --debug shop.exe"},

		{"app", ruby, "ruby rb/app.rb 80"},
		{"config", ruby, "ruby -I lib config.ru"},
		{"ruby3.1", ruby, "ruby -e puts(1)"},
		{"puma", ruby, "ruby /usr/bin/puma -t 1:2 -b tcp://127.0.0.1:80 config.ru"},
		{"shop", ruby, "ruby /usr/bin/puma --tag shop -w 2"},
		{"puma", ruby, "ruby /usr/bin/bundle exec puma -C config/puma.rb"},
		{"app", ruby, "ruby /usr/bin/bundle exec ruby app.rb"},
		{"rackup", ruby, "ruby /usr/bin/rackup config.ru -p 80"},
		{"orders", ruby, "ruby /usr/bin/rackup orders.ru"},
		{"rails", ruby, "ruby bin/rails s -p 80"},
		{"sidekiq", ruby, "ruby /usr/bin/sidekiq -q default"},

		{"index", php, "php -d a=b /srv/index.php"},
		{"php8.2", php, "php -r echo(1);"},
		{"php8.2", php, "php -S 127.0.0.1:80"},
		{"php8.2", php, "php -S 127.0.0.1:80 -t www"},
		{"shop", php, "php -S 0.0.0.0:80 -t /srv/shop/public router.php"},
		{"shop", php, "php -S localhost:80 -t shop"},
		{"shop", php, "php -S localhost:80 /srv/shop/public/index.php"},
		{"artisan", php, "php artisan serve --port 80"},
		{"php-fpm8.2", "/usr/sbin/php-fpm8.2", "php-fpm8.2 --nodaemonize --fpm-config /etc/php/8.2/fpm/php-fpm.conf"},

		{"app", "/usr/bin/perl", "perl -Ilib -MFoo script/app.pl daemon"},
		{"shop", "/usr/bin/perl", "/usr/bin/perl /usr/bin/plackup -p 80 shop.psgi"},
		{"starman", "/usr/bin/perl", "/usr/bin/perl /usr/bin/starman app.psgi"},
		{"perl", "/usr/bin/perl", "perl -e 1"},
		{"app", "/usr/bin/lua5.4", "lua -l socket app.lua"},
		{"app", "/usr/lib/R/bin/exec/R", "/usr/lib/R/bin/exec/R --no-echo --no-restore --file=app.R"},
		{"app", "/usr/bin/julia", "julia --project=. app.jl"},
		{"server", "/usr/bin/dart", "dart run bin/server.dart"},
		{"shop", erlang, "beam.smp -W w -- -root /usr/lib/erlang -progname erl -- -home /root -- -noshell -s elixir start_cli -sname shop@web1 -config x"},
		{"rabbit", erlang, "beam.smp -W w -- -root /usr/lib/erlang -progname erl -- -sname rabbit@host -s rabbit boot"},
		{"mix", erlang, "beam.smp -- -root /usr/lib/erlang -progname erl -- -home /root -- -noshell -extra /usr/bin/mix phx.server"},
		{"httpd", "/bin/busybox", "busybox httpd -f -p 127.0.0.1:80 -h www"},
		{"httpd", "/bin/busybox", "/bin/busybox httpd -f"},
		{"busybox", "/bin/busybox", "/bin/busybox"},
		{"serve", "/bin/dash", "sh -e /srv/serve.sh 80"},
		{"bash", "/bin/bash", "bash -c exec serve"},
		{"bash", "/bin/bash", "-bash"},
		{"app", "/lib64/ld-linux-x86-64.so.2", "/lib64/ld-linux-x86-64.so.2 --library-path /x /srv/app -p 80"},
		{"shop", "/usr/bin/qemu-aarch64-static", "/usr/bin/qemu-aarch64-static /usr/bin/python3 shop.py"},
		{"shop", "/usr/bin/uwsgi-core", "uwsgi --http :80 --module shop:app"},
		{"shop", "/usr/bin/uwsgi-core", "uwsgi --ini /etc/uwsgi/shop.ini"},

		{"nginx", "/usr/sbin/nginx (deleted)", "nginx -g daemon off;"},
		{"haproxy", "/usr/sbin/haproxy", "haproxy -db -f /etc/haproxy.cfg"},
		{"shop", "/memfd:shop (deleted)", "/proc/self/fd/5"},
		{"server", "/srv/server", "/proc/self/exe -p 80"},
		{"", "", ""},
	} {
		l := &Launch{Executable: test.exe, Command: "comm", Args: strings.Fields(test.args), Directory: "/srv/work"}
		if got, _ := Name(l); got != test.want {
			t.Errorf("%.200s: %q, want %q", test.args, got, test.want)
		}
	}
}

func TestNameOfTitle(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ want, exe, command, title string }{
		{"shop", python, "gunicorn", "gunicorn: master [shop:app]"},
		{"shop", python, "gunicorn", "gunicorn: worker [shop:app]"},
		{"shop.wsgi", python, "gunicorn", "gunicorn: worker [shop.wsgi:create_app()]"},
		{"orders-web", python, "gunicorn", "gunicorn: worker [orders-web]"},
		{"gunicorn", python, "gunicorn", "gunicorn: worker [127.0.0.1:80]"},
		{"proj", python, "celery", "[celeryd: celery@host:MainProcess] -active- (worker -A proj -l info)"},
		{"celery", python, "celery", "[celeryd: celery@host:ForkPoolWorker-1]"},
		{"orders", python, "python3", "orders: worker 3"},
		{"orders-worker", python, "python3", "orders-worker-3"},
		{"shop.wsgi", python, "python3", "python3 -m gunicorn shop.wsgi:app"},
		{"puma", ruby, "puma", "puma 5.6.5 (tcp://127.0.0.1:80) [work]"},
		{"puma", ruby, "ruby", "puma: cluster worker 0: 4711 [work]"},
		{"shop", ruby, "ruby", "puma: cluster worker 1: 4711 [shop]"},
		{"puma", ruby, "ruby", "puma: cluster worker 0: 4711"},
		{"sidekiq", ruby, "ruby", "sidekiq 6.5.1 work [0 of 10 busy]"},
		{"unicorn", ruby, "ruby", "unicorn master -c config/unicorn.rb -E production"},
		{"unicorn", ruby, "ruby", "unicorn worker[0] -c config/unicorn.rb"},
		{"resque", ruby, "ruby", "resque-1.26: Waiting for default"},
		{"shop", ruby, "ruby", "Passenger RubyApp: /srv/shop/public (production)"},
		{"checkout-api", node, "checkout-api", "checkout-api"},
		{"next-server", node, "next-server", "next-server (v14.0.1)"},
		{"shop", node, "node /srv/shop.j", "node /srv/shop.js"},
		{"npm", node, "npm start", "npm start"},
		{"pm2", node, "PM2 v5.3.0: God", "PM2 v5.3.0: God Daemon (/root/.pm2)"},
		{"starman", "/usr/bin/perl", "starman", "starman worker app.psgi"},
		{"app", "/usr/bin/perl", "perl", "/usr/bin/perl script/app.pl"},
		{"node", node, "node", "127.0.0.1:3000"},
		{"node", node, "node", "4711"},

		{"redis-server", "/usr/bin/redis-check-rdb", "redis-server", "redis-server 127.0.0.1:6379"},
		{"redis-server", "/usr/bin/redis-server", "redis-server", "redis-server *:6379 [cluster]"},
		{"nginx", "/usr/sbin/nginx", "nginx", "nginx: worker process"},
		{"postgres", "/usr/lib/postgresql/15/bin/postgres", "postgres", "postgres: 15/main: writer"},
		{"php-fpm8.2", "/usr/sbin/php-fpm8.2", "php-fpm8.2", "php-fpm: pool www"},
		{"uwsgi-core", "/usr/bin/uwsgi-core", "uwsgi", "shop worker"},
		{"uwsgi", "/usr/bin/uwsgi-core", "uwsgi", "uWSGI worker 1"},
		{"sshd", "/usr/sbin/sshd", "sshd", "sshd: joe [priv]"},
		{"httpd", "/bin/busybox", "httpd", "httpd"},
		{"a-very-long-program-name", "/opt/multi", "a-very-long-pro", "/usr/bin/a-very-long-program-name"},
		{"server", "/srv/server", "worker-1", "/srv/server"},
		{"server", "/srv/server", "exe", "/proc/self/exe"},
		{"my server", "/opt/my app/my server", "my server", "/opt/my app/my server"},
	} {
		for _, known := range []bool{false, true} {
			if known && strings.HasPrefix(test.title, "/") {
				continue
			}
			l := &Launch{Executable: test.exe, Command: test.command, Args: []string{test.title}, Title: known, Directory: "/srv/work"}
			if got, source := Name(l); got != test.want || source == OfParent {
				t.Errorf("%s, known as a title: %v: %q, want %q", test.title, known, got, test.want)
			}
		}
	}
}

func TestWorkersOfAParent(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"/usr/bin/python3", "-c", "from multiprocessing.spawn import spawn_main; spawn_main(tracker_fd=5, pipe_handle=7)", "--multiprocessing-fork"},
		{"/usr/bin/python3", "-E", "-c", "from multiprocessing.resource_tracker import main;main(5)"},
		{"/usr/bin/python3", "-c", "from multiprocessing.forkserver import main; main(4, 6, ['__main__'])"},
		{"/usr/bin/python3", "-m", "joblib.externals.loky.backend.popen_loky_posix", "--process-name", "x"},
	} {
		if name, source := Name(&Launch{Executable: python, Args: args}); source != OfParent || name != "python3.11" {
			t.Errorf("%q: %q, %d", args, name, source)
		}
	}
}

func TestSplitArguments(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		in, want string
		cut      bool
		title    bool
	}{
		{in: "a\x00b\x00", want: "a|b"},
		{in: "a\x00", want: "a"},
		{in: "nginx: worker process\x00\x00\x00", want: "nginx: worker process", title: true},
		{in: "nginx: master process /usr/sbin/nginx", want: "nginx: master process /usr/sbin/nginx", title: true},
		{in: "puma: cluster worker 0: 5 [x]      \x00", want: "puma: cluster worker 0: 5 [x]", title: true},
		{in: "java\x00-cp\x00/very/lo", want: "java|-cp|/very/lo", cut: true},
		{in: "/very/lo", want: "/very/lo", cut: true},
		{in: "a\x00\x00b\x00\x00", want: "a||b"},
		{in: "   \x00\x00", want: ""},
		{in: "\x00\x00", want: ""},
		{in: "", want: ""},
	} {
		args, title := Arguments([]byte(test.in), test.cut)
		if strings.Join(args, "|") != test.want || title != test.title {
			t.Errorf("%q: %q, title %v", test.in, args, title)
		}
	}
}

func TestValid(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"", "-x", "8000", "1.2.3", "127.0.0.1", "::1", "fe80::1", "localhost", "localhost:80", "db.example:5432", "*", "a=b", "a/b", "***", "a\x00b",
		"\xff", "{x}", strings.Repeat("a", 129), "print(1)", "4711", "[0]",
	} {
		if Valid(name) {
			t.Errorf("%q is a name", name)
		}
	}
	for _, name := range []string{"shop", "shop.wsgi", "my shop", "Pay$Main", "größe", "a", "v2", "orders-web_1", "feed"} {
		if !Valid(name) {
			t.Errorf("%q is no name", name)
		}
	}
}

func FuzzName(f *testing.F) {
	f.Add("/usr/bin/python3", []byte("python3\x00-m\x00gunicorn\x00a:b\x00"))
	f.Add("/usr/bin/ruby", []byte("puma: cluster worker 0: 1 [x]\x00\x00"))
	f.Add("/usr/bin/python3", []byte("python3\x00-m\x00poetry\x00run\x00poetry\x00run\x00uv\x00run\x00x"))
	f.Fuzz(func(t *testing.T, exe string, cmdline []byte) {
		args, title := Arguments(cmdline, false)
		name, source := Name(&Launch{Executable: exe, Command: "comm", Args: args, Title: title, Directory: "/"})
		if source == OfArguments && !Valid(name) {
			t.Errorf("%q", name)
		}
		if strings.Contains(name, inheritedName) {
			t.Errorf("%q", name)
		}
	})
}
