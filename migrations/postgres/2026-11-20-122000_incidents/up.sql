-- What the log tells of executions besides their time. Partitioned by time as executions are.
CREATE TABLE incidents (
  server_id     BIGINT  NOT NULL,
  log_time      BIGINT  NOT NULL,
  generation_id BIGINT  NOT NULL,
  offset_bytes  BIGINT  NOT NULL,
  kind          TEXT    NOT NULL,
  query_id      BIGINT,
  started_at    BIGINT,
  execution_id  BIGINT,
  size_bytes    BIGINT,
  wait_ms       DOUBLE PRECISION,
  lock_mode     TEXT,
  lock_type     TEXT,
  waiting_pid   BIGINT,
  holder_pids   TEXT    NOT NULL,
  PRIMARY KEY (server_id, log_time, generation_id, offset_bytes)
) PARTITION BY RANGE (log_time);
SELECT app_distribute('incidents');
CREATE INDEX incidents_of_query ON incidents (server_id, query_id, log_time) WHERE query_id IS NOT NULL;
CREATE INDEX incidents_of_execution ON incidents (server_id, started_at, execution_id) WHERE execution_id IS NOT NULL;
COMMENT ON TABLE incidents IS 'What the log tells of executions besides their time: temporary files, waits for locks, deadlocks, cancellations. One row for each such record. query_id and the execution''s key are NULL where the log doesn''t tell; the rows that they name may be missing. No column holds a name, a path or a statement.';
COMMENT ON COLUMN incidents.offset_bytes IS 'Of its record.';
COMMENT ON COLUMN incidents.kind IS 'temporary-file, lock-wait, lock-acquired, deadlock, statement-timeout, …';
COMMENT ON COLUMN incidents.started_at IS 'Of the execution.';
COMMENT ON COLUMN incidents.size_bytes IS 'Of the temporary file.';
COMMENT ON COLUMN incidents.wait_ms IS 'For the lock, so far.';
COMMENT ON COLUMN incidents.lock_mode IS 'ShareLock, AccessExclusiveLock, …';
COMMENT ON COLUMN incidents.lock_type IS 'As in pg_locks.locktype.';
COMMENT ON COLUMN incidents.holder_pids IS 'JSON array.';
