package jackdaw.app;

import org.apache.kafka.clients.admin.NewTopic;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.context.annotation.Bean;
import org.springframework.kafka.config.TopicBuilder;

/** A producer and a consumer of one topic, reached by HTTP. */
@SpringBootApplication
public class Application {
    static final String TOPIC = "tester";

    public static void main(String[] arguments) {
        SpringApplication.run(Application.class, arguments);
    }

    @Bean
    NewTopic tester() {
        return TopicBuilder.name(TOPIC).partitions(3).replicas(2).build();
    }
}
