package dev.eventbus.faults;

/** Statements of the workload, on PostgreSQL. */
final class WorkloadSql {

    private WorkloadSql() {}

    /** No table of effects has a uniqueness that could hide a double effect. */
    static String createTables() {
        return """
                CREATE TABLE key_counter (key varchar(40) PRIMARY KEY, n bigint NOT NULL);
                CREATE TABLE ledger (
                  event_id varchar(40) PRIMARY KEY, key varchar(40) NOT NULL, number bigint NOT NULL, digest varchar(64) NOT NULL,
                  at timestamptz NOT NULL DEFAULT clock_timestamp());
                CREATE TABLE effect_state (key varchar(40) PRIMARY KEY, n bigint NOT NULL);
                CREATE TABLE effect (
                  event_id varchar(40) NOT NULL, key varchar(40) NOT NULL, number bigint NOT NULL, nth bigint NOT NULL,
                  digest varchar(64) NOT NULL, pid bigint NOT NULL, attempt integer NOT NULL, failed boolean NOT NULL, healed boolean NOT NULL,
                  at timestamptz NOT NULL DEFAULT clock_timestamp());
                CREATE INDEX effect_by_event ON effect (event_id);
                CREATE TABLE given_up (event_id varchar(40) PRIMARY KEY)
                """;
    }

    /** Parameter: how many keys. */
    static String fillKeys() {
        return """
                WITH keys AS (SELECT 'key-' || k AS key FROM generate_series(0, ? - 1) AS k),
                     counters AS (INSERT INTO key_counter SELECT key, 0 FROM keys)
                INSERT INTO effect_state SELECT key, 0 FROM keys
                """;
    }

    /** The next number of a key; its row stays locked until the transaction ends, so commits of a key are in the order of numbers. */
    static String nextNumber() {
        return "UPDATE key_counter SET n = n + 1 WHERE key = ? RETURNING n";
    }

    /** The last number of a key, as whoever has no lock sees it. */
    static String lastNumber() {
        return "SELECT n FROM key_counter WHERE key = ?";
    }

    /** Parameters: the number, the key. Waits for who has counted before, and then counts over it. */
    static String setNumber() {
        return "UPDATE key_counter SET n = ? WHERE key = ?";
    }

    static String insertLedger() {
        return "INSERT INTO ledger (event_id, key, number, digest) VALUES (?, ?, ?, ?)";
    }

    static String sleep() {
        return "SELECT pg_sleep(?)";
    }

    /** How many effects a key has had with the next; its row stays locked until the transaction ends. */
    static String nextEffect() {
        return "UPDATE effect_state SET n = n + 1 WHERE key = ? RETURNING n";
    }

    static String insertEffect() {
        return "INSERT INTO effect (event_id, key, number, nth, digest, pid, attempt, failed, healed) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
    }

    /** How many events have had no effect; parameter: the share of those that never have one. */
    static String behind() {
        return """
                SELECT (SELECT coalesce(sum(n), 0) FROM key_counter) * (1 - CAST(? AS double precision))
                     - (SELECT coalesce(sum(n), 0) FROM effect_state)
                """;
    }

    static String ledger() {
        return "SELECT event_id, key, number, digest, at FROM ledger";
    }

    static String countLedger() {
        return "SELECT count(*) FROM ledger";
    }

    static String effects() {
        return "SELECT event_id, key, number, nth, digest, failed, healed, at FROM effect";
    }

    static String outbox() {
        return "SELECT id FROM eventbus_outbox";
    }

    static String blockedKeys() {
        return "SELECT aggregateid || ': ' || reason || ' ' || coalesce(error, '') FROM eventbus_blocked_key";
    }

    static String giveUp() {
        return "INSERT INTO given_up (event_id) VALUES (?) ON CONFLICT DO NOTHING";
    }

    /** Those that a person meant to give up, and has. */
    static String givenUp() {
        return """
                SELECT event_id FROM given_up
                WHERE EXISTS (SELECT 1 FROM eventbus_inbox mark WHERE mark.event_id = given_up.event_id AND outcome = 'SKIPPED')
                """;
    }

    /** Events that end the process, that are committed. */
    static String haltingEvents() {
        return "SELECT event_id FROM ledger WHERE event_id LIKE 'halts-%'";
    }

    /** Events that are marked as parked or have a row, whether they are marked, whether a row of them waits, what for, and whether their key moves. */
    static String parked() {
        return """
                SELECT coalesce(mark.event_id, event.event_id), mark.event_id IS NOT NULL, event.event_id IS NOT NULL,
                  coalesce((SELECT state FROM eventbus_parked_key parked WHERE parked.consumer_group = event.consumer_group
                    AND parked.topic = event.topic AND parked.key_bytes = event.key_bytes), ''),
                  EXISTS (SELECT 1 FROM effect WHERE effect.key = convert_from(event.key_bytes, 'UTF8')
                    AND effect.at > clock_timestamp() - interval '30 seconds')
                FROM (SELECT consumer_group, event_id FROM eventbus_inbox WHERE outcome = 'PARKED') mark
                FULL JOIN eventbus_parked_event event ON event.consumer_group = mark.consumer_group AND event.event_id = mark.event_id
                """;
    }

    static String countOutbox() {
        return "SELECT count(*) FROM eventbus_outbox";
    }

    static String sessions() {
        return """
                SELECT concat_ws(' | ', pid, pg_blocking_pids(pid)::text, state, wait_event_type, wait_event, xact_start, state_change,
                  client_port, left(query, 200))
                FROM pg_stat_activity WHERE backend_type = 'client backend' ORDER BY xact_start
                """;
    }

    /** Which of these events have no effect and wait behind no parked one. */
    static String withoutEffect() {
        return """
                SELECT wanted.id FROM unnest(?) AS wanted (id)
                WHERE NOT EXISTS (SELECT 1 FROM effect WHERE effect.event_id = wanted.id)
                  AND NOT EXISTS (SELECT 1 FROM eventbus_parked_event parked WHERE parked.event_id = wanted.id)
                """;
    }

    /** Ends sessions; parameters: the database, how many of a hundred. */
    static String terminateSessions() {
        return """
                SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND datname = ? AND random() * 100 < ?
                """;
    }

    /** Parameter: database. Result: the process of one of its sessions, or none. */
    static String anyBackend() {
        return """
                SELECT pid FROM pg_stat_activity
                WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND datname = ?
                ORDER BY random() LIMIT 1
                """;
    }
}
