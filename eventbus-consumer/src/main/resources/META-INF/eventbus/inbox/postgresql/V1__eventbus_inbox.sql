-- The inbox side of eventbus on PostgreSQL 13 or later; one set per consumer database. Columns are public contract.
-- Ids, groups and topics compare as bytes, whatever the collation of the database is. Every time is an instant.

-- How a group's dealing with an event ended; the first committed row wins.
CREATE TABLE eventbus_inbox (
  consumer_group varchar(255) COLLATE "C" NOT NULL,
  event_id       varchar(128) COLLATE "C" NOT NULL,
  outcome        varchar(16)  NOT NULL,               -- DONE, DYING, DEAD, PARKED, SKIPPED
  payload_hash   bytea        NOT NULL,               -- SHA-256 of the record's value; empty for a record without one
  topic          varchar(249) COLLATE "C" NOT NULL,   -- where the record was when this was decided
  partition_no   integer      NOT NULL,
  record_offset  bigint       NOT NULL,
  decided_at     timestamptz(6) NOT NULL,
  PRIMARY KEY (consumer_group, event_id)
);
CREATE INDEX eventbus_inbox_age ON eventbus_inbox (decided_at);

-- Failures and, under suspicion, starts of an event.
CREATE TABLE eventbus_attempt (
  consumer_group varchar(255) COLLATE "C" NOT NULL,
  event_id       varchar(128) COLLATE "C" NOT NULL,
  failures       integer      NOT NULL,
  starts         integer      NOT NULL,
  at             timestamptz(6) NOT NULL,
  PRIMARY KEY (consumer_group, event_id)
);

-- Keys whose events wait in eventbus_parked_event instead of being handled.
CREATE TABLE eventbus_parked_key (
  consumer_group varchar(255) COLLATE "C" NOT NULL,
  topic          varchar(249) COLLATE "C" NOT NULL,
  key_bytes      bytea        NOT NULL,
  state          varchar(16)  NOT NULL,               -- PARKED, WAITING (for next_try), REDRIVE
  reason         varchar(40)  NOT NULL,
  next_try       timestamptz(6),
  redrives       integer      NOT NULL DEFAULT 0,
  since          timestamptz(6) NOT NULL,
  PRIMARY KEY (consumer_group, topic, key_bytes)
);

-- The parked events; the foreign key decides the race between adding one and lifting its key.
CREATE TABLE eventbus_parked_event (
  ord            bigint       GENERATED ALWAYS AS IDENTITY,
  consumer_group varchar(255) COLLATE "C" NOT NULL,
  topic          varchar(249) COLLATE "C" NOT NULL,
  key_bytes      bytea        NOT NULL,
  event_id       varchar(128) COLLATE "C" NOT NULL,
  partition_no   integer      NOT NULL,
  record_offset  bigint       NOT NULL,
  value_bytes    bytea,
  headers        bytea,
  record_time    timestamptz(6),
  attempts       integer      NOT NULL,
  reason         varchar(40),
  error          varchar(2000),
  parked_at      timestamptz(6) NOT NULL,
  PRIMARY KEY (consumer_group, event_id),
  FOREIGN KEY (consumer_group, topic, key_bytes) REFERENCES eventbus_parked_key
);
CREATE INDEX eventbus_parked_event_order ON eventbus_parked_event (consumer_group, topic, key_bytes, ord);

-- Audit of redrives: who asked for what, and what came of it.
CREATE TABLE eventbus_redrive (
  id             varchar(64)   PRIMARY KEY,
  consumer_group varchar(255)  COLLATE "C" NOT NULL,
  requested_by   varchar(255)  NOT NULL,
  note           varchar(2000) NOT NULL,
  selection      text          NOT NULL,
  planned        bigint        NOT NULL,
  done           bigint        NOT NULL,
  failed         bigint        NOT NULL,
  discarded      bigint        NOT NULL,
  state          varchar(16)   NOT NULL,
  at             timestamptz(6) NOT NULL
);
