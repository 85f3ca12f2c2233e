package dev.eventbus.examples.springboot;

import dev.eventbus.EventPublisher;
import dev.eventbus.consumer.AfterRetries;
import dev.eventbus.consumer.ConsumerRunner;
import dev.eventbus.consumer.RunnerListener;
import dev.eventbus.consumer.inbox.JdbcInbox;
import dev.eventbus.outbox.JdbcOutbox;
import dev.eventbus.outbox.OutboxRelay;
import dev.eventbus.topics.KafkaCluster;
import jakarta.persistence.EntityManager;
import javax.sql.DataSource;
import org.hibernate.Session;
import org.springframework.beans.factory.annotation.Value;
import org.springframework.boot.sql.init.dependency.DependsOnDatabaseInitialization;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.transaction.PlatformTransactionManager;
import org.springframework.transaction.support.TransactionTemplate;

/** Both ends of eventbus as beans. What is started here Spring closes by itself, before what it stands on. */
@Configuration(proxyBeanMethods = false)
class EventbusConfiguration {

    static final String DEAD_LETTERS = "dlq.events";

    @Bean
    KafkaCluster kafka(@Value("${kafka.bootstrap-servers}") String bootstrapServers) {
        return KafkaCluster.at(bootstrapServers);
    }

    @Bean
    JdbcOutbox outbox() {
        return JdbcOutbox.postgres();
    }

    /** For all services: it finds the transaction around the calling method, and refuses to publish without one. */
    @Bean
    EventPublisher events(JdbcOutbox outbox, EntityManager entities) {
        return outbox.joining(work -> {
            entities.flush(); // what is written late is locked late: an event numbered before can be out of order
            entities.unwrap(Session.class).doWork(work::accept);
        });
    }

    @Bean(initMethod = "start")
    @DependsOnDatabaseInitialization
    OutboxRelay relay(JdbcOutbox outbox, DataSource dataSource, KafkaCluster kafka) {
        return OutboxRelay.builder(outbox, dataSource, kafka).build();
    }

    /** Each event in a transaction of Spring's: what repositories write commits together with the mark. */
    @Bean
    JdbcInbox inbox(PlatformTransactionManager transactions, EntityManager entities) {
        TransactionTemplate template = new TransactionTemplate(transactions);
        return JdbcInbox.postgres(work -> template.executeWithoutResult(
                status -> entities.unwrap(Session.class).doWork(work::accept)));
    }

    @Bean(initMethod = "start")
    ConsumerRunner netWorthRunner(
            KafkaCluster kafka, JdbcInbox inbox, NetWorthService netWorth, RunnerListener listener) {
        return ConsumerRunner.builder(kafka, "networth.asset.events")
                .inTransaction(inbox, AssetService.ASSET_ADDED, (event, tx) -> netWorth.add(event.payload()))
                .afterRetries(AfterRetries.parkKey(inbox, DEAD_LETTERS))
                .concurrency(4) // wants 4 + 6 connections
                .listener(listener)
                .build();
    }
}
