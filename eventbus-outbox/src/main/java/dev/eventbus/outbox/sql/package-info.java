/**
 * All that speaks SQL, in two classes of whole statements per database: one for publishers and relays, one for people. For the first, {@link dev.eventbus.outbox.sql.OutboxSql} says which
 * statements there are, {@link dev.eventbus.outbox.sql.PostgresOutboxSql}, {@link dev.eventbus.outbox.sql.MariaDbOutboxSql} (MySQL
 * too) and {@link dev.eventbus.outbox.sql.H2OutboxSql} say them, {@link dev.eventbus.outbox.sql.TableNames} puts schema and table name into them.
 * {@link dev.eventbus.outbox.sql.OutboxStore} runs those of the event table, {@link dev.eventbus.outbox.sql.LeaseStore} those of
 * relays and their leases, {@link dev.eventbus.outbox.sql.BlockedKeyStore} those of keys that wait for a person.
 * {@link dev.eventbus.outbox.sql.OutboxSchema} creates and checks the tables, which are written down in
 * {@code META-INF/eventbus/outbox/<database>/V1__eventbus_outbox.sql}. A relay's connection is
 * {@link dev.eventbus.outbox.sql.RelayConnection}; from where it reads each shard, {@link dev.eventbus.outbox.sql.FloorTracker} knows.
 *
 * <p>What no relay runs but a person or a meter stands apart: {@link dev.eventbus.outbox.sql.AdminSql} says which statements there are,
 * and the second class per database says them; {@link dev.eventbus.outbox.sql.StatsStore} runs the counting half of it.
 *
 * <p>Not for users: these types are public only because the engine that uses them lies in another package. They may change in any
 * release; the tables and their columns are the contract.
 */
@NullMarked
package dev.eventbus.outbox.sql;

import org.jspecify.annotations.NullMarked;
