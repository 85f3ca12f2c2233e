/**
 * All that speaks SQL, one class of whole statements per database: {@link dev.eventbus.outbox.sql.OutboxSql} says which
 * statements there are, {@link dev.eventbus.outbox.sql.PostgresOutboxSql} and {@link dev.eventbus.outbox.sql.H2OutboxSql} say
 * them, {@link dev.eventbus.outbox.sql.TableNames} puts schema and table name into them.
 * {@link dev.eventbus.outbox.sql.OutboxStore} runs those of the event table, {@link dev.eventbus.outbox.sql.OutboxSchema} creates
 * and checks the tables, which are written down in {@code META-INF/eventbus/outbox/<database>/V1__eventbus_outbox.sql}.
 */
@NullMarked
package dev.eventbus.outbox.sql;

import org.jspecify.annotations.NullMarked;
