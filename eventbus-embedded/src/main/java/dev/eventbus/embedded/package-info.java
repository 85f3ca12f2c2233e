/**
 * Real servers for tests and demos, from Maven Central, no Docker and nothing installed by hand.
 *
 * <p>Read in this order: {@link dev.eventbus.embedded.junit.EventBusServers}, which is {@link
 * dev.eventbus.embedded.ServersExtension} in one word, hands a shared
 * {@link dev.eventbus.embedded.KafkaServer}, {@link dev.eventbus.embedded.PostgresServer} and a database to tests;
 * {@link dev.eventbus.embedded.EmbeddedKafka} and {@link dev.eventbus.embedded.EmbeddedPostgres} are servers of one's
 * own, to be killed, frozen and started again; {@link dev.eventbus.embedded.EmbeddedMariaDb} too, for whoever adds its programs.
 *
 * <pre>
 * ServersExtension ► SharedServers ► ServerSource: Embedded | External | ContainerSource
 * EmbeddedKafka    ► KafkaNode × n ► ServerProcess (BrokerRuntime ► CacheFolder; NodeConfig, FreePorts)
 * EmbeddedPostgres ► ServerProcess (PostgresRuntime ► CacheFolder)
 * EmbeddedMariaDb  ► ServerProcess (MariaDbRuntime ► CacheFolder)
 * </pre>
 */
@NullMarked
package dev.eventbus.embedded;

import org.jspecify.annotations.NullMarked;
