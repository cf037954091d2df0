-- The index by day is the one that must hold each row once, and has its query too: a batch writes to the same day of many queries.

DROP INDEX query_stats_daily_by_day;
ALTER TABLE query_stats_daily DROP CONSTRAINT query_stats_daily_pkey;
ALTER TABLE query_stats_daily ADD PRIMARY KEY (server_id, day, query_id);
CREATE INDEX query_stats_daily_of_query ON query_stats_daily (server_id, query_id, day);
