/**
 * The fault run: publishers, relays and consumers in JVMs of their own on real servers, a nemesis that breaks whatever there is, and
 * a checker that compares what is left with what was promised.
 *
 * <pre>
 * FaultRun ► Servers (PostgreSQL, three brokers, a bad network before each) ► Fleet (a Child for each Role)
 *          ► CrashTour (each crash point once) ► Nemesis (a Schedule made from a seed) ► Drain ► HistoryReader ► check.Checker ► Report
 * PublisherMain writes the ledger in its transactions; ConsumerMain writes effects in those it is given
 * </pre>
 */
@NullMarked
package dev.eventbus.faults;

import org.jspecify.annotations.NullMarked;
