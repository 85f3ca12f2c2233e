/**
 * Where Kafka is and what its topics look like, as code.
 *
 * <p>{@link dev.eventbus.topics.KafkaCluster} makes every Kafka client of this library; {@link dev.eventbus.topics.TopicSpec}
 * says how a topic must be set up; {@link dev.eventbus.topics.Topics} creates what is missing and verifies what is there.
 */
@NullMarked
package dev.eventbus.topics;

import org.jspecify.annotations.NullMarked;
