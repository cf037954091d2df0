-- The first schema: what plantail keeps of the logs that it reads. The same tables and columns as in SQLite; its comments are comments
-- of the database here (\d+ in psql shows them).
--
-- One shape for a single server and for Citus: server_id stands first in every key, ids are 64-bit hashes that the daemon computes (no
-- sequences, no triggers), rows of one server never refer to rows of another, and every table is given to app_distribute before the next
-- one is made. Statements are sent one at a time, all in one transaction.
--
-- Units: *_ms are milliseconds, *_bytes are decompressed bytes, all other times are microseconds since 1970-01-01 UTC; started_at,
-- first_seen, last_seen, opened_at and created_at are log time, columns named *_us and detected_at are the clock of the daemon's machine.
-- severity is 0 INFO, 1 NOTICE, 2 WARNING, 3 CRITICAL. No column holds a literal, a parameter or a comment of a statement.
--
-- executions, plans, analyses and findings have no rows of their own: the daemon makes partitions for the days that come, and drops old ones.

-- Makes a table a distributed one where Citus is installed, and does nothing on a plain PostgreSQL. The servers are spread by their id
-- (ALTER DATABASE … SET app.shard_count sets how many shards a new store has, 32 if nothing is said), every other table goes with its server.
CREATE FUNCTION app_distribute(rel regclass, dist_col text DEFAULT 'server_id', colocate text DEFAULT 'servers')
RETURNS void LANGUAGE plpgsql AS $fn$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'citus') THEN
    RETURN;
  END IF;
  IF EXISTS (SELECT FROM pg_dist_partition WHERE logicalrelid = rel AND partmethod = 'h') THEN
    RETURN;
  END IF;
  IF rel = to_regclass(colocate) THEN
    PERFORM create_distributed_table(rel, dist_col, colocate_with => 'none',
      shard_count => coalesce(nullif(current_setting('app.shard_count', true), '')::int, 32));
  ELSE
    PERFORM create_distributed_table(rel, dist_col, colocate_with => colocate);
  END IF;
END $fn$;

CREATE TABLE servers (
  id              BIGINT NOT NULL PRIMARY KEY,
  name            TEXT   NOT NULL,
  first_seen      BIGINT,
  last_seen       BIGINT,
  log_line_prefix TEXT,
  pairing         BYTEA
);
SELECT app_distribute('servers', 'id');
COMMENT ON TABLE servers IS 'The servers whose logs are read.';
COMMENT ON COLUMN servers.id IS 'Hash of the name.';
COMMENT ON COLUMN servers.first_seen IS 'Microseconds since 1970-01-01 UTC, log time; NULL until the first record is stored.';
COMMENT ON COLUMN servers.log_line_prefix IS 'Given or detected; kept for the next start.';
COMMENT ON COLUMN servers.pairing IS 'What joins records that are not yet stored to those that are; opaque here.';

CREATE TABLE generations (
  server_id      BIGINT NOT NULL REFERENCES servers (id) ON DELETE CASCADE,
  id             BIGINT NOT NULL,
  path           TEXT   NOT NULL,
  device         BIGINT NOT NULL,
  inode          BIGINT NOT NULL,
  size_bytes     BIGINT NOT NULL,
  modified_us    BIGINT NOT NULL,
  format         TEXT   NOT NULL,
  codec          TEXT   NOT NULL,
  head_len_bytes BIGINT NOT NULL,
  head_hash      BYTEA  NOT NULL,
  state          TEXT   NOT NULL,
  PRIMARY KEY (server_id, id)
);
SELECT app_distribute('generations');
COMMENT ON TABLE generations IS 'One life of content in one log file. Path, device, inode, size and modification time are hints to find the file again.';
COMMENT ON COLUMN generations.size_bytes IS 'As it lies on disk.';
COMMENT ON COLUMN generations.format IS 'stderr, csvlog, jsonlog';
COMMENT ON COLUMN generations.codec IS 'raw, gzip, zstd';
COMMENT ON COLUMN generations.head_hash IS 'XXH3-128 of the first head_len_bytes, big-endian.';
COMMENT ON COLUMN generations.state IS 'active, done, lost';

CREATE TABLE checkpoints (
  server_id     BIGINT NOT NULL,
  generation_id BIGINT NOT NULL,
  offset_bytes  BIGINT NOT NULL,
  anchor_hash   BYTEA  NOT NULL,
  ladder        BYTEA  NOT NULL,
  PRIMARY KEY (server_id, generation_id),
  FOREIGN KEY (server_id, generation_id) REFERENCES generations (server_id, id) ON DELETE CASCADE
);
SELECT app_distribute('checkpoints');
COMMENT ON TABLE checkpoints IS 'How far the records of a generation are stored. Moved in the transaction that stores them, and only from the expected offset.';
COMMENT ON COLUMN checkpoints.offset_bytes IS 'First byte not covered by a stored record.';
COMMENT ON COLUMN checkpoints.anchor_hash IS 'XXH3-128 of the bytes before offset_bytes.';
COMMENT ON COLUMN checkpoints.ladder IS 'Older anchors: 8 bytes offset, 16 bytes hash each, big-endian, newest last.';

CREATE TABLE gaps (
  server_id     BIGINT NOT NULL,
  generation_id BIGINT NOT NULL,
  from_bytes    BIGINT NOT NULL,
  to_bytes      BIGINT,
  reason        TEXT   NOT NULL,
  detected_at   BIGINT NOT NULL,
  PRIMARY KEY (server_id, generation_id, from_bytes),
  FOREIGN KEY (server_id, generation_id) REFERENCES generations (server_id, id) ON DELETE CASCADE
);
SELECT app_distribute('gaps');
COMMENT ON TABLE gaps IS 'Log bytes known to be lost.';
COMMENT ON COLUMN gaps.to_bytes IS 'NULL where nobody saw how far the file had grown.';
COMMENT ON COLUMN gaps.reason IS 'truncated, deleted, hole, corrupt';

CREATE TABLE ingest_counts (
  server_id BIGINT           NOT NULL REFERENCES servers (id) ON DELETE CASCADE,
  counter   TEXT             NOT NULL,
  key       TEXT             NOT NULL,
  count     BIGINT           NOT NULL,
  sum_ms    DOUBLE PRECISION NOT NULL,
  PRIMARY KEY (server_id, counter, key)
);
SELECT app_distribute('ingest_counts');
COMMENT ON TABLE ingest_counts IS 'What was read and what became of it, since the store exists.';
COMMENT ON COLUMN ingest_counts.key IS 'Empty for plain counters; ["database","user"] for pairs.';

CREATE TABLE queries (
  server_id       BIGINT           NOT NULL REFERENCES servers (id) ON DELETE CASCADE,
  id              BIGINT           NOT NULL,
  database_name   TEXT             NOT NULL,
  normalized_sql  TEXT             NOT NULL,
  server_query_id BIGINT,
  first_seen      BIGINT           NOT NULL,
  last_seen       BIGINT           NOT NULL,
  calls           BIGINT           NOT NULL,
  failed          BIGINT           NOT NULL,
  timed_calls     BIGINT           NOT NULL,
  total_ms        DOUBLE PRECISION NOT NULL,
  max_ms          DOUBLE PRECISION,
  PRIMARY KEY (server_id, id)
);
SELECT app_distribute('queries');
COMMENT ON TABLE queries IS 'One normalized statement in one database, with the sums of its closed executions (those of query_stats over all hours), so that a list of queries needs no look at their history.';
COMMENT ON COLUMN queries.id IS 'Hash of database and text.';
COMMENT ON COLUMN queries.database_name IS 'Empty where the log doesn''t tell.';
COMMENT ON COLUMN queries.server_query_id IS 'The server''s own query identifier, the newest.';
COMMENT ON COLUMN queries.timed_calls IS 'Those with a duration.';

CREATE TABLE executions (
  server_id        BIGINT  NOT NULL,
  started_at       BIGINT  NOT NULL,
  id               BIGINT  NOT NULL,
  query_id         BIGINT  NOT NULL,
  generation_id    BIGINT  NOT NULL,
  offset_bytes     BIGINT  NOT NULL,
  kind             TEXT    NOT NULL,
  user_name        TEXT,
  application_name TEXT,
  process_id       BIGINT,
  session_id       TEXT,
  duration_ms      DOUBLE PRECISION,
  duration_source  TEXT,
  parse_ms         DOUBLE PRECISION,
  bind_ms          DOUBLE PRECISION,
  rows             DOUBLE PRECISION,
  sql_state        TEXT,
  failed           BOOLEAN NOT NULL,
  parent_id        BIGINT,
  server_query_id  BIGINT,
  plan_count       BIGINT  NOT NULL,
  open             BOOLEAN NOT NULL,
  time_assumed     BOOLEAN NOT NULL,
  PRIMARY KEY (server_id, started_at, id)
) PARTITION BY RANGE (started_at);
SELECT app_distribute('executions');
CREATE INDEX executions_of_query ON executions (server_id, query_id, started_at, id);
CREATE INDEX executions_open ON executions (server_id, query_id) WHERE open;
COMMENT ON TABLE executions IS 'One run of a statement that ended or failed.';
COMMENT ON COLUMN executions.id IS 'Hash of generation and offset.';
COMMENT ON COLUMN executions.offset_bytes IS 'Of its first record.';
COMMENT ON COLUMN executions.kind IS 'statement, execute, fastpath, plan-only, nested, failed';
COMMENT ON COLUMN executions.duration_source IS 'statement, plan';
COMMENT ON COLUMN executions.rows IS 'Of the last plan''s root, all loops together.';
COMMENT ON COLUMN executions.parent_id IS 'The execution that ran this one; its row may be missing.';
COMMENT ON COLUMN executions.open IS 'True while its other half may still come.';

CREATE TABLE plan_shapes (
  server_id      BIGINT NOT NULL,
  query_id       BIGINT NOT NULL,
  shape          BIGINT NOT NULL,
  first_seen     BIGINT NOT NULL,
  last_seen      BIGINT NOT NULL,
  root_node_type TEXT   NOT NULL,
  PRIMARY KEY (server_id, query_id, shape),
  FOREIGN KEY (server_id, query_id) REFERENCES queries (server_id, id) ON DELETE CASCADE
);
SELECT app_distribute('plan_shapes');
COMMENT ON TABLE plan_shapes IS 'Every plan shape that a query has had, and when.';

CREATE TABLE plans (
  server_id    BIGINT           NOT NULL,
  started_at   BIGINT           NOT NULL,
  execution_id BIGINT           NOT NULL,
  ordinal      BIGINT           NOT NULL,
  query_id     BIGINT           NOT NULL,
  shape        BIGINT           NOT NULL,
  duration_ms  DOUBLE PRECISION NOT NULL,
  format       TEXT             NOT NULL,
  document     BYTEA            NOT NULL,
  PRIMARY KEY (server_id, started_at, execution_id, ordinal)
) PARTITION BY RANGE (started_at);
SELECT app_distribute('plans');
COMMENT ON TABLE plans IS 'One captured plan.';
COMMENT ON COLUMN plans.started_at IS 'Of the execution, as is execution_id.';
COMMENT ON COLUMN plans.ordinal IS 'From 0 in the order logged.';
COMMENT ON COLUMN plans.format IS 'auto_explain.log_format that it was captured in.';
COMMENT ON COLUMN plans.document IS 'Redacted JSON as EXPLAIN (FORMAT JSON) shapes it, one zstd frame.';

CREATE TABLE analyses (
  server_id         BIGINT NOT NULL,
  started_at        BIGINT NOT NULL,
  execution_id      BIGINT NOT NULL,
  query_id          BIGINT NOT NULL,
  execution_time_ms DOUBLE PRECISION,
  seq_scan_detected BOOLEAN,
  severity          BIGINT,
  PRIMARY KEY (server_id, started_at, execution_id)
) PARTITION BY RANGE (started_at);
SELECT app_distribute('analyses');
CREATE INDEX analyses_of_query ON analyses (server_id, query_id, started_at, execution_id);
CREATE INDEX analyses_slowest ON analyses (server_id, query_id, execution_time_ms);
COMMENT ON TABLE analyses IS 'What the rules found of one execution, in short.';
COMMENT ON COLUMN analyses.started_at IS 'Of the execution.';
COMMENT ON COLUMN analyses.seq_scan_detected IS 'NULL without a readable plan.';
COMMENT ON COLUMN analyses.severity IS 'Of the worst finding; NULL without findings.';

CREATE TABLE findings (
  server_id     BIGINT NOT NULL,
  started_at    BIGINT NOT NULL,
  execution_id  BIGINT NOT NULL,
  ordinal       BIGINT NOT NULL,
  rule          TEXT   NOT NULL,
  severity      BIGINT NOT NULL,
  plan_ordinal  BIGINT NOT NULL,
  node_path     TEXT,
  message       TEXT   NOT NULL,
  not_decidable TEXT,
  PRIMARY KEY (server_id, started_at, execution_id, ordinal)
) PARTITION BY RANGE (started_at);
SELECT app_distribute('findings');
COMMENT ON TABLE findings IS 'What one rule says of one execution.';
COMMENT ON COLUMN findings.started_at IS 'Of the execution.';
COMMENT ON COLUMN findings.ordinal IS 'From 0 in the order found.';
COMMENT ON COLUMN findings.node_path IS 'Child numbers from the plan''s root; NULL where it is about the execution.';
COMMENT ON COLUMN findings.not_decidable IS 'The setting that is missing to decide.';

CREATE TABLE breaches (
  server_id            BIGINT NOT NULL,
  id                   BIGINT NOT NULL,
  query_id             BIGINT NOT NULL,
  kind                 TEXT   NOT NULL,
  opened_at            BIGINT NOT NULL,
  closed_at            BIGINT,
  execution_id         BIGINT NOT NULL,
  execution_started_at BIGINT NOT NULL,
  severity             BIGINT NOT NULL,
  message              TEXT   NOT NULL,
  PRIMARY KEY (server_id, id),
  FOREIGN KEY (server_id, query_id) REFERENCES queries (server_id, id) ON DELETE CASCADE
);
SELECT app_distribute('breaches');
CREATE UNIQUE INDEX breaches_open ON breaches (server_id, query_id, kind) WHERE closed_at IS NULL;
COMMENT ON TABLE breaches IS 'A query crossing a threshold of the policy.';
COMMENT ON COLUMN breaches.id IS 'Hash of query, kind and execution.';
COMMENT ON COLUMN breaches.kind IS 'slow, new-slow-query';

CREATE TABLE recommendations (
  server_id        BIGINT NOT NULL,
  id               BIGINT NOT NULL,
  query_id         BIGINT NOT NULL,
  created_at       BIGINT NOT NULL,
  source           TEXT   NOT NULL,
  kind             TEXT   NOT NULL,
  rules            TEXT   NOT NULL,
  severity         BIGINT NOT NULL,
  confidence_score DOUBLE PRECISION,
  verification     TEXT   NOT NULL,
  summary          TEXT   NOT NULL,
  explanation      TEXT   NOT NULL,
  disproof         TEXT,
  command          TEXT,
  PRIMARY KEY (server_id, id),
  FOREIGN KEY (server_id, query_id) REFERENCES queries (server_id, id) ON DELETE CASCADE
);
SELECT app_distribute('recommendations');
CREATE INDEX recommendations_of_query ON recommendations (server_id, query_id);
CREATE INDEX recommendations_by_time ON recommendations (server_id, created_at, id);
COMMENT ON TABLE recommendations IS 'What to change for a query, from a rule or a model.';
COMMENT ON COLUMN recommendations.id IS 'Hash of query, source, kind and what is proposed.';
COMMENT ON COLUMN recommendations.source IS 'rule, model';
COMMENT ON COLUMN recommendations.rules IS 'JSON array of the rules that it answers.';
COMMENT ON COLUMN recommendations.confidence_score IS '0 to 1; NULL where nothing can be said.';
COMMENT ON COLUMN recommendations.verification IS 'names, plan';

CREATE TABLE advice_jobs (
  server_id            BIGINT NOT NULL,
  id                   BIGINT NOT NULL,
  query_id             BIGINT NOT NULL,
  breach_id            BIGINT NOT NULL,
  execution_id         BIGINT NOT NULL,
  execution_started_at BIGINT NOT NULL,
  state                TEXT   NOT NULL,
  attempts             BIGINT NOT NULL,
  reason               TEXT,
  created_us           BIGINT NOT NULL,
  locked_until_us      BIGINT,
  run_after_us         BIGINT NOT NULL,
  PRIMARY KEY (server_id, id),
  FOREIGN KEY (server_id, query_id) REFERENCES queries (server_id, id) ON DELETE CASCADE
);
SELECT app_distribute('advice_jobs');
CREATE INDEX advice_jobs_waiting ON advice_jobs (server_id, run_after_us) WHERE state IN ('queued', 'running');
COMMENT ON TABLE advice_jobs IS 'Advice to be asked for, one job for each execution that opened a breach. Claimed server by server.';
COMMENT ON COLUMN advice_jobs.id IS 'Hash of query and execution.';
COMMENT ON COLUMN advice_jobs.state IS 'queued, running, done, rejected, failed';
COMMENT ON COLUMN advice_jobs.attempts IS 'How often it was claimed.';
COMMENT ON COLUMN advice_jobs.reason IS 'Of the last refusal or failure.';
COMMENT ON COLUMN advice_jobs.locked_until_us IS 'A running job may be claimed again after this.';

CREATE TABLE query_stats (
  server_id    BIGINT           NOT NULL,
  query_id     BIGINT           NOT NULL,
  hour         BIGINT           NOT NULL,
  calls        BIGINT           NOT NULL,
  failed       BIGINT           NOT NULL,
  total_ms     DOUBLE PRECISION NOT NULL,
  timed_calls  BIGINT           NOT NULL,
  min_ms       DOUBLE PRECISION,
  max_ms       DOUBLE PRECISION,
  rows         DOUBLE PRECISION NOT NULL,
  nested_calls BIGINT           NOT NULL,
  nested_ms    DOUBLE PRECISION NOT NULL,
  PRIMARY KEY (server_id, query_id, hour)
);
SELECT app_distribute('query_stats');
CREATE INDEX query_stats_by_hour ON query_stats (server_id, hour);
COMMENT ON TABLE query_stats IS 'Closed executions by the hour in which they started. Nested ones count in their own query''s calls and total_ms; nested_* say how much of that is nested, so that the server''s time is total_ms - nested_ms.';
COMMENT ON COLUMN query_stats.hour IS 'Its first microsecond.';
COMMENT ON COLUMN query_stats.timed_calls IS 'Those with a duration.';

CREATE VIEW open_activity AS
SELECT server_id, query_id, started_at - ((started_at % 3600000000) + 3600000000) % 3600000000 AS hour, CAST(1 AS BIGINT) AS calls,
       CAST(CASE WHEN failed THEN 1 ELSE 0 END AS BIGINT) AS failed, coalesce(duration_ms, 0.0) AS total_ms,
       CAST(CASE WHEN duration_ms IS NOT NULL THEN 1 ELSE 0 END AS BIGINT) AS timed_calls, duration_ms AS min_ms, duration_ms AS max_ms,
       coalesce(rows, 0.0) AS rows, CAST(CASE WHEN parent_id IS NOT NULL THEN 1 ELSE 0 END AS BIGINT) AS nested_calls,
       CASE WHEN parent_id IS NULL THEN 0.0 ELSE coalesce(duration_ms, 0.0) END AS nested_ms
  FROM executions
 WHERE open;
COMMENT ON VIEW open_activity IS 'The open executions as if they had closed, each as a row of query_stats.';

CREATE VIEW query_activity AS
SELECT server_id, query_id, hour, calls, failed, total_ms, timed_calls, min_ms, max_ms, rows, nested_calls, nested_ms
  FROM query_stats
UNION ALL
SELECT server_id, query_id, hour, calls, failed, total_ms, timed_calls, min_ms, max_ms, rows, nested_calls, nested_ms
  FROM open_activity;
COMMENT ON VIEW query_activity IS 'query_stats with the open executions: every logged execution exactly once.';

CREATE VIEW executions_readable AS
SELECT s.name AS server, q.database_name,
       to_char(to_timestamp(e.started_at / 1000000.0) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS started_at,
       e.duration_ms, e.kind, e.user_name, e.application_name, e.rows, e.sql_state, e.failed, e.plan_count, e.open, q.normalized_sql,
       e.server_id, e.query_id, e.id
  FROM executions e
  JOIN queries q ON q.server_id = e.server_id AND q.id = e.query_id
  JOIN servers s ON s.id = e.server_id;
COMMENT ON VIEW executions_readable IS 'For people with a SQL prompt: names and readable times.';
