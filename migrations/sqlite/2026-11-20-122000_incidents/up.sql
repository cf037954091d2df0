-- What the log tells of executions besides their time: temporary files, waits for locks, deadlocks, cancellations. One row for each such
-- record. query_id and the execution's key are NULL where the log doesn't tell; the rows that they name may be missing. No column holds
-- a name, a path or a statement.
CREATE TABLE incidents (
  server_id     INTEGER NOT NULL,
  log_time      INTEGER NOT NULL,
  generation_id INTEGER NOT NULL,
  offset_bytes  INTEGER NOT NULL,               -- of its record
  kind          TEXT    NOT NULL,               -- temporary-file, lock-wait, lock-acquired, deadlock, statement-timeout, …
  query_id      INTEGER,
  started_at    INTEGER,                        -- of the execution
  execution_id  INTEGER,
  size_bytes    INTEGER,                        -- of the temporary file
  wait_ms       REAL,                           -- for the lock, so far
  lock_mode     TEXT,                           -- ShareLock, AccessExclusiveLock, …
  lock_type     TEXT,                           -- as in pg_locks.locktype
  waiting_pid   INTEGER,
  holder_pids   TEXT    NOT NULL,               -- JSON array
  PRIMARY KEY (server_id, log_time, generation_id, offset_bytes)
) STRICT, WITHOUT ROWID;
CREATE INDEX incidents_of_query ON incidents (server_id, query_id, log_time) WHERE query_id IS NOT NULL;
CREATE INDEX incidents_of_execution ON incidents (server_id, started_at, execution_id) WHERE execution_id IS NOT NULL;
