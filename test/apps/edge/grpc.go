package main

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// The service that -grpc serves: its one method takes a request's id, makes the calls, and gives the id back.
const (
	serviceName = "millrace.edge.Stock"
	takeMethod  = "/" + serviceName + "/Take"
)

func (s *service) serveGRPC(address string) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: serviceName, HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Take", Handler: s.take}},
	}, nil)
	go func() { _ = server.Serve(listener) }() // Until the process ends.
	return nil
}

func (s *service) take(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	in := &wrapperspb.StringValue{}
	if err := decode(in); err != nil {
		return nil, err
	}
	if a := s.work(in.GetValue()); a.Error != "" {
		return nil, status.Error(codes.Unavailable, a.Error)
	}
	return in, nil
}

// channels keeps one gRPC channel for each address.
type channels struct {
	mu   sync.Mutex
	open map[string]*grpc.ClientConn
}

func (c *channels) to(address string) (*grpc.ClientConn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if channel := c.open[address]; channel != nil {
		return channel, nil
	}
	// A Service has one address, and the channel one connection to a pod behind it.
	channel, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err == nil {
		c.open[address] = channel
	}
	return channel, err
}

func (c *channels) take(address, id string) error {
	channel, err := c.to(address)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	out := &wrapperspb.StringValue{}
	if err := channel.Invoke(ctx, takeMethod, wrapperspb.String(id), out); err != nil {
		return err
	}
	if out.GetValue() != id {
		return fmt.Errorf("grpc %s: gave %q for %q", address, out.GetValue(), id)
	}
	return nil
}
