DROP TABLE query_users;
DROP TABLE query_stats_daily;
ALTER TABLE query_stats DROP COLUMN sketch;
