package resource

import (
	"strings"
	"testing"

	millracev1 "millrace.dev/proto/millrace/v1"
)

func TestServiceName(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		want, exe, args string
	}{
		{"shop", "/usr/bin/python3.11", "python3 /srv/app/shop.py --port 80"},
		{"shop", "/usr/bin/python3", "python3 -u -X dev shop.py"},
		{"http.server", "/usr/bin/python3", "python3 -m http.server 8000"},
		{"shop.wsgi", "/usr/bin/python3", "python3 /usr/bin/gunicorn -b 0.0.0.0:80 shop.wsgi:app"},
		{"python3", "/usr/bin/python3", "python3 -c print(1)"},
		{"python3", "/usr/bin/python3", "python3"},
		{"cart", "/usr/bin/node", "node --require ./trace.js /srv/cart.mjs"},
		{"x", "/usr/lib/jvm/bin/java", "java -Xmx1g -cp a:b -jar /opt/x.jar --server"},
		{"ShopApplication", "/usr/lib/jvm/bin/java", "java -cp /opt/* com.example.ShopApplication"},
		{"config", "/usr/bin/ruby3.1", "ruby -I lib config.ru"},
		{"index", "/usr/bin/php8.2", "php -d a=b /srv/index.php"},
		{"redis-server", "/usr/bin/redis-server", "redis-server *:6379"},
		{"nginx", "/usr/sbin/nginx (deleted)", "nginx: worker process"},
		{"comm", "", ""},
	} {
		p := &millracev1.Process{ExecutablePath: test.exe, CommandArgs: strings.Fields(test.args), Command: "comm"}
		if got := ServiceName(p); got != test.want {
			t.Errorf("%s: %q, want %q", test.args, got, test.want)
		}
		p.RuleServiceName = "rule"
		if got := ServiceName(p); got != "rule" {
			t.Errorf("with a rule: %q", got)
		}
		p.OtelServiceName = "own"
		if got := ServiceName(p); got != "own" {
			t.Errorf("with an own name: %q", got)
		}
	}
	if got := ServiceName(nil); got != "unknown_service" {
		t.Errorf("nothing known: %q", got)
	}
}

func TestEncode(t *testing.T) {
	t.Parallel()
	p := &millracev1.Process{
		Id: 12345, Node: "node-1", Pid: 42, ExecutablePath: "/usr/bin/shop", Language: "go", RuntimeVersion: "go1.26.1",
		ContainerId: strings.Repeat("ab", 32), OtelResourceAttributes: map[string]string{
			"deployment.environment.name": "test", "host.name": "lie", "service.namespace": "store",
		},
	}
	var batch millracev1.SpanBatch
	if err := batch.UnmarshalVT(Encode(p)); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, kv := range batch.Resource.Attributes {
		if _, twice := got[kv.Key]; twice {
			t.Errorf("%s twice", kv.Key)
		}
		got[kv.Key] = kv.GetStringValue()
	}
	for key, want := range map[string]string{
		"service.name": "shop", "service.namespace": "store", "service.instance.id": "node-1:42:9ix", "host.name": "node-1", "process.pid": "",
		"process.executable.path": "/usr/bin/shop", "process.executable.name": "shop", "process.runtime.version": "go1.26.1",
		"container.id": strings.Repeat("ab", 32), "telemetry.sdk.name": "millrace", "telemetry.sdk.language": "go",
		"deployment.environment.name": "test",
	} {
		if value, found := got[key]; !found || value != want {
			t.Errorf("%s = %q, want %q", key, value, want)
		}
	}
	if len(got) != 12 || batch.Version != 1 {
		t.Errorf("%d attributes, version %d", len(got), batch.Version)
	}
}

func TestServiceNameOfALink(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ want, exe, command, first string }{
		{"redis-server", "/usr/bin/redis-check-rdb", "redis-server", "redis-server 127.0.0.1:6379"},
		{"httpd", "/bin/busybox", "httpd", "httpd"},
		{"a-very-long-program-name", "/opt/multi", "a-very-long-pro", "/usr/bin/a-very-long-program-name"},
		{"postgres", "/usr/lib/postgresql/15/bin/postgres", "postgres", "postgres: writer"},
		{"server", "/srv/server", "worker-1", "/srv/server"},
		{"server", "/srv/server", "exe", "/proc/self/exe"},
	} {
		p := &millracev1.Process{ExecutablePath: test.exe, CommandArgs: []string{test.first}, Command: test.command}
		if got := ServiceName(p); got != test.want {
			t.Errorf("%+v: %q", test, got)
		}
	}
}
