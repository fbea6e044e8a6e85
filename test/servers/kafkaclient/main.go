// Command kafkaclient sends and gets messages with franz-go, for tests. Its arguments are the port and the kind of the
// group that gets them, "group" or "share". It prints, by topic, how many messages it sent and got, by franz-go's own
// account of the batches that it wrote and read.
package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// account counts messages as franz-go writes and reads them.
type account struct {
	mu     sync.Mutex
	counts map[string]int
}

func (a *account) add(what, topic string, n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.counts[what+" "+topic] += n
}

// OnProduceBatchWritten implements [kgo.HookProduceBatchWritten].
func (a *account) OnProduceBatchWritten(_ kgo.BrokerMetadata, topic string, _ int32, m kgo.ProduceBatchMetrics) {
	a.add("send", topic, m.NumRecords)
}

// topics are those that the broker has, and compressions how what is sent to each is compressed.
var (
	topics       = []string{"orders", "events"}
	compressions = []kgo.CompressionCodec{kgo.NoCompression(), kgo.ZstdCompression()}
)

// sent is how many messages go to each topic.
const sent = 60

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
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	broker := kgo.SeedBrokers("127.0.0.1:" + os.Args[1])
	group := kgo.ConsumerGroup("workers")
	if os.Args[2] == "share" {
		group = kgo.ShareGroup("workers")
	}
	consumer, err := kgo.NewClient(
		broker, group, kgo.ClientID("getter"), kgo.ConsumeTopics(topics...), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
	)
	if err != nil {
		return err
	}
	defer consumer.Close()
	if os.Args[2] == "share" { // it gets what is sent from the time on when it joined
		if err = shareFromStart(ctx, consumer); err != nil {
			return err
		}
	}
	for i, topic := range topics {
		if err = send(ctx, a, broker, topic, compressions[i]); err != nil {
			return err
		}
	}
	for got := 0; got < sent*len(topics); {
		fetches := consumer.PollFetches(ctx)
		if err = fetches.Err(); err != nil {
			return err
		}
		fetches.EachRecord(func(r *kgo.Record) {
			a.add("poll", r.Topic, 1)
			got++
		})
	}
	return nil
}

// shareFromStart lets the group begin with the first message.
func shareFromStart(ctx context.Context, c *kgo.Client) error {
	earliest := "earliest"
	config := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	config.Name, config.Value = "share.auto.offset.reset", &earliest
	resource := kmsg.NewIncrementalAlterConfigsRequestResource()
	resource.ResourceType, resource.ResourceName = kmsg.ConfigResourceTypeGroupConfig, "workers"
	resource.Configs = append(resource.Configs, config)
	request := kmsg.NewPtrIncrementalAlterConfigsRequest()
	request.Resources = append(request.Resources, resource)
	_, err := request.RequestWith(ctx, c)
	return err
}

// send sends messages to all partitions of a topic, a few at a time.
func send(ctx context.Context, a *account, broker kgo.Opt, topic string, codec kgo.CompressionCodec) error {
	producer, err := kgo.NewClient(
		broker, kgo.ClientID("sender"), kgo.WithHooks(a), kgo.ProducerBatchCompression(codec), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()),
	)
	if err != nil {
		return err
	}
	defer producer.Close()
	for range sent / 6 {
		var records []*kgo.Record
		for range 6 {
			records = append(records, &kgo.Record{Topic: topic, Value: bytes.Repeat([]byte("v"), 20)})
		}
		if err = producer.ProduceSync(ctx, records...).FirstErr(); err != nil {
			return err
		}
	}
	return nil
}
