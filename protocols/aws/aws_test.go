package aws

import (
	"bytes"
	"testing"

	"millrace.dev/protocols/aws/conversations"
	"millrace.dev/protocols/edge"
	"millrace.dev/protocols/edge/edgetest"
	"millrace.dev/protocols/http1"
)

func TestScope(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		"AWS4-HMAC-SHA256 Credential=A/20261201/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=ab": "us-east-1 s3",
		"AWS4-HMAC-SHA256 Credential=a/b/20261201/us-gov-west-1/sqs/aws4_request,SignedHeaders=host":         "us-gov-west-1 sqs",
		"AWS4-HMAC-SHA256 SignedHeaders=host, Credential=A/20261201/auto/s3/aws4_request":                    "auto s3",
		"AWS4-ECDSA-P256-SHA256 Credential=A/20261201/s3/aws4_request, SignedHeaders=host":                   " s3",
		"AWS4-HMAC-SHA256 Credential=A/20261201/nowhere/s3/aws4_request":                                     " s3",
		"AWS4-HMAC-SHA256 Credential=A/20261201/us-east-1/execute-api/aws4_request":                          " ",
		"AWS4-HMAC-SHA256 Credential=A/20261201/us-east-1/s3/other":                                          " ",
		"AWS4-HMAC-SHA256 Credential=20261201/us-east-1/s3/aws4_request":                                     " ",
		"AWS4-HMAC-SHA512 Credential=A/20261201/us-east-1/s3/aws4_request":                                   " ",
		"Basic Credential=A/20261201/us-east-1/s3/aws4_request":                                              " ",
		"AWS4-HMAC-SHA256": " ",
	} {
		s := ReadScope([]byte(value))
		shown := []byte(value)
		screenSignature(shown, func(b []byte) { copy(b, bytes.Repeat([]byte{'*'}, len(b))) })
		if left := ReadScope(shown); string(left.Region) != string(s.Region) || string(left.Service) != string(s.Service) {
			t.Errorf("of %q leaves %q, which says another scope", value, shown)
		}
		if got := string(s.Region) + " " + string(s.Service); got != want {
			t.Errorf("%q has scope %q, want %q", value, got, want)
		}
	}
}

func TestS3(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ method, host, target, operation, bucket string }{
		{"GET", "127.0.0.1:9000", "/", "ListBuckets", ""},
		{"GET", "s3.us-east-1.amazonaws.com", "/", "ListBuckets", ""},
		{"GET", "minio:9000", "/b?list-type=2&prefix=a", "ListObjectsV2", "b"},
		{"GET", "minio:9000", "/b/", "ListObjects", "b"},
		{"GET", "b.s3.eu-west-3.amazonaws.com", "/?list-type=2", "ListObjectsV2", "b"},
		{"GET", "a.b.s3.amazonaws.com.cn", "/k", "GetObject", "a.b"},
		{"PUT", "b.localhost:9000", "/a/b", "PutObject", "b"},
		{"PUT", "[::1]:9000", "/b/k?partNumber=1&uploadId=**", "UploadPart", "b"},
		{"POST", "minio", "/b/k?uploads", "CreateMultipartUpload", "b"},
		{"POST", "minio", "/b/k?uploads=", "CreateMultipartUpload", "b"},
		{"POST", "minio", "/b/k?uploadId=**", "CompleteMultipartUpload", "b"},
		{"DELETE", "minio", "/b/k?uploadId=**", "AbortMultipartUpload", "b"},
		{"DELETE", "minio", "/b/k?x-id=DeleteObject", "DeleteObject", "b"},
		{"POST", "minio", "/b?delete", "DeleteObjects", "b"},
		{"GET", "minio", "/b?location", "GetBucketLocation", "b"},
		{"PUT", "minio", "/b?publicAccessBlock", "PutPublicAccessBlock", "b"},
		{"HEAD", "minio", "/b", "HeadBucket", "b"},
		{"HEAD", "minio", "/b/k", "HeadObject", "b"},
		{"GET", "minio", "/b/k?attributes", "GetObjectAttributes", "b"},
		{"DELETE", "minio", "/b/k?tagging", "DeleteObjectTagging", "b"},
		// Which part names the bucket is not certain.
		{"GET", "files.example.org", "/b/k", "", ""},
		{"GET", "files.example.org", "/b/k?x-id=GetObject", "GetObject", ""},
		{"PUT", "minio", "/", "", ""},
	} {
		path, query, _ := bytes.Cut([]byte(c.target), []byte("?"))
		r := Request{Method: c.method, Host: c.host, Path: string(path), Query: string(query)}
		if o := r.Read(); o.Operation != c.operation || o.Bucket != c.bucket {
			t.Errorf("%s %s at %s is %v", c.method, c.target, c.host, o)
		}
	}
	r := Request{Method: "PUT", Host: "h", Path: "/b/k", Copy: true}
	if o := r.Read(); o.Operation != "CopyObject" {
		t.Errorf("a copy is %v", o)
	}
}

// TestEdge: what the conversations call secret stays on the node, over HTTP/1, however they are cut.
func TestEdge(t *testing.T) {
	t.Parallel()
	rules := edge.Rules{Enable: true, Literals: true, Layers: []*edge.Layer{&Edge}}
	edgetest.RunOn(t, edgetest.Follow(&http1.Edge, &rules), true, conversations.List())
}

// FuzzSignature: whatever stands in Authorization, nothing leaves but the words of a scope.
func FuzzSignature(f *testing.F) {
	f.Add("AWS4-HMAC-SHA256 Credential=AKIAQ3EGRZX5EXAMPLEQ/20261201/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=ab")
	f.Add("AWS4-ECDSA-P256-SHA256 Signature=x,Credential=A/B/20261201/s3/aws4_request x")
	f.Fuzz(func(t *testing.T, text string) {
		value := []byte(text)
		screenSignature(value, func(b []byte) {
			for i := range b {
				b[i] = '*'
			}
		})
		if len(value) != len(text) {
			t.Fatal("the length changes")
		}
		shown := value
		for _, name := range algorithms {
			shown = bytes.TrimPrefix(shown, name)
		}
		shown = bytes.Trim(shown, " *")
		shown = bytes.Trim(bytes.Replace(shown, []byte(credential), nil, 1), " \t,*")
		if len(shown) == 0 {
			return
		}
		parts := bytes.Split(bytes.Trim(shown, "/"), []byte("/"))
		n := len(parts)
		if n < 3 || n > 4 || !isDate(parts[0]) || !known(string(parts[n-2])) || string(parts[n-1]) != terminator ||
			n == 4 && !isRegion(parts[1]) && len(bytes.Trim(parts[1], "*")) > 0 {
			t.Errorf("%q shows %q", text, value)
		}
		for _, b := range [][]byte{value, []byte(text)} {
			ReadScope(b)
			_, _, _ = Target(b)
			ErrorName(b)
		}
	})
}

// FuzzS3: no request makes it fail, and what is said of it is of the tables.
func FuzzS3(f *testing.F) {
	f.Add("GET", "minio:9000", "/b/k", "list-type=2&x-id=GetObject")
	f.Fuzz(func(t *testing.T, method, host, path, query string) {
		r := Request{Method: method, Host: host, Path: path, Query: query}
		if o := r.Read(); o.Operation != "" && !isOperation([]byte(o.Operation)) {
			t.Errorf("operation %q", o.Operation)
		}
	})
}
