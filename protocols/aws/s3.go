package aws

import (
	"net"
	"strings"
)

// Subresources of buckets and objects by the parameter that names them: what follows Get, Put or Delete in the
// operation.
var (
	ofBucket = map[string]string{
		"accelerate": "BucketAccelerateConfiguration", "acl": "BucketAcl", "cors": "BucketCors", "encryption": "BucketEncryption",
		"lifecycle": "BucketLifecycleConfiguration", "location": "BucketLocation", "logging": "BucketLogging",
		"notification": "BucketNotificationConfiguration", "object-lock": "ObjectLockConfiguration", "ownershipcontrols": "BucketOwnershipControls",
		"policy": "BucketPolicy", "policystatus": "BucketPolicyStatus", "publicaccessblock": "PublicAccessBlock", "replication": "BucketReplication",
		"requestpayment": "BucketRequestPayment", "tagging": "BucketTagging", "versioning": "BucketVersioning", "website": "BucketWebsite",
	}
	ofObject = map[string]string{
		"acl": "ObjectAcl", "legal-hold": "ObjectLegalHold", "retention": "ObjectRetention", "tagging": "ObjectTagging", "torrent": "ObjectTorrent",
	}
)

// Request is what the head of a request of S3 says.
type Request struct {
	Method, Host, Path, Query string
	// Copy says that the request names an object to copy.
	Copy bool
}

// Object is what a request of S3 is about.
type Object struct {
	// Operation is empty where it is not certain.
	Operation string
	// Bucket is empty where there is none, or which part of the request names it is not certain.
	Bucket string
}

// Read says which operation of S3 a request asks for.
func (r *Request) Read() Object {
	q := queryOf(r.Query)
	bucket, key, certain := r.place()
	o := Object{Operation: q.named()}
	if !certain {
		return o
	}
	o.Bucket = bucket
	if o.Operation != "" {
		return o
	}
	switch {
	case bucket == "" && r.Method == "GET":
		o.Operation = "ListBuckets"
	case bucket == "":
	case key == "":
		o.Operation = q.bucket(r.Method)
	default:
		o.Operation = q.object(r.Method, r.Copy)
	}
	return o
}

// place says which parts of a request name the bucket and the object. Requests name the bucket in the host
// (bucket.s3.region.amazonaws.com) or at the beginning of the path; with a host of somebody else's that has several
// labels it may be either.
func (r *Request) place() (bucket, key string, certain bool) {
	host := strings.ToLower(r.Host)
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	path := strings.TrimPrefix(r.Path, "/")
	before, amazon := strings.CutSuffix(strings.TrimSuffix(host, ".cn"), ".amazonaws.com")
	switch {
	case amazon:
		labels := strings.Split(before, ".")
		for i, label := range labels {
			if label == "s3" || strings.HasPrefix(label, "s3-") || strings.HasPrefix(label, "s3express-") {
				if i == 0 {
					break
				}
				return strings.Join(labels[:i], "."), path, true
			}
		}
	case strings.HasSuffix(host, ".localhost"):
		return strings.TrimSuffix(host, ".localhost"), path, true
	case net.ParseIP(strings.Trim(host, "[]")) == nil && strings.Contains(host, "."):
		return "", "", false
	}
	bucket, key, _ = strings.Cut(path, "/")
	return bucket, key, true
}

// query is the names of parameters, in lower case, and the values of some.
type query struct {
	has map[string]bool
	id  string // x-id: SDKs say the operation
}

func queryOf(text string) query {
	q := query{has: map[string]bool{}}
	for text != "" && len(q.has) < 32 {
		var pair string
		pair, text, _ = strings.Cut(text, "&")
		name, value, _ := strings.Cut(pair, "=")
		if name = strings.ToLower(name); name == "x-id" {
			q.id = value
		}
		if name == "list-type" && value != "2" {
			continue
		}
		q.has[name] = true
	}
	return q
}

// named gives the operation that parameters tell whatever the path is.
func (q *query) named() string {
	switch {
	case isOperation([]byte(q.id)):
		return q.id
	case q.has["list-type"]:
		return "ListObjectsV2"
	}
	return ""
}

// bucket gives the operation on a bucket.
func (q *query) bucket(method string) string {
	if verb := verbs[method]; verb != "" {
		for name := range q.has {
			if what := ofBucket[name]; what != "" {
				return verb + what
			}
		}
	}
	switch {
	case method == "GET" && q.has["uploads"]:
		return "ListMultipartUploads"
	case method == "GET" && q.has["versions"]:
		return "ListObjectVersions"
	case method == "POST" && q.has["delete"]:
		return "DeleteObjects"
	case method == "POST":
		return "PostObject"
	}
	return map[string]string{"GET": "ListObjects", "HEAD": "HeadBucket", "PUT": "CreateBucket", "DELETE": "DeleteBucket"}[method]
}

// object gives the operation on an object.
func (q *query) object(method string, isCopy bool) string {
	if verb := verbs[method]; verb != "" {
		for name := range q.has {
			if what := ofObject[name]; what != "" {
				return verb + what
			}
		}
	}
	switch part := q.has["uploadid"]; method {
	case "GET":
		return either(part, "ListParts", either(q.has["attributes"], "GetObjectAttributes", "GetObject"))
	case "PUT":
		return either(part, either(isCopy, "UploadPartCopy", "UploadPart"), either(isCopy, "CopyObject", "PutObject"))
	case "DELETE":
		return either(part, "AbortMultipartUpload", "DeleteObject")
	case "HEAD":
		return "HeadObject"
	case "POST":
		switch {
		case q.has["uploads"]:
			return "CreateMultipartUpload"
		case part:
			return "CompleteMultipartUpload"
		case q.has["select"]:
			return "SelectObjectContent"
		case q.has["restore"]:
			return "RestoreObject"
		}
	}
	return ""
}

var verbs = map[string]string{"GET": "Get", "PUT": "Put", "DELETE": "Delete"}

func either(yes bool, a, b string) string {
	if yes {
		return a
	}
	return b
}
