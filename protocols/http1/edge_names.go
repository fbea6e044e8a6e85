package http1

// Built-in names of headers that carry credentials.
var credentialHeaders = []string{
	"authorization", "proxy-authorization", "cookie", "cookie2", "set-cookie", "set-cookie2",
	"x-api-key", "api-key", "apikey", "x-apikey", "x-auth-token", "x-access-token", "x-refresh-token", "x-id-token", "x-session-token",
	"x-csrf-token", "x-xsrf-token", "x-token", "x-secret", "x-amz-security-token", "x-vault-token", "x-consul-token", "x-nomad-token",
	"x-goog-api-key", "x-goog-iam-authorization-token", "x-functions-key", "x-gitlab-token", "private-token", "job-token",
	"x-forwarded-access-token", "x-forwarded-authorization", "x-original-authorization", "x-shopify-access-token", "x-rapidapi-key",
	"ocp-apim-subscription-key", "dd-api-key", "dd-application-key", "x-honeycomb-team", "x-hub-signature", "x-hub-signature-256",
}

// Built-in names of query parameters that carry credentials.
var credentialParameters = []string{
	"token", "access_token", "refresh_token", "id_token", "auth_token", "authtoken", "auth", "authorization", "bearer", "jwt",
	"api_key", "apikey", "api-key", "access_key", "accesskey", "private_key", "client_secret", "secret", "secret_key",
	"password", "passwd", "passphrase", "pass", "pwd", "credential", "credentials", "sig", "signature",
	"session", "sessionid", "session_id", "sid", "awsaccesskeyid",
	"x-amz-signature", "x-amz-security-token", "x-amz-credential", "x-goog-signature", "x-goog-credential",
}

// Names of headers whose values Millrace uses, and what it does with them.
var usedHeaders = map[string]headerKind{
	"content-length": headerLength, "transfer-encoding": headerCoding, "host": headerHost, "content-type": headerType,
	"user-agent": headerAgent, "traceparent": headerParent, "tracestate": headerState, "upgrade": headerUpgrade,
}

// Names of headers that say nothing about who sent them. Their values are blanked.
var commonHeaders = []string{
	"accept", "accept-charset", "accept-encoding", "accept-language", "accept-ranges", "access-control-allow-credentials",
	"access-control-allow-headers", "access-control-allow-methods", "access-control-allow-origin", "access-control-expose-headers",
	"access-control-max-age", "access-control-request-headers", "access-control-request-method", "age", "allow", "alt-svc", "b3", "baggage",
	"cache-control", "connection", "content-disposition", "content-encoding", "content-language", "content-location", "content-range",
	"content-security-policy", "date", "dnt", "etag", "expect", "expires", "forwarded", "from", "if-match", "if-modified-since", "if-none-match",
	"if-range", "if-unmodified-since", "keep-alive", "last-modified", "link", "location", "max-forwards", "origin", "pragma",
	"proxy-authenticate", "proxy-connection", "range", "referer", "referrer-policy", "refresh", "retry-after", "server", "server-timing",
	"strict-transport-security", "te", "trailer", "upgrade-insecure-requests", "vary", "via", "warning", "www-authenticate",
	"x-amzn-trace-id", "x-b3-parentspanid", "x-b3-sampled", "x-b3-spanid", "x-b3-traceid", "x-content-type-options", "x-correlation-id",
	"x-forwarded-for", "x-forwarded-host", "x-forwarded-port", "x-forwarded-proto", "x-frame-options", "x-powered-by", "x-real-ip",
	"x-request-id", "x-requested-with", "x-xss-protection",
}

// Names of query parameters whose values are kept unless they look like credentials themselves.
var plainParameters = []string{
	"a", "b", "c", "i", "k", "m", "n", "p", "q", "s", "v", "x", "y", "z", "id", "ids", "page", "page_size", "pagesize", "per_page", "size", "limit",
	"offset", "start", "end", "from", "to", "since", "until", "before", "after", "cursor_type", "sort", "sort_by", "order", "order_by", "orderby",
	"direction", "dir", "filter", "fields", "include", "exclude", "expand", "format", "type", "kind", "status", "category", "name", "item", "items",
	"count", "index", "query", "search", "term", "lang", "language", "locale", "region", "country", "city", "currency", "service", "method",
	"version", "api-version", "lookback", "step", "time", "date", "year", "month", "day", "width", "height", "lat", "lon", "lng", "zoom", "full",
	"verbose", "pretty", "debug", "dry_run", "dryrun", "action", "op", "mode", "view", "tab", "namespace", "resource", "product", "sku", "color",
}

// Names of path segments behind which a credential may follow.
var credentialSegments = []string{
	"token", "tokens", "access-token", "access_token", "accesstoken", "refresh-token", "refresh_token", "auth-token", "secret", "secrets",
	"password", "passwords", "passwd", "pwd", "reset-password", "reset_password", "resetpassword", "password-reset", "password_reset", "otp", "jwt",
	"apikey", "apikeys", "api-key", "api_key", "api-keys", "api_keys", "magic-link", "magic_link", "magiclink", "verify-email", "verify_email",
	"activate", "activation", "unsubscribe", "invite", "invites", "invitation", "webhookb2", "hooks", "bearer", "passphrase", "credential",
	"credentials", "sessionid", "jsessionid", "confirm", "confirmation", "reset",
}
