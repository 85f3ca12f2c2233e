CREATE TABLE housing (
  user_id    varchar(64) NOT NULL,
  housing_id varchar(64) NOT NULL,
  price      bigint,
  location   varchar(200),
  target     varchar(200),
  PRIMARY KEY (user_id, housing_id)
);

-- what was changed when, and which event told it
CREATE TABLE housing_change (
  user_id    varchar(64)  NOT NULL,
  revision   bigint       NOT NULL,
  event_id   varchar(128) NOT NULL,
  changed_at timestamptz  NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (user_id, revision)
);
