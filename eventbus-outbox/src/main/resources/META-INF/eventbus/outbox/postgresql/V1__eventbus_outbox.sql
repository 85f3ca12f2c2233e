-- eventbus, outbox side, PostgreSQL 13+. One set per schema. Every time is an instant.

-- A row is an event that Kafka has not acknowledged yet: inserted once, deleted once, never updated.
-- CACHE 1: a session that kept sequence numbers for later would break the order of transactions that serialise on a key.
CREATE TABLE IF NOT EXISTS "eventbus_outbox" (
  shard         smallint       NOT NULL,               -- hash of the key modulo the number of shards
  seq           bigint         GENERATED ALWAYS AS IDENTITY (CACHE 1),
  id            varchar(128)   NOT NULL,               -- event id; no uniqueness: a repeat is the inbox's business
  aggregatetype varchar(249)   NOT NULL,               -- logical topic
  aggregateid   varchar(255),                          -- key
  type          varchar(255)   NOT NULL,               -- name of the event type
  payload       bytea,                                 -- NULL = tombstone
  headers       text,                                  -- JSON object of the user's own headers
  content_type  varchar(100)   NOT NULL,
  traceparent   varchar(64),
  tracestate    varchar(512),
  created_at    timestamptz(6) NOT NULL,               -- when published
  PRIMARY KEY (shard, seq)                             -- the only index
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_cost_delay = 0);

-- outbox_id (random), shards, schema_version, partitions.<cluster>.<topic>
CREATE TABLE IF NOT EXISTS "eventbus_meta" (
  name  varchar(400) PRIMARY KEY,
  value varchar(255) NOT NULL
);

-- Relays that are alive.
CREATE TABLE IF NOT EXISTS "eventbus_relay_member" (
  owner       varchar(64)    PRIMARY KEY,
  lease_until timestamptz(6) NOT NULL
);

-- Which relay may send the events of a shard.
CREATE TABLE IF NOT EXISTS "eventbus_relay_lease" (
  shard       smallint       PRIMARY KEY,
  owner       varchar(64),
  epoch       bigint         NOT NULL DEFAULT 0,
  lease_until timestamptz(6)
);

-- A key whose next event the broker refuses for good. Its events stay in eventbus_outbox.
CREATE TABLE IF NOT EXISTS "eventbus_blocked_key" (
  aggregatetype varchar(249)   NOT NULL,
  aggregateid   varchar(255)   NOT NULL,
  shard         smallint       NOT NULL,
  seq           bigint         NOT NULL,
  event_id      varchar(128)   NOT NULL,
  reason        varchar(40)    NOT NULL,
  error         varchar(2000),
  sent_later    text,                                  -- ids of later events of the key that are in the topic already
  since         timestamptz(6) NOT NULL,
  PRIMARY KEY (aggregatetype, aggregateid)
);

-- Row locks for lockKeys() on databases without advisory locks; the same 4,096 rows everywhere.
CREATE TABLE IF NOT EXISTS "eventbus_key_lock" (
  slot smallint PRIMARY KEY
);

INSERT INTO "eventbus_meta" (name, value)
VALUES ('outbox_id', gen_random_uuid()::text), ('shards', '16'), ('schema_version', '1')
ON CONFLICT DO NOTHING;

INSERT INTO "eventbus_relay_lease" (shard)
SELECT shard FROM generate_series(0, 15) AS shard
ON CONFLICT DO NOTHING;

INSERT INTO "eventbus_key_lock" (slot)
SELECT slot FROM generate_series(0, 4095) AS slot
ON CONFLICT DO NOTHING;
