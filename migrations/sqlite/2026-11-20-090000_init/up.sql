-- The first schema: what plantail keeps of the logs that it reads.
--
-- One shape for every store that plantail can use, so server_id stands first in every key, ids are 64-bit hashes that the daemon
-- computes (no sequences, no triggers), and rows of one server never refer to rows of another.
--
-- Units: *_ms are milliseconds, *_bytes are decompressed bytes, all other times are microseconds since 1970-01-01 UTC; started_at,
-- first_seen, last_seen, opened_at and created_at are log time, columns named *_us and detected_at are this machine's clock.
-- severity is 0 INFO, 1 NOTICE, 2 WARNING, 3 CRITICAL. No column holds a literal, a parameter or a comment of a statement.

CREATE TABLE servers (
  id              INTEGER NOT NULL PRIMARY KEY,  -- hash of the name
  name            TEXT    NOT NULL,
  first_seen      INTEGER,                       -- NULL until the first record is stored
  last_seen       INTEGER,
  log_line_prefix TEXT,                          -- given or detected; kept for the next start
  pairing         BLOB                           -- what joins records that are not yet stored to those that are; opaque here
) STRICT;

-- One life of content in one log file. path, device, inode, size and modification time are hints to find the file again.
CREATE TABLE generations (
  server_id      INTEGER NOT NULL REFERENCES servers (id) ON DELETE CASCADE,
  id             INTEGER NOT NULL,
  path           TEXT    NOT NULL,
  device         INTEGER NOT NULL,
  inode          INTEGER NOT NULL,
  size_bytes     INTEGER NOT NULL,               -- as it lies on disk
  modified_us    INTEGER NOT NULL,
  format         TEXT    NOT NULL,               -- stderr, csvlog, jsonlog
  codec          TEXT    NOT NULL,               -- raw, gzip, zstd
  head_len_bytes INTEGER NOT NULL,
  head_hash      BLOB    NOT NULL,               -- XXH3-128, big-endian
  state          TEXT    NOT NULL,               -- active, done, lost
  PRIMARY KEY (server_id, id)
) STRICT;

-- How far the records of a generation are stored. Moved in the transaction that stores them, and only from the expected offset.
CREATE TABLE checkpoints (
  server_id     INTEGER NOT NULL,
  generation_id INTEGER NOT NULL,
  offset_bytes  INTEGER NOT NULL,                -- first byte not covered by a stored record
  anchor_hash   BLOB    NOT NULL,                -- XXH3-128 of the bytes before offset_bytes
  ladder        BLOB    NOT NULL,                -- older anchors: 8 bytes offset, 16 bytes hash each, big-endian, newest last
  PRIMARY KEY (server_id, generation_id),
  FOREIGN KEY (server_id, generation_id) REFERENCES generations (server_id, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- Log bytes known to be lost.
CREATE TABLE gaps (
  server_id     INTEGER NOT NULL,
  generation_id INTEGER NOT NULL,
  from_bytes    INTEGER NOT NULL,
  to_bytes      INTEGER,                         -- NULL where nobody saw how far the file had grown
  reason        TEXT    NOT NULL,                -- truncated, deleted, hole, corrupt
  detected_at   INTEGER NOT NULL,
  PRIMARY KEY (server_id, generation_id, from_bytes),
  FOREIGN KEY (server_id, generation_id) REFERENCES generations (server_id, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- What was read and what became of it, since the store exists.
CREATE TABLE ingest_counts (
  server_id INTEGER NOT NULL REFERENCES servers (id) ON DELETE CASCADE,
  counter   TEXT    NOT NULL,
  key       TEXT    NOT NULL,                    -- '' for plain counters; ["database","user"] for pairs
  count     INTEGER NOT NULL,
  sum_ms    REAL    NOT NULL,
  PRIMARY KEY (server_id, counter, key)
) STRICT, WITHOUT ROWID;

-- One normalized statement in one database, with the sums of its closed executions (those of query_stats over all hours), so that
-- a list of queries needs no look at their history.
CREATE TABLE queries (
  server_id       INTEGER NOT NULL REFERENCES servers (id) ON DELETE CASCADE,
  id              INTEGER NOT NULL,              -- hash of database and text
  database_name   TEXT    NOT NULL,              -- '' where the log doesn't tell
  normalized_sql  TEXT    NOT NULL,
  server_query_id INTEGER,                       -- the server's own query identifier, the newest
  first_seen      INTEGER NOT NULL,
  last_seen       INTEGER NOT NULL,
  calls           INTEGER NOT NULL,
  failed          INTEGER NOT NULL,
  timed_calls     INTEGER NOT NULL,              -- those with a duration
  total_ms        REAL    NOT NULL,
  max_ms          REAL,
  PRIMARY KEY (server_id, id)
) STRICT;

-- One run of a statement that ended or failed.
CREATE TABLE executions (
  server_id        INTEGER NOT NULL,
  started_at       INTEGER NOT NULL,
  id               INTEGER NOT NULL,             -- hash of generation and offset
  query_id         INTEGER NOT NULL,
  generation_id    INTEGER NOT NULL,
  offset_bytes     INTEGER NOT NULL,             -- of its first record
  kind             TEXT    NOT NULL,             -- statement, execute, fastpath, plan-only, nested, failed
  user_name        TEXT,
  application_name TEXT,
  process_id       INTEGER,
  session_id       TEXT,
  duration_ms      REAL,
  duration_source  TEXT,                         -- statement, plan
  parse_ms         REAL,
  bind_ms          REAL,
  rows             REAL,                         -- of the last plan's root, all loops together
  sql_state        TEXT,
  failed           INTEGER NOT NULL,
  parent_id        INTEGER,                      -- the execution that ran this one; its row may be missing
  server_query_id  INTEGER,
  plan_count       INTEGER NOT NULL,
  open             INTEGER NOT NULL,             -- 1 while its other half may still come
  time_assumed     INTEGER NOT NULL,
  PRIMARY KEY (server_id, started_at, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX executions_of_query ON executions (server_id, query_id, started_at, id);
CREATE INDEX executions_open ON executions (server_id, query_id) WHERE open;

-- Every plan shape that a query has had, and when.
CREATE TABLE plan_shapes (
  server_id      INTEGER NOT NULL,
  query_id       INTEGER NOT NULL,
  shape          INTEGER NOT NULL,
  first_seen     INTEGER NOT NULL,
  last_seen      INTEGER NOT NULL,
  root_node_type TEXT    NOT NULL,
  PRIMARY KEY (server_id, query_id, shape),
  FOREIGN KEY (server_id, query_id) REFERENCES queries (server_id, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- One captured plan. Rows are large, so the table keeps its rowid.
CREATE TABLE plans (
  server_id    INTEGER NOT NULL,
  started_at   INTEGER NOT NULL,                 -- of the execution
  execution_id INTEGER NOT NULL,
  ordinal      INTEGER NOT NULL,                 -- from 0 in the order logged
  query_id     INTEGER NOT NULL,
  shape        INTEGER NOT NULL,
  duration_ms  REAL    NOT NULL,
  format       TEXT    NOT NULL,                 -- auto_explain.log_format that it was captured in
  document     BLOB    NOT NULL,                 -- redacted JSON as EXPLAIN (FORMAT JSON) shapes it, one zstd frame
  PRIMARY KEY (server_id, started_at, execution_id, ordinal)
) STRICT;

CREATE TABLE analyses (
  server_id         INTEGER NOT NULL,
  started_at        INTEGER NOT NULL,            -- of the execution
  execution_id      INTEGER NOT NULL,
  query_id          INTEGER NOT NULL,
  execution_time_ms REAL,
  seq_scan_detected INTEGER,                     -- NULL without a readable plan
  severity          INTEGER,                     -- of the worst finding; NULL without findings
  PRIMARY KEY (server_id, started_at, execution_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX analyses_of_query ON analyses (server_id, query_id, started_at, execution_id);
CREATE INDEX analyses_slowest ON analyses (server_id, query_id, execution_time_ms);

CREATE TABLE findings (
  server_id     INTEGER NOT NULL,
  started_at    INTEGER NOT NULL,                -- of the execution
  execution_id  INTEGER NOT NULL,
  ordinal       INTEGER NOT NULL,                -- from 0 in the order found
  rule          TEXT    NOT NULL,
  severity      INTEGER NOT NULL,
  plan_ordinal  INTEGER NOT NULL,
  node_path     TEXT,                            -- child numbers from the plan's root; NULL where it is about the execution
  message       TEXT    NOT NULL,
  not_decidable TEXT,                            -- the setting that is missing to decide
  PRIMARY KEY (server_id, started_at, execution_id, ordinal)
) STRICT, WITHOUT ROWID;

-- A query crossing a threshold of the policy.
CREATE TABLE breaches (
  server_id            INTEGER NOT NULL,
  id                   INTEGER NOT NULL,         -- hash of query, kind and execution
  query_id             INTEGER NOT NULL,
  kind                 TEXT    NOT NULL,         -- slow, new-slow-query
  opened_at            INTEGER NOT NULL,
  closed_at            INTEGER,
  execution_id         INTEGER NOT NULL,
  execution_started_at INTEGER NOT NULL,
  severity             INTEGER NOT NULL,
  message              TEXT    NOT NULL,
  PRIMARY KEY (server_id, id),
  FOREIGN KEY (server_id, query_id) REFERENCES queries (server_id, id) ON DELETE CASCADE
) STRICT;
CREATE UNIQUE INDEX breaches_open ON breaches (server_id, query_id, kind) WHERE closed_at IS NULL;

CREATE TABLE recommendations (
  server_id        INTEGER NOT NULL,
  id               INTEGER NOT NULL,             -- hash of query, source, kind and what is proposed
  query_id         INTEGER NOT NULL,
  created_at       INTEGER NOT NULL,
  source           TEXT    NOT NULL,             -- rule, model
  kind             TEXT    NOT NULL,
  rules            TEXT    NOT NULL,             -- JSON array of the rules that it answers
  severity         INTEGER NOT NULL,
  confidence_score REAL,                         -- 0 to 1; NULL where nothing can be said
  verification     TEXT    NOT NULL,             -- names, plan
  summary          TEXT    NOT NULL,
  explanation      TEXT    NOT NULL,
  disproof         TEXT,
  command          TEXT,
  PRIMARY KEY (server_id, id),
  FOREIGN KEY (server_id, query_id) REFERENCES queries (server_id, id) ON DELETE CASCADE
) STRICT;
CREATE INDEX recommendations_of_query ON recommendations (server_id, query_id);
CREATE INDEX recommendations_by_time ON recommendations (server_id, created_at, id);

-- Advice to be asked for, one job for each execution that opened a breach.
CREATE TABLE advice_jobs (
  server_id            INTEGER NOT NULL,
  id                   INTEGER NOT NULL,         -- hash of query and execution
  query_id             INTEGER NOT NULL,
  breach_id            INTEGER NOT NULL,
  execution_id         INTEGER NOT NULL,
  execution_started_at INTEGER NOT NULL,
  state                TEXT    NOT NULL,         -- queued, running, done, rejected, failed
  attempts             INTEGER NOT NULL,         -- how often it was claimed
  reason               TEXT,                     -- of the last refusal or failure
  created_us           INTEGER NOT NULL,
  locked_until_us      INTEGER,                  -- a running job may be claimed again after this
  run_after_us         INTEGER NOT NULL,
  PRIMARY KEY (server_id, id),
  FOREIGN KEY (server_id, query_id) REFERENCES queries (server_id, id) ON DELETE CASCADE
) STRICT;
CREATE INDEX advice_jobs_waiting ON advice_jobs (run_after_us) WHERE state IN ('queued', 'running');

-- Closed executions by the hour in which they started. Nested ones count in their own query's calls and total_ms; nested_* say how much
-- of that is nested, so that the server's time is total_ms - nested_ms.
CREATE TABLE query_stats (
  server_id    INTEGER NOT NULL,
  query_id     INTEGER NOT NULL,
  hour         INTEGER NOT NULL,                 -- its first microsecond
  calls        INTEGER NOT NULL,
  failed       INTEGER NOT NULL,
  total_ms     REAL    NOT NULL,
  timed_calls  INTEGER NOT NULL,                 -- those with a duration
  min_ms       REAL,
  max_ms       REAL,
  rows         REAL    NOT NULL,
  nested_calls INTEGER NOT NULL,
  nested_ms    REAL    NOT NULL,
  PRIMARY KEY (server_id, query_id, hour)
) STRICT, WITHOUT ROWID;
CREATE INDEX query_stats_by_hour ON query_stats (server_id, hour);

-- The open executions as if they had closed, each as a row of query_stats. There are few of them, which SQLite doesn't know: it would
-- rather look at all of a server's executions.
CREATE VIEW open_activity AS
SELECT server_id, query_id, started_at - ((started_at % 3600000000) + 3600000000) % 3600000000 AS hour, 1 AS calls, failed,
       coalesce(duration_ms, 0.0) AS total_ms, duration_ms IS NOT NULL AS timed_calls, duration_ms AS min_ms, duration_ms AS max_ms,
       coalesce(rows, 0.0) AS rows, parent_id IS NOT NULL AS nested_calls,
       iif(parent_id IS NULL, 0.0, coalesce(duration_ms, 0.0)) AS nested_ms
  FROM executions INDEXED BY executions_open
 WHERE open;

-- query_stats with the open executions: every logged execution exactly once.
CREATE VIEW query_activity AS
SELECT server_id, query_id, hour, calls, failed, total_ms, timed_calls, min_ms, max_ms, rows, nested_calls, nested_ms
  FROM query_stats
UNION ALL
SELECT server_id, query_id, hour, calls, failed, total_ms, timed_calls, min_ms, max_ms, rows, nested_calls, nested_ms
  FROM open_activity;

-- For people with a SQL prompt: names and readable times.
CREATE VIEW executions_readable AS
SELECT s.name AS server, q.database_name, strftime('%Y-%m-%dT%H:%M:%fZ', e.started_at / 1000000.0, 'unixepoch') AS started_at,
       e.duration_ms, e.kind, e.user_name, e.application_name, e.rows, e.sql_state, e.failed, e.plan_count, e.open, q.normalized_sql,
       e.server_id, e.query_id, e.id
  FROM executions e
  JOIN queries q ON q.server_id = e.server_id AND q.id = e.query_id
  JOIN servers s ON s.id = e.server_id;
