/**
 * The command line {@code eventbus-cli}: what a person does with dead letters, parked keys, an outbox and topics, without writing a program.
 * {@link EventbusCli} is the entry; exit codes stand there.
 */
@NullMarked
package dev.eventbus.cli;

import org.jspecify.annotations.NullMarked;
