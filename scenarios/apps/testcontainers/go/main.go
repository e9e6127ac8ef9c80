// One record through the Kafka module of Testcontainers. Argument: confluent's image.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/modules/kafka"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	topic    = "greetings"
	patience = 60 * time.Second
)

func main() {
	if err := run(os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

func run(image string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	container, err := kafka.Run(ctx, image)
	defer func() {
		if err := testcontainers.TerminateContainer(container); err != nil {
			log.Print(err)
		}
	}()
	if err != nil {
		return err
	}
	brokers, err := container.Brokers(ctx)
	if err != nil {
		return err
	}
	received, err := echo(ctx, brokers, "hello from Go")
	if err != nil {
		return err
	}
	fmt.Printf("kafka.Run: %s\n", received)
	return nil
}

// echo gives the record as it comes back to a member of a group.
func echo(ctx context.Context, brokers []string, value string) (string, error) {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(brokers...),
		kgo.ConsumeTopics(topic),
		kgo.ConsumerGroup("readers"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
	)
	if err != nil {
		return "", err
	}
	defer client.Close()
	if _, err := kadm.NewClient(client).CreateTopic(ctx, 1, 1, nil, topic); err != nil {
		return "", err
	}
	if err := client.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte(value)}).FirstErr(); err != nil {
		return "", err
	}
	for {
		fetched := client.PollFetches(ctx)
		if err := fetched.Err0(); err != nil {
			return "", err
		}
		if records := fetched.Records(); len(records) > 0 {
			return string(records[0].Value), nil
		}
	}
}
