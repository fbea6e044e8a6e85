package decode

import (
	"strings"
	"testing"

	"millrace.dev/protocols/aws/conversations"
	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/decode/decodetest"
	"millrace.dev/protocols/http1"
	http1decode "millrace.dev/protocols/http1/decode"
	"millrace.dev/protocols/http2"
	frames "millrace.dev/protocols/http2/conversations"
	http2decode "millrace.dev/protocols/http2/decode"
)

var options = decode.Options{Layers: decode.NewLayers([]*decode.Layer{&Layer})}

// TestLayer: calls of several services over HTTP/1, cut in every way.
func TestLayer(t *testing.T) {
	t.Parallel()
	ask := func(line, host, headers string) decodetest.Piece {
		return decodetest.Client(line + " HTTP/1.1\r\nHost: " + host + "\r\n" + headers + "Content-Length: 2\r\n\r\n{}")
	}
	answer := func(status, headers string) decodetest.Piece {
		return decodetest.Server("HTTP/1.1 " + status + " X\r\n" + headers + "Content-Length: 2\r\n\r\n{}")
	}
	signed := conversations.Signature
	const id = "x-amzn-requestid: 6d2f1f7b-9b5b-4b0e-8a4c-0c8f5f1e2d3c\r\n"
	kit := decodetest.Kit{Known: &http1.Protocol, Decode: http1decode.Protocol, Dropped: []string{"{}"}, Options: options}
	kit.Run(t, decodetest.Conversation{Name: "aws", Pieces: []decodetest.Piece{
		ask("POST /", "dynamodb.us-east-1.amazonaws.com", "X-Amz-Target: DynamoDB_20120810.GetItem\r\n"+signed("us-east-1/dynamodb")),
		answer("400", id+"x-amzn-errortype: com.amazon#ResourceNotFoundException:http://x\r\n"),
		ask("POST /", "127.0.0.1:9324", signed("eu-west-3/sqs")+"X-Amz-Target: AmazonSQS.SendMessage\r\n"),
		answer("200", id),
		ask("POST /", "127.0.0.1:9324", signed("eu-west-3/sqs")+"X-Amz-Target: AmazonSQS.ReceiveMessage\r\n"),
		answer("400", "x-amzn-query-error: AWS.SimpleQueueService.NonExistentQueue;Sender\r\n"),
		ask("PUT /photos/cat.jpg?x-id=PutObject", "127.0.0.1:9000", signed("us-east-1/s3")),
		answer("200", "x-amz-request-id: 4442587FB7D0A2F9\r\n"),
		ask("GET /photos/none", "127.0.0.1:9000", signed("us-east-1/s3")),
		answer("404", "x-amz-request-id: ****************\r\n"),
		ask("POST /", "sns.us-east-1.amazonaws.com", signed("us-east-1/sns")),
		answer("200", ""),
		ask("GET /cat.jpg?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=**", "photos.s3.eu-west-3.amazonaws.com", ""),
		answer("200", ""),
		ask("POST /2015-03-31/functions/resize/invocations", "lambda.us-east-1.amazonaws.com", signed("us-east-1/lambda")),
		answer("500", "x-amzn-errortype: ServiceException\r\n"),
		// What is no call of a known service stays HTTP.
		ask("GET /users", "api", signed("us-east-1/execute-api")),
		answer("200", id),
		ask("GET /users", "api", "Authorization: Bearer ****\r\nX-Amz-Target: Other.GetItem\r\n"),
		answer("200", ""),
	}})
}

// TestLayerHTTP2: the same over HTTP/2.
func TestLayerHTTP2(t *testing.T) {
	t.Parallel()
	text := func(s string) string { return frames.Text(s, true) }
	kit := decodetest.Kit{Known: &http2.Protocol, Decode: http2decode.Protocol, Options: options, Golden: "testdata/http2.golden"}
	_, signature, _ := strings.Cut(strings.TrimSpace(conversations.Signature("us-east-1/dynamodb")), ": ")
	signature, _, _ = strings.Cut(signature, ",")
	block := "\x83\x87\x04" + text("/") + "\x01" + text("dynamodb.us-east-1.amazonaws.com") + "\x0f\x08" + text(signature) +
		"\x00" + text("x-amz-target") + text("DynamoDB_20120810.PutItem")
	settings := frames.Frame(http2.Settings, 0, 0, "")
	const whole = http2.FlagEndHeaders | http2.FlagEndStream
	kit.Run(t, decodetest.Conversation{Name: "dynamodb", Pieces: []decodetest.Piece{
		decodetest.Client(http2.Preface + settings + frames.Frame(http2.Headers, whole, 1, block)),
		decodetest.Server(settings),
		decodetest.Server(frames.Frame(http2.Headers, whole, 1, "\x08"+text("400")+"\x00"+text("x-amzn-errortype")+text("ConditionalCheckFailedException"))),
	}})
}

// TestErrors: what the response names is the error of the client, and of the server where it is at fault.
func TestErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status int
		client bool
		want   string
	}{{400, true, "Gone"}, {400, false, ""}, {500, false, "Gone"}, {500, true, "Gone"}, {200, true, ""}} {
		x := &decode.Exchange{}
		options.Layers.Request(x, []byte("POST"), []byte("/"))
		options.Layers.Begin(x, []byte("POST"), []byte("/"))
		options.Layers.Header(x, false, []byte("X-Amz-Target"), []byte("AmazonSQS.SendMessage"))
		options.Layers.Asked(x, c.client)
		options.Layers.Header(x, true, []byte("X-Amzn-ErrorType"), []byte("a.b#Gone:http://x"))
		options.Layers.Answered(x, c.status, c.client)
		if got := string(x.Said.ErrorType); got != c.want {
			t.Errorf("status %d, client %v: error %q, want %q", c.status, c.client, got, c.want)
		}
	}
}
