package conversations

import (
	"fmt"

	"millrace.dev/protocols/edge/edgetest"
)

// Loads gives what is benchmarked.
func Loads() []edgetest.Load {
	length := fmt.Sprintf("Content-Length: %d\r\n\r\n", len(body))
	return []edgetest.Load{{Name: "GetItem", Exchanges: 1, Round: edgetest.Again(
		edgetest.Client("POST / HTTP/1.1\r\nHost: dynamodb.us-east-1.amazonaws.com\r\nUser-Agent: aws-sdk-go-v2/1.41\r\n"+Signature("us-east-1/dynamodb")+
			"X-Amz-Target: DynamoDB_20120810.GetItem\r\nContent-Type: application/x-amz-json-1.0\r\n"+length+body),
		edgetest.Server("HTTP/1.1 200 OK\r\nx-amzn-RequestId: 6d2f1f7b-9b5b-4b0e-8a4c-0c8f5f1e2d3c\r\nContent-Type: application/x-amz-json-1.0\r\n"+
			length+body),
	)}}
}
