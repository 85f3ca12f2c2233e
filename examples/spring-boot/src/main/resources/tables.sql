CREATE TABLE asset (
  user_id varchar(40) PRIMARY KEY,
  amount  bigint      NOT NULL
);
CREATE TABLE net_worth (
  user_id varchar(40) PRIMARY KEY,
  total   bigint      NOT NULL
);
INSERT INTO asset VALUES ('alice', 0), ('bob', 0);
