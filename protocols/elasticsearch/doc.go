// Package elasticsearch reads HTTP requests to Elasticsearch and OpenSearch: the operation and the index of a request,
// from its method and path, and the status. Bodies are not looked at: errors inside a response of status 200 (those of
// bulk) are not seen.
//
// A request is taken for one of theirs when its response says so: by the header that names the product, or, for
// endpoints that no other API is known to have, by the content type. Until then, and without a response, it is HTTP.
package elasticsearch
