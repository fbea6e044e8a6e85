package secret

import "testing"

func TestName(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"password", "userPassword", "user_password", "USER-PASSWORD", "user[password]", "user%5Fpassword", "user%5bpass%77ord%5d", "pass%77ord",
		"APIKey", "api_key", "x-api-key", "apiKey2", "accessToken", "access_token", "token2", "AccountKey", "SharedAccessKey", "sig", "X-Goog-Signature",
		"AWSAccessKeyId", "AWS_SECRET_ACCESS_KEY", "PGPASSWORD", "jsessionid", "JSESSIONID", "PHPSESSID", "code", "otp", "pin", "--auth", "--key",
		"--pass", "-passphrase", "javax.net.ssl.keyStorePassword", "p\xc3\xa0ssword", "client.secret", "dbPass", "requirepass", "masterauth",
		"primaryauth", "auth-pass", "SAMLResponse", "DATABASE_DSN", "id_token_hint", "user.pwd", "Pw", "pAssWord",
	} {
		if !Name([]byte(name)) {
			t.Errorf("%q is not taken for a credential's name", name)
		}
	}
	for _, name := range []string{
		"page", "size", "id", "user", "userId", "q", "sort", "order_by", "monkey", "author", "passenger", "compass", "keyboard", "assign", "design",
		"pinned", "--port", "--config", "tokyo", "limit", "Offset", "filter[name]", "spring.profiles.active", "n", "a", "",
	} {
		if Name([]byte(name)) {
			t.Errorf("%q is taken for a credential's name", name)
		}
	}
}

func TestText(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"eyJhbGciOiJIUzI1NiJ9", "ghp_16C7e42F292c6912E7710c838347Ae178B4a", "123456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw", "xoxb-1234-5678-abcd",
		"XyZ1aBc9DeF3gHi5JkL7mNo2", "b4dc0ffee0ddf00db4dc0ffee0ddf00d", "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI%2FK7MDENG%2FbPxRfiCYEXAMPLEKEY",
		"01ARZ3NDEKTSV4RRFFQ69G5FAV", "s3cr3tV4lu3W1thD1g1ts", "glpat-abcdefghijkl", "%65%79J%68bGciOiJIUzI1NiJ9",
	} {
		if !Text([]byte(text)) {
			t.Errorf("%q is not taken for a token", text)
		}
	}
	for _, text := range []string{
		"550e8400-e29b-41d4-a716-446655440000", "123456789012345678901234567890", "orders", "the-10-best-laptops-of-2024", "getUserByEmailAddress",
		"oauth2AuthorizationServer", "v1", "507f1f77bcf86cd799439011", "ppppppppppppppppppppppppppppppppppppppppppppppppp", "deadbeef", "2024-11-30T16:00:00Z",
		"Go-http-client", "joe.bloggs@example.com", "com.example.OrderService", "INV-2024-000123", "sku-AB12-CD34-EF56", "",
	} {
		if Text([]byte(text)) {
			t.Errorf("%q is taken for a token", text)
		}
	}
}
