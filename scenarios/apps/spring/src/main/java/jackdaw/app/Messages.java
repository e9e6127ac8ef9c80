package jackdaw.app;

import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.springframework.kafka.annotation.KafkaListener;
import org.springframework.kafka.core.KafkaTemplate;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.PostMapping;
import org.springframework.web.bind.annotation.RequestBody;
import org.springframework.web.bind.annotation.RequestMapping;
import org.springframework.web.bind.annotation.RequestParam;
import org.springframework.web.bind.annotation.RestController;

/** What goes in by POST goes out to the topic; what the listener took from the topic comes out by GET. */
@RestController
@RequestMapping("/messages")
public class Messages {
    private final KafkaTemplate<String, String> template;
    /** A record that is delivered again is the same. */
    private final Set<Message> received = new LinkedHashSet<>();

    Messages(KafkaTemplate<String, String> template) {
        this.template = template;
    }

    /** A record and its place. */
    record Message(int partition, long offset, String value) {}

    /** Answers when the brokers have acknowledged it. */
    @PostMapping
    Message send(@RequestParam String key, @RequestBody String value)
            throws ExecutionException, InterruptedException {
        var place = template.send(Application.TOPIC, key, value).get().getRecordMetadata();
        return new Message(place.partition(), place.offset(), value);
    }

    /** All that came, as soon as it is so many, or after that time. */
    @GetMapping
    synchronized List<Message> received(
            @RequestParam(defaultValue = "0") int count, @RequestParam(defaultValue = "0") long withinMs)
            throws InterruptedException {
        long deadline = System.nanoTime() + withinMs * 1_000_000;
        for (long left = withinMs; received.size() < count && left > 0; ) {
            wait(left);
            left = (deadline - System.nanoTime()) / 1_000_000;
        }
        return List.copyOf(received);
    }

    @KafkaListener(topics = Application.TOPIC)
    synchronized void receive(ConsumerRecord<String, String> record) {
        received.add(new Message(record.partition(), record.offset(), record.value()));
        notifyAll();
    }
}
