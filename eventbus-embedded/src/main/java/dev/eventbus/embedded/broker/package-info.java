/**
 * What runs inside the broker's child process, and nowhere else: {@code BrokerMain} is compiled here against Kafka's
 * server classes, which are on nobody's class path. {@code dev.eventbus.embedded} reads its class file as a resource
 * and lays it beside the unpacked jars. No class outside this package refers to it.
 */
@NullMarked
package dev.eventbus.embedded.broker;

import org.jspecify.annotations.NullMarked;
