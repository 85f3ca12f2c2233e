/**
 * Where Kafka is and what its topics look like, as code.
 *
 * <p>{@link dev.eventbus.topics.KafkaCluster} makes every Kafka client of this library; {@link dev.eventbus.topics.TopicSpec}
 * says how a topic must be set up; {@link dev.eventbus.topics.Topics} creates what is missing, verifies what is there and mends what can
 * be; {@link dev.eventbus.topics.TopicPlan} holds all topics and groups of a team and writes them down for other tools.
 */
@NullMarked
package dev.eventbus.topics;

import org.jspecify.annotations.NullMarked;
