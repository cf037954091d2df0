-- Back to days by query.

DROP INDEX query_stats_daily_of_query;
ALTER TABLE query_stats_daily DROP CONSTRAINT query_stats_daily_pkey;
ALTER TABLE query_stats_daily ADD PRIMARY KEY (server_id, query_id, day);
CREATE INDEX query_stats_daily_by_day ON query_stats_daily (server_id, day);
