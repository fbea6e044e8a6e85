// Package decode describes exchanges of HTTP that are calls of AWS services.
package decode

import (
	"bytes"

	"millrace.dev/protocols"
	"millrace.dev/protocols/aws"
	"millrace.dev/protocols/decode"
)

// Layer reads exchanges of HTTP.
var Layer = decode.Layer{
	Protocol: &aws.Protocol,
	Headers: []string{
		aws.HeaderSignature, aws.HeaderTarget, aws.HeaderCopy, aws.HeaderRequest, aws.HeaderRequestN, aws.HeaderError, aws.HeaderQueryError,
	},
	Target:   presigned,
	Marks:    []string{aws.HeaderSignature, aws.HeaderTarget},
	Marked:   func(value []byte) bool { return aws.Signed(value) || isTarget(value) },
	Wants:    wants,
	Describe: describe,
}

// Attributes, https://opentelemetry.io/docs/specs/semconv/cloud-providers/aws-sdk/.
var (
	attrSystem  = decode.Attribute("rpc.system.name")
	attrService = decode.Attribute("rpc.service")
	attrMethod  = decode.Attribute("rpc.method")
	attrRegion  = decode.Attribute("cloud.region")
	attrRequest = decode.Attribute("aws.request_id")
	attrBucket  = decode.Attribute("aws.s3.bucket")
)

func isTarget(value []byte) bool {
	_, _, ok := aws.Target(value)
	return ok
}

// presigned reports whether a target is signed:
// https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html.
func presigned(_, target []byte) bool {
	_, query, ok := bytes.Cut(target, []byte{'?'})
	return ok && bytes.Contains(query, []byte("X-Amz-Algorithm="))
}

// call is what the head of a request says.
type call struct {
	service, operation string
	scope              aws.Scope
	object             aws.Object
}

func read(h *decode.Head) (c call, ok bool) {
	signature := h.RequestHeader(aws.HeaderSignature)
	c.scope = aws.ReadScope(signature)
	c.service = aws.Service(c.scope.Service)
	if service, operation, ok := aws.Target(h.RequestHeader(aws.HeaderTarget)); ok {
		c.service, c.operation = service, operation
		return c, true
	}
	if c.service == "" && len(signature) == 0 && presigned(nil, h.Target) && atS3(h.Host) {
		c.service = "S3"
	}
	path, query, _ := bytes.Cut(h.Target, []byte{'?'})
	switch c.service {
	case "":
		return c, false
	case "S3":
		r := aws.Request{Method: string(h.Method), Host: string(h.Host), Path: string(path), Query: string(query), Copy: h.RequestHeader(aws.HeaderCopy) != nil}
		c.object = r.Read()
		c.operation = c.object.Operation
	case "Lambda":
		if string(h.Method) == "POST" && bytes.HasPrefix(path, []byte("/2015-03-31/functions/")) && bytes.HasSuffix(path, []byte("/invocations")) {
			c.operation = "Invoke"
		}
	}
	return c, true
}

// atS3 reports whether a host is one of S3's own.
func atS3(host []byte) bool {
	return bytes.Contains(host, []byte(".amazonaws.com")) && (bytes.HasPrefix(host, []byte("s3")) || bytes.Contains(host, []byte(".s3.")) || bytes.Contains(host, []byte(".s3-")))
}

// wants needs no response.
func wants(h *decode.Head) protocols.Guess {
	if _, ok := read(h); ok {
		return protocols.Sure
	}
	return protocols.No
}

func describe(x *decode.Exchange, h *decode.Head) {
	s := &x.Said
	if h.Status != 0 {
		answered(s, h)
		return
	}
	c, _ := read(h)
	s.Family = decode.RPC
	s.Operation = append(s.Operation[:0], c.service...)
	if c.operation != "" {
		s.Operation = append(append(s.Operation, '.'), c.operation...)
	}
	s.Attributes.String(attrSystem, "aws-api")
	s.Attributes.String(attrService, c.service)
	s.Attributes.String(attrMethod, c.operation)
	s.Attributes.Text(attrRegion, c.scope.Region)
	s.Attributes.String(attrBucket, c.object.Bucket)
}

// answered adds what the response says. Where it names no error, its status is the error, as HTTP says.
func answered(s *decode.Said, h *decode.Head) {
	id := h.ResponseHeader(aws.HeaderRequest)
	if id == nil {
		id = h.ResponseHeader(aws.HeaderRequestN)
	}
	if !bytes.HasPrefix(id, []byte{'*'}) {
		s.Attributes.Text(attrRequest, id)
	}
	if h.Status < 400 || h.Status < 500 && !h.Client {
		return
	}
	for _, header := range []string{aws.HeaderError, aws.HeaderQueryError} {
		if name := aws.ErrorName(h.ResponseHeader(header)); len(name) > 0 {
			s.ErrorType = append(s.ErrorType[:0], name...)
			return
		}
	}
}
