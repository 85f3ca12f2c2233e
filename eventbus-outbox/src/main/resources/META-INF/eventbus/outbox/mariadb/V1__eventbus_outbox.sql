-- eventbus, outbox side, MariaDB 10.6+ and MySQL 8. One set per database. Every time is UTC, written by UTC_TIMESTAMP(6): a session's
-- time zone means nothing. Ids, keys and topics are bytes (UTF-8): with a collation 'evt-A', 'EVT-a' and 'evt-A ' would be one.

-- A row is an event that Kafka has not acknowledged yet: inserted once, deleted once, never updated.
-- KEY (seq) only because InnoDB gives numbers to the first column of an index; nothing reads by it.
-- Statistics are not kept up to date: those of an empty moment must not choose a plan for a backlog.
CREATE TABLE IF NOT EXISTS `eventbus_outbox` (
  shard         smallint       NOT NULL,               -- hash of the key modulo the number of shards
  seq           bigint         NOT NULL AUTO_INCREMENT,
  id            varbinary(128) NOT NULL,               -- event id; no uniqueness: a repeat is the inbox's business
  aggregatetype varbinary(249) NOT NULL,               -- logical topic
  aggregateid   varbinary(255),                        -- key
  type          varchar(255)   NOT NULL,               -- name of the event type
  payload       mediumblob,                            -- NULL = tombstone
  headers       mediumtext,                            -- JSON object of the user's own headers
  content_type  varchar(100)   NOT NULL,
  traceparent   varchar(64),
  tracestate    varchar(512),
  created_at    datetime(6)    NOT NULL,               -- when published
  PRIMARY KEY (shard, seq),
  KEY eventbus_outbox_seq (seq)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4 COLLATE = utf8mb4_bin STATS_PERSISTENT = 1 STATS_AUTO_RECALC = 0;

-- outbox_id (unique), shards, schema_version, partitions.<cluster>.<topic>
CREATE TABLE IF NOT EXISTS `eventbus_meta` (
  name  varbinary(400) PRIMARY KEY,
  value varchar(255)   NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4 COLLATE = utf8mb4_bin;

-- Relays that are alive.
CREATE TABLE IF NOT EXISTS `eventbus_relay_member` (
  owner       varbinary(64) PRIMARY KEY,
  lease_until datetime(6)   NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4 COLLATE = utf8mb4_bin;

-- Which relay may send the events of a shard.
CREATE TABLE IF NOT EXISTS `eventbus_relay_lease` (
  shard       smallint      PRIMARY KEY,
  owner       varbinary(64),
  epoch       bigint        NOT NULL DEFAULT 0,
  lease_until datetime(6)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4 COLLATE = utf8mb4_bin;

-- A key whose next event the broker refuses for good. Its events stay in eventbus_outbox.
CREATE TABLE IF NOT EXISTS `eventbus_blocked_key` (
  aggregatetype varbinary(249) NOT NULL,
  aggregateid   varbinary(255) NOT NULL,
  shard         smallint       NOT NULL,
  seq           bigint         NOT NULL,
  event_id      varbinary(128) NOT NULL,
  reason        varchar(40)    NOT NULL,
  error         varchar(2000),
  sent_later    mediumtext,                            -- ids of later events of the key that are in the topic already
  since         datetime(6)    NOT NULL,
  PRIMARY KEY (aggregatetype, aggregateid)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4 COLLATE = utf8mb4_bin;

-- Row locks for lockKeys(): MariaDB and MySQL have no lock of their own that ends with the transaction.
CREATE TABLE IF NOT EXISTS `eventbus_key_lock` (
  slot smallint PRIMARY KEY
) ENGINE = InnoDB;

INSERT INTO `eventbus_meta` (name, value)
VALUES ('outbox_id', UUID()), ('shards', '16'), ('schema_version', '1')
ON DUPLICATE KEY UPDATE name = name;

INSERT INTO `eventbus_relay_lease` (shard)
WITH bit AS (SELECT 0 AS n UNION ALL SELECT 1)
SELECT a.n * 8 + b.n * 4 + c.n * 2 + d.n AS shard
FROM bit a CROSS JOIN bit b CROSS JOIN bit c CROSS JOIN bit d
WHERE a.n * 8 + b.n * 4 + c.n * 2 + d.n NOT IN (SELECT shard FROM `eventbus_relay_lease`)
ORDER BY shard;

INSERT INTO `eventbus_key_lock` (slot)
WITH digit AS (SELECT 0 AS n UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3
               UNION ALL SELECT 4 UNION ALL SELECT 5 UNION ALL SELECT 6 UNION ALL SELECT 7)
SELECT a.n * 512 + b.n * 64 + c.n * 8 + d.n AS slot
FROM digit a CROSS JOIN digit b CROSS JOIN digit c CROSS JOIN digit d
WHERE a.n * 512 + b.n * 64 + c.n * 8 + d.n NOT IN (SELECT slot FROM `eventbus_key_lock`)
ORDER BY slot;
