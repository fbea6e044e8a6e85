package multiplexed

import (
	"context"
	"errors"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

const service = "millrace.e2e.Shop"

// most is the longest message of the tests.
const most = 64 << 20

type bytesValue = wrapperspb.BytesValue

// shop describes the service: Echo gives back what it gets, Fail a status by the length of what it gets, List as many
// messages as the message is long, Collect the number of messages, and Chat one for each.
var shop = grpc.ServiceDesc{
	ServiceName: service,
	HandlerType: (*any)(nil),
	Methods: []grpc.MethodDesc{
		{MethodName: "Echo", Handler: unary(func(_ context.Context, in *bytesValue) (*bytesValue, error) { return in, nil })},
		{MethodName: "Fail", Handler: unary(func(_ context.Context, in *bytesValue) (*bytesValue, error) {
			return nil, status.Error(codes.Code(len(in.Value)), "a secret in a status")
		})},
		{MethodName: "Sleep", Handler: unary(func(ctx context.Context, _ *bytesValue) (*bytesValue, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})},
	},
	Streams: []grpc.StreamDesc{
		{StreamName: "List", ServerStreams: true, Handler: func(_ any, s grpc.ServerStream) error {
			in := &bytesValue{}
			if err := s.RecvMsg(in); err != nil {
				return err
			}
			for range len(in.Value) {
				if err := s.SendMsg(in); err != nil {
					return err
				}
			}
			return nil
		}},
		{StreamName: "Collect", ClientStreams: true, Handler: func(_ any, s grpc.ServerStream) error {
			n := 0
			for in := (&bytesValue{}); ; n++ {
				if err := s.RecvMsg(in); errors.Is(err, io.EOF) {
					return s.SendMsg(wrapperspb.Bytes([]byte(strconv.Itoa(n))))
				} else if err != nil {
					return err
				}
			}
		}},
		{StreamName: "Chat", ServerStreams: true, ClientStreams: true, Handler: func(_ any, s grpc.ServerStream) error {
			for in := (&bytesValue{}); ; {
				if err := s.RecvMsg(in); errors.Is(err, io.EOF) {
					return nil
				} else if err != nil {
					return err
				}
				if err := s.SendMsg(in); err != nil {
					return err
				}
			}
		}},
	},
}

func unary(f func(ctx context.Context, in *bytesValue) (*bytesValue, error)) func(any, context.Context, func(any) error,
	grpc.UnaryServerInterceptor) (any, error) {
	return func(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		in := &bytesValue{}
		if err := decode(in); err != nil {
			return nil, err
		}
		return f(ctx, in)
	}
}

func grpcServer([]string) error {
	l, err := listen()
	if err != nil {
		return err
	}
	s := grpc.NewServer(grpc.MaxRecvMsgSize(most))
	s.RegisterService(&shop, nil)
	return s.Serve(l)
}

// grpcClient calls: its arguments are an address, how many calls at once, how many each of those makes, perhaps the
// size of a large one, and perhaps that none is given up. It prints
// method, status, and the messages that it sent and got.
func grpcClient(arguments []string) error {
	parallel, _ := strconv.Atoi(arguments[1])
	each, _ := strconv.Atoi(arguments[2])
	conn, err := grpc.NewClient("passthrough:///"+arguments[0], grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(most)))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	kinds := 8
	if len(arguments) > 4 { // without those that are given up, and those that the server answers unread
		kinds = 5
	}
	c := &caller{conn: conn}
	c.call("Echo", 1, 0) // the connection is there
	var all sync.WaitGroup
	for i := range parallel {
		all.Go(func() {
			for j := range each {
				n := i*each + j
				c.call([]string{"Echo", "Fail", "List", "Collect", "Chat", "Nothing", "Cancel", "Deadline"}[n%kinds], n/kinds, n)
			}
		})
	}
	all.Wait()
	if len(arguments) > 3 && arguments[3] != "0" {
		large, _ := strconv.Atoi(arguments[3])
		c.call("Echo", large, 1)
	}
	return nil
}

type caller struct {
	conn *grpc.ClientConn
}

func (c *caller) call(method string, size, n int) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if method != "Cancel" { // that has no timeout, so that nothing else can have ended it
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, 30*time.Second)
		defer stop()
	}
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer plantedplantedplanted"+strconv.Itoa(n))
	path := "/" + service + "/" + method
	in, out := wrapperspb.Bytes([]byte(strings.Repeat("m", size))), &bytesValue{}
	sent, got := 1, 0
	var err error
	switch method {
	case "Cancel", "Deadline":
		path = "/" + service + "/Sleep"
		wait := 300 * time.Millisecond // by then the request has left, also on a busy machine
		if method == "Deadline" {
			var stop context.CancelFunc
			ctx, stop = context.WithTimeout(ctx, wait)
			defer stop()
		} else {
			time.AfterFunc(wait, cancel)
		}
		err = c.conn.Invoke(ctx, path, in, out)
	case "Fail":
		in = wrapperspb.Bytes(make([]byte, 1+size%16))
		err = c.conn.Invoke(ctx, path, in, out)
	case "Echo", "Nothing":
		if err = c.conn.Invoke(ctx, path, in, out); err == nil {
			got = 1
		}
	default:
		sent, got, err = c.stream(ctx, method, path, 1+size%7)
	}
	said("%s %s %d %d", path[1:], status.Code(err), sent, got)
}

func (c *caller) stream(ctx context.Context, method, path string, n int) (sent, got int, err error) {
	s, err := c.conn.NewStream(ctx, &grpc.StreamDesc{StreamName: method, ServerStreams: true, ClientStreams: true}, path)
	if err != nil {
		return 0, 0, err
	}
	messages := n
	if method == "List" {
		messages = 1
	}
	for range messages {
		if err := s.SendMsg(wrapperspb.Bytes(make([]byte, n))); err != nil {
			return sent, got, err
		}
		sent++
	}
	if err := s.CloseSend(); err != nil {
		return sent, got, err
	}
	for {
		if err := s.RecvMsg(&bytesValue{}); errors.Is(err, io.EOF) {
			return sent, got, nil
		} else if err != nil {
			return sent, got, err
		}
		got++
	}
}
