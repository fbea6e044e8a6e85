// Command mongoclient asks a server of MongoDB's protocol with the Go driver, for tests. Its arguments are the port and
// a compressor, or none; it prints how often it ran each command, by the driver's own account, and with which error.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/event"
	"go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/options"
)

// account counts commands as the driver says that they began and failed.
type account struct {
	mu     sync.Mutex
	counts map[string]int
}

func (a *account) add(what string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.counts[what]++
}

func main() {
	a := &account{counts: map[string]int{}}
	if err := run(a); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for what, n := range a.counts {
		fmt.Println(n, what)
	}
}

func run(a *account) error {
	ctx := context.Background()
	o := options.Client().ApplyURI("mongodb://127.0.0.1:" + os.Args[1]).SetMonitor(&event.CommandMonitor{
		Started: func(_ context.Context, e *event.CommandStartedEvent) {
			target, ok := e.Command.Lookup(e.CommandName).StringValueOK()
			if !ok {
				if target, ok = e.Command.Lookup("collection").StringValueOK(); !ok {
					target = e.DatabaseName
				}
			}
			a.add(e.CommandName + " " + target)
		},
		Failed: func(_ context.Context, e *event.CommandFailedEvent) { // endSessions is one, which FerretDB does not know
			if strings.HasPrefix(e.Failure, "(CommandNotFound)") {
				a.add("error 59")
			}
		},
	})
	if len(os.Args) > 2 {
		o.SetCompressors(os.Args[2:])
	}
	client, err := mongo.Connect(ctx, o)
	if err != nil {
		return err
	}
	users := client.Database("shop").Collection("people" + strings.Join(os.Args[2:], ""))
	var documents []any
	for i := range 300 {
		documents = append(documents, bson.D{{Key: "_id", Value: i}, {Key: "name", Value: strings.Repeat("x", 200)}})
	}
	if _, err = users.InsertMany(ctx, documents); err != nil {
		return err
	}
	for i := range 40 {
		if err = users.FindOne(ctx, bson.D{{Key: "_id", Value: i}}).Err(); err != nil {
			return err
		}
	}
	for i := range 3 {
		if _, err = users.InsertOne(ctx, documents[i]); !mongo.IsDuplicateKeyError(err) {
			return fmt.Errorf("a duplicate gives %w", err)
		}
		a.add("error 11000")
	}
	var failed mongo.CommandError
	if err = client.Database("shop").RunCommand(ctx, bson.D{{Key: "noSuchCommand", Value: 1}}).Err(); !errors.As(err, &failed) {
		return fmt.Errorf("an unknown command gives %w", err)
	}
	c, err := users.Find(ctx, bson.D{}, options.Find().SetBatchSize(100))
	if err != nil {
		return err
	}
	var all []bson.D
	if err = c.All(ctx, &all); err != nil || len(all) != 300 {
		return fmt.Errorf("%d documents, %w", len(all), err)
	}
	if _, err = users.DeleteMany(ctx, bson.D{{Key: "_id", Value: bson.D{{Key: "$lt", Value: 10}}}}); err != nil {
		return err
	}
	return client.Disconnect(ctx)
}
