-- Back to days by query.

CREATE TABLE query_stats_by_day (
  server_id       INTEGER NOT NULL,
  query_id        INTEGER NOT NULL,
  day             INTEGER NOT NULL,              -- its first microsecond
  calls           INTEGER NOT NULL,
  failed          INTEGER NOT NULL,
  total_ms        REAL    NOT NULL,
  timed_calls     INTEGER NOT NULL,
  min_ms          REAL,
  max_ms          REAL,
  rows            REAL    NOT NULL,
  nested_calls    INTEGER NOT NULL,
  nested_ms       REAL    NOT NULL,
  estimated_calls REAL    NOT NULL,
  weighed_calls   INTEGER NOT NULL,
  hours_dropped   INTEGER NOT NULL DEFAULT 0,    -- 1: query_stats has no hours of this query and day, and gets none
  sketch          BLOB,
  PRIMARY KEY (server_id, query_id, day)
) STRICT, WITHOUT ROWID;
INSERT INTO query_stats_by_day SELECT * FROM query_stats_daily ORDER BY server_id, query_id, day;
DROP TABLE query_stats_daily;
ALTER TABLE query_stats_by_day RENAME TO query_stats_daily;
CREATE INDEX query_stats_daily_by_day ON query_stats_daily (server_id, day);
