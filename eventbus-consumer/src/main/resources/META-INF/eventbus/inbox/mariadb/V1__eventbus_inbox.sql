-- The inbox side of eventbus on MariaDB 10.6 or later; one set per consumer database. Columns are public contract.
-- Ids, groups and topics are bytes (UTF-8), since with a collation 'evt-A', 'EVT-a' and 'evt-A ' would be one; to read one:
-- SELECT CONVERT(event_id USING utf8mb4), outcome FROM eventbus_inbox. Every time is UTC, written by UTC_TIMESTAMP(6).

-- How a group's dealing with an event ended; the first committed row wins.
CREATE TABLE eventbus_inbox (
  consumer_group varbinary(255) NOT NULL,
  event_id       varbinary(128) NOT NULL,
  outcome        varchar(16)    NOT NULL,             -- DONE, DYING, DEAD, PARKED, SKIPPED
  payload_hash   varbinary(64)  NOT NULL,             -- SHA-256 of the record's value; empty for a record without one
  topic          varbinary(249) NOT NULL,             -- where the record was when this was decided
  partition_no   integer        NOT NULL,
  record_offset  bigint         NOT NULL,
  decided_at     datetime(6)    NOT NULL,
  PRIMARY KEY (consumer_group, event_id),
  KEY eventbus_inbox_age (decided_at)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4 COLLATE = utf8mb4_bin;

-- Failures and, under suspicion, starts of an event.
CREATE TABLE eventbus_attempt (
  consumer_group varbinary(255) NOT NULL,
  event_id       varbinary(128) NOT NULL,
  failures       integer        NOT NULL,
  starts         integer        NOT NULL,
  at             datetime(6)    NOT NULL,
  PRIMARY KEY (consumer_group, event_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4 COLLATE = utf8mb4_bin;

-- Keys whose events wait in eventbus_parked_event instead of being handled. InnoDB indexes 3,072 bytes at most.
CREATE TABLE eventbus_parked_key (
  consumer_group varbinary(255)  NOT NULL,
  topic          varbinary(249)  NOT NULL,
  key_bytes      varbinary(2048) NOT NULL,
  state          varchar(16)    NOT NULL,             -- PARKED, WAITING (for next_try), REDRIVE
  reason         varchar(40)    NOT NULL,
  next_try       datetime(6),
  redrives       integer        NOT NULL DEFAULT 0,
  since          datetime(6)    NOT NULL,
  PRIMARY KEY (consumer_group, topic, key_bytes)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4 COLLATE = utf8mb4_bin;

-- The parked events; the foreign key decides the race between adding one and lifting its key.
CREATE TABLE eventbus_parked_event (
  ord            bigint          NOT NULL AUTO_INCREMENT,
  consumer_group varbinary(255)  NOT NULL,
  topic          varbinary(249)  NOT NULL,
  key_bytes      varbinary(2048) NOT NULL,
  event_id       varbinary(128) NOT NULL,
  partition_no   integer        NOT NULL,
  record_offset  bigint         NOT NULL,
  value_bytes    longblob,
  headers        longblob,
  record_time    datetime(6),
  attempts       integer        NOT NULL,
  reason         varchar(40),
  error          varchar(2000),
  parked_at      datetime(6)    NOT NULL,
  PRIMARY KEY (consumer_group, event_id),
  UNIQUE KEY eventbus_parked_event_ord (ord),         -- InnoDB gives numbers to the first column of an index
  KEY eventbus_parked_event_order (consumer_group, topic, key_bytes, ord),
  FOREIGN KEY (consumer_group, topic, key_bytes) REFERENCES eventbus_parked_key (consumer_group, topic, key_bytes)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4 COLLATE = utf8mb4_bin;

-- Audit of redrives: who asked for what, and what came of it.
CREATE TABLE eventbus_redrive (
  id             varchar(64)    PRIMARY KEY,
  consumer_group varbinary(255) NOT NULL,
  requested_by   varchar(255)   NOT NULL,
  note           varchar(2000)  NOT NULL,
  selection      longtext       NOT NULL,
  planned        bigint         NOT NULL,
  done           bigint         NOT NULL,
  failed         bigint         NOT NULL,
  discarded      bigint         NOT NULL,
  state          varchar(16)    NOT NULL,
  at             datetime(6)    NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4 COLLATE = utf8mb4_bin;
