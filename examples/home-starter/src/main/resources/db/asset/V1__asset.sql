-- a user's row is locked by whoever changes something of the user's, so the user's transactions follow each other
CREATE TABLE asset_owner (
  user_id  varchar(64) PRIMARY KEY,
  revision bigint NOT NULL
);

CREATE TABLE asset_item (
  user_id    varchar(64) NOT NULL,
  item_id    varchar(64) NOT NULL,
  owner_type varchar(16) NOT NULL,
  item_type  varchar(16) NOT NULL,
  amount     bigint      NOT NULL,
  PRIMARY KEY (user_id, item_id)
);

-- what was changed when, and which event told it
CREATE TABLE asset_change (
  user_id    varchar(64)  NOT NULL,
  revision   bigint       NOT NULL,
  event_id   varchar(128) NOT NULL,
  changed_at timestamptz  NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (user_id, revision)
);
