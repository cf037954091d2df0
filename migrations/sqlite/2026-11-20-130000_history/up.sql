-- History that outlives the hours: the same sums by the day, the durations as sketches, and who runs a query.

-- Durations of the row's executions: the bins of a DDSketch, at most 1 % off. NULL for up to two timed calls, which min_ms and max_ms
-- tell, and for rows that were stored before there were sketches. Opaque here: merged by plantail.
ALTER TABLE query_stats ADD COLUMN sketch BLOB;

-- query_stats by the day (UTC), written with it. After some weeks the hours of a day are deleted and this is what remains.
CREATE TABLE query_stats_daily (
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
CREATE INDEX query_stats_daily_by_day ON query_stats_daily (server_id, day);

INSERT INTO query_stats_daily (server_id, query_id, day, calls, failed, total_ms, timed_calls, min_ms, max_ms, rows, nested_calls,
                               nested_ms, estimated_calls, weighed_calls)
SELECT server_id, query_id, hour - ((hour % 86400000000) + 86400000000) % 86400000000 AS day, sum(calls), sum(failed), sum(total_ms),
       sum(timed_calls), min(min_ms), max(max_ms), sum(rows), sum(nested_calls), sum(nested_ms), sum(estimated_calls), sum(weighed_calls)
  FROM query_stats
 GROUP BY server_id, query_id, day;

-- Closed executions of a query by the day, the user and the application. Clients choose the names: a query has a limited number of pairs a
-- day, and the rest counts under ('(other)', '(other)').
CREATE TABLE query_users (
  server_id        INTEGER NOT NULL,
  query_id         INTEGER NOT NULL,
  day              INTEGER NOT NULL,
  user_name        TEXT    NOT NULL,             -- '' where the log doesn't tell
  application_name TEXT    NOT NULL,
  calls            INTEGER NOT NULL,
  failed           INTEGER NOT NULL,
  total_ms         REAL    NOT NULL,
  PRIMARY KEY (server_id, query_id, day, user_name, application_name)
) STRICT, WITHOUT ROWID;
CREATE INDEX query_users_by_day ON query_users (server_id, day);
