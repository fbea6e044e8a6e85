package glob

import "testing"

func TestCompile(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		pattern, text string
		want          bool
	}{
		{"*", "", true},
		{"*", "a/b\nc", true},
		{"shop", "shop", true},
		{"shop", "shop2", false},
		{"*/shop", "/usr/bin/shop", true},
		{"shop-?", "shop-1", true},
		{"shop-?", "shop-12", false},
		{"{shop,cart}-*", "cart-1", true},
		{"{shop,cart}-*", "card-1", false},
		{"a,b", "a,b", true},
		{"v[0-9]", "v7", true},
		{"v[!0-9]", "v7", false},
		{"v[!0-9]", "vx", true},
		{"v[", "v[", true},
		{"a.b+", "a.b+", true},
		{"a.b", "axb", false},
		{"größe-?", "größe-ß", true},
	} {
		compiled, err := Compile(tc.pattern)
		if err != nil {
			t.Fatal(err)
		}
		if got := compiled.MatchString(tc.text); got != tc.want {
			t.Errorf("%q matches %q: %v", tc.pattern, tc.text, got)
		}
	}
	if compiled, err := Compile(""); compiled != nil || err != nil {
		t.Errorf("the empty pattern: %v, %v", compiled, err)
	}
	for _, pattern := range []string{"[z-a]", "{go"} {
		if _, err := Compile(pattern); err == nil {
			t.Errorf("%q taken", pattern)
		}
	}
}
