// Package conversations is how clients call AWS services, with secrets planted, for tests.
package conversations

import "millrace.dev/protocols/edge/edgetest"

// Secrets of the conversations.
const (
	keyID     = "AKIAQ3EGRZX5EXAMPLEQ"
	signature = "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
	session   = "IQoJb3JpZ2luX2VjEJr//////////wEaCXVzLWVhc3QtMSJHMEUCIQ"
	body      = "{\"TableName\":\"patients\",\"Key\":{\"id\":{\"S\":\"Hunter2-Correct-Horse\"}}}"
	upload    = "VXBsb2FkIElEIGZvciA2aWWpbmcncyBteS1tb3ZpZS5tMnRzIHVwbG9hZA"
)

// Signature is an Authorization for a region and a service.
func Signature(scope string) string {
	return "Authorization: AWS4-HMAC-SHA256 Credential=" + keyID + "/20261201/" + scope +
		"/aws4_request, SignedHeaders=host;x-amz-date;x-amz-x9f8q7w6, Signature=" + signature + "\r\n"
}

// List gives the conversations.
func List() []edgetest.Conversation {
	c, s := edgetest.Client, edgetest.Server
	return []edgetest.Conversation{{
		Name: "aws",
		Pieces: []edgetest.Piece{
			c("POST / HTTP/1.1\r\nHost: dynamodb.us-east-1.amazonaws.com\r\n" + Signature("us-east-1/dynamodb") +
				"X-Amz-Target: DynamoDB_20120810.GetItem\r\nX-Amz-Security-Token: " + session + "\r\nContent-Length: 69\r\n\r\n" + body),
			s("HTTP/1.1 400 Bad\r\nx-amzn-RequestId: 6d2f1f7b-9b5b-4b0e-8a4c-0c8f5f1e2d3c\r\n" +
				"x-amzn-ErrorType: ResourceNotFoundException:http://internal/" + session + "\r\nContent-Length: 69\r\n\r\n" + body),
			c("PUT /bucket/key?partNumber=2&uploadId=" + upload + " HTTP/1.1\r\nHost: 127.0.0.1:9000\r\n" + Signature("us-east-1/s3") +
				"Content-Length: 69\r\n\r\n" + body),
			s("HTTP/1.1 200 OK\r\nx-amz-request-id: " + session + "\r\nContent-Length: 0\r\n\r\n"),
			c("GET /bucket/key?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=" + keyID + "%2F20261201&X-Amz-Signature=" + signature +
				" HTTP/1.1\r\nHost: s3.us-east-1.amazonaws.com\r\n\r\n"),
			s("HTTP/1.1 204 None\r\nx-amz-request-id: 4442587FB7D0A2F9\r\n\r\n"),
			c("GET / HTTP/1.1\r\nHost: h\r\nAuthorization: AWS4-HMAC-SHA256 Credential=" + keyID + "/" + session + "/s3\r\nX-Amz-Target: " +
				session + ".Get" + session + "\r\n\r\n"),
		},
		Secrets: []string{keyID, signature, session, body, upload, "x9f8q7w6"},
		Kept: []string{
			"/20261201/us-east-1/dynamodb/aws4_request,***", "X-Amz-Target: DynamoDB_20120810.GetItem", "x-amzn-ErrorType: ResourceNotFoundException*",
			"6d2f1f7b-9b5b-4b0e-8a4c-0c8f5f1e2d3c", "/20261201/us-east-1/s3/aws4_request,***", "?partNumber=2&uploadId=***",
			"X-Amz-Algorithm=", "x-amz-request-id: 4442587FB7D0A2F9",
		},
		Shown: 7,
	}}
}
