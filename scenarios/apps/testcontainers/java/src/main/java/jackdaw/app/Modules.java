package jackdaw.app;

import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.testcontainers.containers.GenericContainer;
import org.testcontainers.kafka.ConfluentKafkaContainer;
import org.testcontainers.kafka.KafkaContainer;
import org.testcontainers.utility.DockerImageName;

/** One record through each Kafka module of Testcontainers. Arguments: apache's image, confluent's image. */
public final class Modules {
    private static final String TOPIC = "greetings";
    private static final Duration PATIENCE = Duration.ofSeconds(30);

    private Modules() {}

    // The older class is deprecated, and used all the same.
    @SuppressWarnings("deprecation")
    public static void main(String[] arguments) throws Exception {
        var apache = arguments[0];
        var confluent = arguments[1];
        through(new KafkaContainer(apache), KafkaContainer::getBootstrapServers);
        through(new ConfluentKafkaContainer(confluent), ConfluentKafkaContainer::getBootstrapServers);
        for (var kraft : List.of(true, false)) {
            var older = new org.testcontainers.containers.KafkaContainer(DockerImageName.parse(confluent));
            through(
                    kraft ? older.withKraft() : older.withEmbeddedZookeeper(),
                    org.testcontainers.containers.KafkaContainer::getBootstrapServers);
        }
    }

    private static <C extends GenericContainer<?>> void through(C container, Function<C, String> bootstrapServers)
            throws Exception {
        try (container) {
            container.start();
            var name = container.getClass().getName();
            System.out.println(name + ": " + echo(bootstrapServers.apply(container), "hello from Java"));
        }
    }

    /** The record as it comes back to a member of a group. */
    private static String echo(String servers, String value) throws Exception {
        try (var admin = Admin.create(Map.of("bootstrap.servers", servers))) {
            admin.createTopics(List.of(new NewTopic(TOPIC, 1, (short) 1))).all().get();
        }
        var strings = new StringSerializer();
        try (var producer = new KafkaProducer<>(Map.of("bootstrap.servers", servers), strings, strings)) {
            producer.send(new ProducerRecord<>(TOPIC, value)).get();
        }
        Map<String, Object> settings =
                Map.of("bootstrap.servers", servers, "group.id", "readers", "auto.offset.reset", "earliest");
        try (var consumer = new KafkaConsumer<>(settings, new StringDeserializer(), new StringDeserializer())) {
            consumer.subscribe(List.of(TOPIC));
            for (var end = System.nanoTime() + PATIENCE.toNanos(); System.nanoTime() < end; ) {
                for (var received : consumer.poll(Duration.ofMillis(100))) {
                    return received.value();
                }
            }
        }
        throw new IllegalStateException("no record within " + PATIENCE);
    }
}
