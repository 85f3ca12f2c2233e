-- eventbus, outbox side, H2 2.2 or later in any mode: for tests and demos. Names and meaning as on PostgreSQL.
-- Table names are quoted, hence lower case: SELECT * FROM "eventbus_outbox".

-- A row is an event that Kafka has not acknowledged yet: inserted once, deleted once, never updated.
CREATE TABLE IF NOT EXISTS "eventbus_outbox" (
  shard         smallint       NOT NULL,               -- hash of the key modulo the number of shards
  seq           bigint         GENERATED ALWAYS AS IDENTITY (CACHE 1),
  id            varchar(128)   NOT NULL,               -- event id; no uniqueness: a repeat is the inbox's business
  aggregatetype varchar(249)   NOT NULL,               -- logical topic
  aggregateid   varchar(255),                          -- key
  type          varchar(255)   NOT NULL,               -- name of the event type
  payload       varbinary(16777216),                   -- NULL = tombstone
  headers       varchar(100000),                       -- JSON object of the user's own headers
  content_type  varchar(100)   NOT NULL,
  traceparent   varchar(64),
  tracestate    varchar(512),
  created_at    timestamp(6) with time zone NOT NULL,  -- when published
  PRIMARY KEY (shard, seq)                             -- the only index
);

-- outbox_id (random), shards, schema_version, partitions.<cluster>.<topic>
CREATE TABLE IF NOT EXISTS "eventbus_meta" (
  name    varchar(400) PRIMARY KEY,
  "value" varchar(255) NOT NULL
);

-- Relays that are alive.
CREATE TABLE IF NOT EXISTS "eventbus_relay_member" (
  owner       varchar(64) PRIMARY KEY,
  lease_until timestamp(6) with time zone NOT NULL
);

-- Which relay may send the events of a shard.
CREATE TABLE IF NOT EXISTS "eventbus_relay_lease" (
  shard       smallint    PRIMARY KEY,
  owner       varchar(64),
  epoch       bigint      DEFAULT 0 NOT NULL,
  lease_until timestamp(6) with time zone
);

-- A key whose next event the broker refuses for good. Its events stay in eventbus_outbox.
CREATE TABLE IF NOT EXISTS "eventbus_blocked_key" (
  aggregatetype varchar(249) NOT NULL,
  aggregateid   varchar(255) NOT NULL,
  shard         smallint     NOT NULL,
  seq           bigint       NOT NULL,
  event_id      varchar(128) NOT NULL,
  reason        varchar(40)  NOT NULL,
  error         varchar(2000),
  sent_later    varchar(1000000),                      -- ids of later events of the key that are in the topic already
  since         timestamp(6) with time zone NOT NULL,
  PRIMARY KEY (aggregatetype, aggregateid)
);

-- Row locks for lockKeys() on databases without advisory locks.
CREATE TABLE IF NOT EXISTS "eventbus_key_lock" (
  slot smallint PRIMARY KEY
);

INSERT INTO "eventbus_meta" (name, "value")
SELECT * FROM (VALUES ('outbox_id', CAST(RANDOM_UUID() AS varchar(36))), ('shards', '16'), ('schema_version', '1')) AS seed (name, "value")
WHERE NOT EXISTS (SELECT 1 FROM "eventbus_meta" m WHERE m.name = seed.name);

INSERT INTO "eventbus_relay_lease" (shard)
SELECT every.shard FROM SYSTEM_RANGE(0, 15) AS every (shard)
WHERE every.shard NOT IN (SELECT shard FROM "eventbus_relay_lease");

INSERT INTO "eventbus_key_lock" (slot)
SELECT every.slot FROM SYSTEM_RANGE(0, 4095) AS every (slot)
WHERE every.slot NOT IN (SELECT slot FROM "eventbus_key_lock");
