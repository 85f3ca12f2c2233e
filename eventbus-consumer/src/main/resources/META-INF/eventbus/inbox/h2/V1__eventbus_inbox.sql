-- The inbox side of eventbus on H2, for tests and demos. Columns are public contract.
-- Ids, groups and topics are bytes (UTF-8), so that no mode and no IGNORECASE of the database decides about them; to read one:
-- SELECT UTF8TOSTRING(event_id), outcome FROM eventbus_inbox. Every time is an instant.

-- How a group's dealing with an event ended; the first committed row wins.
CREATE TABLE eventbus_inbox (
  consumer_group VARBINARY(255) NOT NULL,
  event_id       VARBINARY(128) NOT NULL,
  outcome        VARCHAR(16)    NOT NULL,             -- DONE, DYING, DEAD, PARKED, SKIPPED
  payload_hash   VARBINARY(64)  NOT NULL,             -- SHA-256 of the record's value; empty for a record without one
  topic          VARBINARY(249) NOT NULL,             -- where the record was when this was decided
  partition_no   INTEGER        NOT NULL,
  record_offset  BIGINT         NOT NULL,
  decided_at     TIMESTAMP(6) WITH TIME ZONE NOT NULL,
  PRIMARY KEY (consumer_group, event_id)
);
CREATE INDEX eventbus_inbox_age ON eventbus_inbox (decided_at);

-- Failures and, under suspicion, starts of an event.
CREATE TABLE eventbus_attempt (
  consumer_group VARBINARY(255) NOT NULL,
  event_id       VARBINARY(128) NOT NULL,
  failures       INTEGER        NOT NULL,
  starts         INTEGER        NOT NULL,
  at             TIMESTAMP(6) WITH TIME ZONE NOT NULL,
  PRIMARY KEY (consumer_group, event_id)
);

-- Keys whose events wait in eventbus_parked_event instead of being handled.
CREATE TABLE eventbus_parked_key (
  consumer_group VARBINARY(255) NOT NULL,
  topic          VARBINARY(249) NOT NULL,
  key_bytes      VARBINARY(1048576) NOT NULL,
  state          VARCHAR(16)    NOT NULL,             -- PARKED, WAITING (for next_try), REDRIVE
  reason         VARCHAR(40)    NOT NULL,
  next_try       TIMESTAMP(6) WITH TIME ZONE,
  redrives       INTEGER        DEFAULT 0 NOT NULL,
  since          TIMESTAMP(6) WITH TIME ZONE NOT NULL,
  PRIMARY KEY (consumer_group, topic, key_bytes)
);

-- The parked events; the foreign key decides the race between adding one and lifting its key.
CREATE TABLE eventbus_parked_event (
  ord            BIGINT         GENERATED ALWAYS AS IDENTITY,
  consumer_group VARBINARY(255) NOT NULL,
  topic          VARBINARY(249) NOT NULL,
  key_bytes      VARBINARY(1048576) NOT NULL,
  event_id       VARBINARY(128) NOT NULL,
  partition_no   INTEGER        NOT NULL,
  record_offset  BIGINT         NOT NULL,
  value_bytes    BINARY LARGE OBJECT,
  headers        BINARY LARGE OBJECT,
  record_time    TIMESTAMP(6) WITH TIME ZONE,
  attempts       INTEGER        NOT NULL,
  reason         VARCHAR(40),
  error          VARCHAR(2000),
  parked_at      TIMESTAMP(6) WITH TIME ZONE NOT NULL,
  PRIMARY KEY (consumer_group, event_id),
  FOREIGN KEY (consumer_group, topic, key_bytes) REFERENCES eventbus_parked_key (consumer_group, topic, key_bytes)
);
CREATE INDEX eventbus_parked_event_order ON eventbus_parked_event (consumer_group, topic, key_bytes, ord);

-- Audit of redrives: who asked for what, and what came of it.
CREATE TABLE eventbus_redrive (
  id             VARCHAR(64)    PRIMARY KEY,
  consumer_group VARBINARY(255) NOT NULL,
  requested_by   VARCHAR(255)   NOT NULL,
  note           VARCHAR(2000)  NOT NULL,
  selection      CHARACTER LARGE OBJECT NOT NULL,
  planned        BIGINT         NOT NULL,
  done           BIGINT         NOT NULL,
  failed         BIGINT         NOT NULL,
  discarded      BIGINT         NOT NULL,
  state          VARCHAR(16)    NOT NULL,
  at             TIMESTAMP(6) WITH TIME ZONE NOT NULL
);
