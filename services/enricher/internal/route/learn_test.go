package route

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// generator makes values of a parameter.
type generator struct{ random *rand.Rand }

func (g generator) pick(list string) string {
	all := strings.Fields(list)
	return all[g.random.IntN(len(all))]
}

func (g generator) of(alphabet string, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = alphabet[g.random.IntN(len(alphabet))]
	}
	return string(b)
}

const (
	things = `red blue green small large vintage cotton leather summer winter shirt shoes lamp table chair phone case watch bottle jacket garden kitchen wooden
		steel glass paper linen silk amber coral ivory olive`
	givenNames = `anna bert carla dieter emma fritz gina hans inge jonas karla ludwig maria nils olga peter quirin rosa stefan tina udo vera werner xaver yvonne zoe`
	lower      = "abcdefghijklmnopqrstuvwxyz"
	mixed      = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
)

func (g generator) slug(n int) string {
	parts := make([]string, n)
	for i := range parts {
		parts[i] = g.pick(things)
	}
	return strings.Join(parts, "-")
}

// templates are paths with parameters, as ordinary services have them.
var templates = map[string]func(g generator) string{
	"slug of 2":          func(g generator) string { return "/products/" + g.slug(2) },
	"slug of 4":          func(g generator) string { return "/products/" + g.slug(4) },
	"slug, i18n":         func(g generator) string { return "/produkte/" + g.slug(2) + "/bewertungen" },
	"slug, unknown word": func(g generator) string { return "/rezeptideen/" + g.slug(3) },
	"user name":          func(g generator) string { return "/users/" + g.pick(givenNames) + g.pick(givenNames) },
	"a.b":                func(g generator) string { return "/users/" + g.pick(givenNames) + "." + g.pick(givenNames) },
	"a_b":                func(g generator) string { return "/people/" + g.pick(givenNames) + "_" + g.pick(givenNames) },
	"@name":              func(g generator) string { return "/@" + g.pick(givenNames) + g.pick(givenNames) },
	"letter":             func(g generator) string { return "/u/" + g.pick(givenNames) },
	"tag":                func(g generator) string { return "/tag/" + g.pick(things) + g.pick(things) },
	"image":              func(g generator) string { return fmt.Sprintf("/img/IMG_%d.jpg", 1000+g.random.IntN(9000)) },
	"named image":        func(g generator) string { return "/uploads/" + g.slug(2) + ".png" },
	"hashed script":      func(g generator) string { return "/static/js/main." + g.of("0123456789abcdef", 8) + ".js" },
	"hashed style":       func(g generator) string { return "/assets/index-" + g.of(mixed, 8) + ".css" },
	"chunk":              func(g generator) string { return fmt.Sprintf("/static/chunk-%d.js", g.random.IntN(1000)) },
	"blog": func(g generator) string {
		return fmt.Sprintf("/blog/2026-%02d-%02d/%s", 1+g.random.IntN(12), 1+g.random.IntN(28), g.slug(3))
	},
	"blog, parts of dates": func(g generator) string {
		return fmt.Sprintf("/%d/%02d/%02d/%s", 2000+g.random.IntN(26), 1+g.random.IntN(12), 1+g.random.IntN(28), g.slug(3))
	},
	"tenant":       func(g generator) string { return "/t/" + g.slug(2) + "/settings" },
	"tenant first": func(g generator) string { return "/" + g.pick(givenNames) + g.pick(givenNames) + "/orders" },
	"tenant, slug": func(g generator) string { return "/" + g.slug(2) + "/dashboard/overview" },
	"two variables": func(g generator) string {
		return "/orgs/" + g.slug(2) + "/repos/" + g.pick(givenNames) + g.pick(things)
	},
	"owner and name": func(g generator) string {
		return "/repos/" + g.pick(givenNames) + g.pick(things) + "/" + g.slug(2) + "/issues"
	},
	"sku": func(g generator) string {
		return fmt.Sprintf("/sku/%s-%d", g.of("ABCDEFGHIJ", 2), 100+g.random.IntN(900))
	},
	"sku, unknown": func(g generator) string {
		return fmt.Sprintf("/artikelnummer/%s%d", g.of("ABCDEFGHIJ", 2), 10+g.random.IntN(90))
	},
	"lat,lon": func(g generator) string {
		return fmt.Sprintf("/calc/%.4f,%.4f", 40+10*g.random.Float64(), 5+10*g.random.Float64())
	},
	"lat/lon": func(g generator) string {
		return fmt.Sprintf("/near/%.4f/%.4f", 40+10*g.random.Float64(), -5-10*g.random.Float64())
	},
	"phone":        func(g generator) string { return "/call/+49-" + g.of("0123456789", 3) + "-" + g.of("0123456789", 7) },
	"phone, plain": func(g generator) string { return "/call/" + g.of("0123456789", 3) + "-" + g.of("0123456789", 4) },
	"uuid": func(g generator) string {
		return "/x/" + g.of("0123456789abcdef", 8) + "-" + g.of("0123456789abcdef", 4)
	},
	"ulid":         func(g generator) string { return "/jobs/01" + g.of("0123456789ABCDEFGHJKMNPQRSTVWXYZ", 24) },
	"base64":       func(g generator) string { return "/share/" + g.of(mixed+"-_", 11) },
	"base64, long": func(g generator) string { return "/state/" + g.of(mixed+"-_", 22) + "==" },
	"letters":      func(g generator) string { return "/s/" + g.of(lower, 6) },
	"e-mail":       func(g generator) string { return "/contacts/" + g.pick(givenNames) + "%40example.org" },
	"probe":        func(g generator) string { return "/" + g.pick(things) + g.pick(things) + ".php" },
	"WordPress":    func(g generator) string { return "/wp-content/plugins/" + g.slug(2) + "/readme.txt" },
	"dots": func(g generator) string {
		return "/packages/" + g.pick(things) + "." + g.pick(things) + "." + g.pick(givenNames)
	},
	"matrix": func(g generator) string {
		return "/cars;color=" + g.pick(things) + ";max=" + g.of("0123456789", 5) + "/list"
	},
	"key-value": func(g generator) string {
		return "/config/" + g.pick(givenNames) + "." + g.pick(things) + "." + g.pick(things)
	},
	"custom verb": func(g generator) string { return "/v1/projects/" + g.slug(2) + "/topics/" + g.slug(2) },
	"words below unknown": func(g generator) string {
		return "/kiosk/" + g.pick(givenNames) + g.pick(things) + "/abteilung/" + g.pick(things) + g.pick(givenNames)
	},
}

var fixedPaths = strings.Fields(`
	/api/v1/orders /api/v2beta1/orders /api/hello.world /rpc/acme.shop.v1.Cart/AddItem /de-DE/imprint /.well-known/openid-configuration /robots.txt /oauth2/token
	/wp-login.php /metrics /web-to-lead /i18n/messages /s3/list /healthz /readyz /livez /graphql /api/graphql /users/me /users/me/settings /users/search /orders/recent
	/products/featured /en/products /fr/contact /zh-Hans-CN/help /api/v1.2/status /grpc.health.v1.Health/Check /grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo
	/acme.shop.inventory.v1.InventoryService/ListInventoryItems /favicon.ico /sitemap.xml /index.html /static/js/main.js /static/css/app.min.css /assets/logo.svg
	/xmlrpc.php /wp-admin/admin-ajax.php /wp-json/wp/v2/posts /index.php /login /logout /password-reset /auth/callback /.well-known/security.txt /.well-known/jwks.json
	/actuator/health /actuator/prometheus /debug/pprof/heap /swagger-ui/index.html /v3/api-docs /api/v1/namespaces/default/pods /_search /_cat/indices /k8s/events
	/web2py/list /api/getUserById /twirp/acme.Haberdasher/MakeHat /a/b/c /ws /socket.io/ /feed.xml /search /cart/checkout`)

// ask finds the route of a path that is there.
func ask(r *Router, rules *Rules, path string) string {
	return r.Route(rules, Request{Service: "s", Path: path, Status: 200}).Route
}

// Ordinary templates make few routes from the first request on, whatever came before, and fixed paths stay as they are
// also after all of them, if they are asked for only twice.
func TestTemplates(t *testing.T) {
	t.Parallel()
	for _, unmatched := range []string{"heuristic", "low-cardinality"} {
		for seed := range uint64(5) {
			g := generator{rand.New(rand.NewPCG(seed, 1))}
			r, rules := NewRouter(), rules(unmatched, nil)
			all := 0
			for _, name := range shuffled(g) {
				routes := map[string]bool{}
				for range 300 {
					routes[ask(r, rules, templates[name](g))] = true
				}
				most := 10
				if unmatched == "low-cardinality" {
					most++ // as many as the setting says, and the wildcard
				}
				if strings.Contains(name, "unknown") { // It was literal first where all that followed was few.
					most = 2 * most
				}
				if all += len(routes); len(routes) > most {
					t.Errorf("%s, %d, %s: %d routes, such as %.300v", unmatched, seed, name, len(routes), routes)
				}
			}
			if all > 200 {
				t.Errorf("%s, %d: %d routes in all", unmatched, seed, all)
			}
			for range 2 {
				for _, path := range fixedPaths {
					if got, want := ask(r, rules, path), strings.TrimSuffix(path, "/"); got != want {
						t.Errorf("%s, %d: %s has become %s", unmatched, seed, path, got)
					}
				}
			}
		}
	}
}

// Each template alone, and fixed paths alone.
func TestTemplateAlone(t *testing.T) {
	t.Parallel()
	for name, path := range templates {
		g := generator{rand.New(rand.NewPCG(7, 7))}
		r, rules := NewRouter(), rules("heuristic", nil)
		routes := map[string]bool{}
		last := ""
		for range 300 {
			last = ask(r, rules, path(g))
			routes[last] = true
		}
		if !strings.Contains(last, "*") && name != "matrix" {
			t.Errorf("%s: %s at last", name, last)
		}
		if len(routes) > 20 {
			t.Errorf("%s: %d routes", name, len(routes))
		}
	}
	for _, path := range fixedPaths {
		if got := ask(NewRouter(), rules("heuristic", nil), path); got != strings.TrimSuffix(path, "/") {
			t.Errorf("%s is %s", path, got)
		}
	}
}

func shuffled(g generator) []string {
	names := make([]string, 0, len(templates))
	for name := range templates {
		names = append(names, name)
	}
	for i := range names { // Maps have no order: the seed's is wanted.
		for j := range i {
			if names[j] > names[i] {
				names[i], names[j] = names[j], names[i]
			}
		}
	}
	g.random.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	return names
}

// What was refused teaches nothing, and has few routes of its own.
func TestRefused(t *testing.T) {
	t.Parallel()
	r, rules := NewRouter(), rules("heuristic", nil)
	g := generator{rand.New(rand.NewPCG(1, 1))}
	ask(r, rules, "/orders/17")
	ask(r, rules, "/api/login")
	before := r.AppendSnapshot(nil)
	for _, status := range []uint32{400, 401, 403, 404, 405, 410} {
		routes := map[string]bool{}
		for range 1000 {
			path := "/" + g.pick(things) + g.pick(givenNames) + g.pick([]string{".php", "/admin", "", "-x/setup.cgi"}[g.random.IntN(4)]+" /")
			routes[r.Route(rules, Request{Service: "s", Path: path, Status: status}).Route] = true
		}
		if len(routes) != 1 || !routes["/*"] {
			t.Errorf("%d: %v", status, routes)
		}
		for path, want := range map[string]string{
			"/orders/18": "/orders/*", "/orders": "/orders", "/api/login": "/api/login", "/api/xyzzy": "/api/*", "/api/xyzzy/b/c": "/api/*", "/": "/",
		} {
			if got := r.Route(rules, Request{Service: "s", Path: path, Status: status}).Route; got != want {
				t.Errorf("%d of %s: %s, want %s", status, path, got, want)
			}
		}
	}
	if !bytes.Equal(r.AppendSnapshot(nil), before) {
		t.Error("they were learnt from")
	}

	// What is a word of interfaces, or surely a value, has its own route before anything has answered; but only a few.
	if got := r.Route(rules, Request{Service: "s", Path: "/customers/17/invoices", Status: 401}).Route; got != "/customers/*/invoices" {
		t.Error(got)
	}
	routes := map[string]bool{}
	for _, first := range []string{"admin", "backup", "config", "db", "login", "setup"} {
		for _, second := range []string{"index.php", "login", "config.json", "17"} {
			routes[r.Route(rules, Request{Service: "s", Path: "/" + first + "/" + second, Status: 404}).Route] = true
		}
	}
	if len(routes) > usual || !routes["/*"] {
		t.Errorf("%v", routes)
	}
	if got := ask(r, rules, "/setup/login"); got != "/setup/login" {
		t.Error(got)
	}
}

// An interface of many parts whose names are not known is one: what comes again and again is fixed, also if it looked
// like values at first.
func TestManyFixed(t *testing.T) {
	t.Parallel()
	r, rules := NewRouter(), rules("heuristic", nil)
	random := rand.New(rand.NewPCG(1, 1))
	var parts []string
	for i := range 24 {
		parts = append(parts, "/backoffice/"+strings.Repeat("ba", i%5+1)+string(lower[i])+"o")
	}
	for range 20000 {
		ask(r, rules, parts[random.IntN(len(parts))])
	}
	for _, part := range parts {
		if got := ask(r, rules, part); got != part {
			t.Errorf("%s is %s", part, got)
		}
	}
}

// A state that was taken and restored in between, and a cache that was lost, give the same routes and the same state.
func TestRoutesAreOfTheLog(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		g := generator{rand.New(rand.NewPCG(seed, 2))}
		names := shuffled(g)
		rules := rules([]string{"heuristic", "low-cardinality"}[seed%2], nil)
		whole, cut := NewRouter(), NewRouter()
		for i := range 4000 {
			q := Request{Service: g.pick("a b c"), Path: templates[names[g.random.IntN(len(names))]](g), Status: 200}
			switch g.random.IntN(6) {
			case 0:
				q.Status = 404
			case 1:
				q.Path = fixedPaths[g.random.IntN(len(fixedPaths))]
			}
			if a, b := whole.Route(rules, q), cut.Route(rules, q); a != b {
				t.Fatalf("%d, %d: %s is %s, and %s after a restart", seed, i, q.Path, a.Route, b.Route)
			}
			if g.random.IntN(500) == 0 {
				snapshot := cut.AppendSnapshot(nil)
				cut = NewRouter()
				if rest, err := cut.Restore(snapshot); err != nil || len(rest) != 0 {
					t.Fatal(err, rest)
				}
				if !bytes.Equal(cut.AppendSnapshot(nil), snapshot) || !bytes.Equal(whole.AppendSnapshot(nil), snapshot) {
					t.Fatal("states differ")
				}
				for service, trie := range whole.tries {
					if n := cut.tries[service].nodes; n != trie.nodes || trie.root.size()-1 != n {
						t.Fatalf("%d nodes restored, %d before, %d counted", n, trie.nodes, trie.root.size()-1)
					}
				}
			}
		}
	}
}

// Snapshots of the first format are skipped.
func TestSkipOld(t *testing.T) {
	t.Parallel()
	old := binary.AppendUvarint(nil, 2)
	old = append(appendSized(old, "a"), 0, 1)                    // one child,
	old = append(appendSized(old, "users"), 1, 0, 0)             // that any segment follows, and nothing that
	old = append(append(appendSized(old, "b"), 0, 0), "rest"...) // a service about which nothing is known
	if rest, err := SkipOld(old); err != nil || string(rest) != "rest" {
		t.Errorf("%q, %v", rest, err)
	}
	for n := range len(old) - len("rest") {
		if _, err := SkipOld(old[:n]); err == nil {
			t.Errorf("cut at %d: taken", n)
		}
	}
}
