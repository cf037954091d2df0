-- History that outlives the hours: the same sums by the day, the durations as sketches, and who runs a query.

ALTER TABLE query_stats ADD COLUMN sketch BYTEA;
COMMENT ON COLUMN query_stats.sketch IS 'Durations of the row''s executions: the bins of a DDSketch, at most 1 % off. NULL for up to two timed calls, which min_ms and max_ms tell, and for rows that were stored before there were sketches. Opaque here: merged by plantail.';

CREATE TABLE query_stats_daily (
  server_id       BIGINT           NOT NULL,
  query_id        BIGINT           NOT NULL,
  day             BIGINT           NOT NULL,
  calls           BIGINT           NOT NULL,
  failed          BIGINT           NOT NULL,
  total_ms        DOUBLE PRECISION NOT NULL,
  timed_calls     BIGINT           NOT NULL,
  min_ms          DOUBLE PRECISION,
  max_ms          DOUBLE PRECISION,
  rows            DOUBLE PRECISION NOT NULL,
  nested_calls    BIGINT           NOT NULL,
  nested_ms       DOUBLE PRECISION NOT NULL,
  estimated_calls DOUBLE PRECISION NOT NULL,
  weighed_calls   BIGINT           NOT NULL,
  hours_dropped   BOOLEAN          NOT NULL DEFAULT false,
  sketch          BYTEA,
  PRIMARY KEY (server_id, query_id, day)
);
SELECT app_distribute('query_stats_daily');
CREATE INDEX query_stats_daily_by_day ON query_stats_daily (server_id, day);
COMMENT ON TABLE query_stats_daily IS 'query_stats by the day (UTC), written with it. After some weeks the hours of a day are deleted and this is what remains.';
COMMENT ON COLUMN query_stats_daily.day IS 'Its first microsecond.';
COMMENT ON COLUMN query_stats_daily.hours_dropped IS 'query_stats has no hours of this query and day, and gets none.';

INSERT INTO query_stats_daily (server_id, query_id, day, calls, failed, total_ms, timed_calls, min_ms, max_ms, rows, nested_calls,
                               nested_ms, estimated_calls, weighed_calls)
SELECT server_id, query_id, hour - ((hour % 86400000000) + 86400000000) % 86400000000, sum(calls), sum(failed), sum(total_ms),
       sum(timed_calls), min(min_ms), max(max_ms), sum(rows), sum(nested_calls), sum(nested_ms), sum(estimated_calls), sum(weighed_calls)
  FROM query_stats
 GROUP BY server_id, query_id, hour - ((hour % 86400000000) + 86400000000) % 86400000000;

CREATE TABLE query_users (
  server_id        BIGINT           NOT NULL,
  query_id         BIGINT           NOT NULL,
  day              BIGINT           NOT NULL,
  user_name        TEXT             NOT NULL,
  application_name TEXT             NOT NULL,
  calls            BIGINT           NOT NULL,
  failed           BIGINT           NOT NULL,
  total_ms         DOUBLE PRECISION NOT NULL,
  PRIMARY KEY (server_id, query_id, day, user_name, application_name)
);
SELECT app_distribute('query_users');
CREATE INDEX query_users_by_day ON query_users (server_id, day);
COMMENT ON TABLE query_users IS 'Closed executions of a query by the day, the user and the application. Clients choose the names: a query has a limited number of pairs a day, and the rest counts under (other), (other).';
COMMENT ON COLUMN query_users.user_name IS 'Empty where the log doesn''t tell, as application_name.';
