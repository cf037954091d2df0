-- Where nested executions were run from, and what executions stand for in a sampled log.

ALTER TABLE executions ADD COLUMN call_function TEXT;
ALTER TABLE executions ADD COLUMN call_line BIGINT;
ALTER TABLE executions ADD COLUMN call_depth BIGINT;
COMMENT ON COLUMN executions.call_function IS 'From the CONTEXT of its plan; NULL, as call_line and call_depth, for top-level executions and where the log shows no CONTEXT.';
COMMENT ON COLUMN executions.call_line IS 'Of the function''s body; for a function in SQL the number of its statement.';
COMMENT ON COLUMN executions.call_depth IS '1 directly below the top-level execution.';

ALTER TABLE executions ADD COLUMN nested_count BIGINT NOT NULL DEFAULT 0;
COMMENT ON COLUMN executions.nested_count IS 'How many nested executions with a plan it has run.';

ALTER TABLE executions ADD COLUMN weight DOUBLE PRECISION;
COMMENT ON COLUMN executions.weight IS 'How many executions this one stands for; NULL where the server''s sample rates are not configured.';

ALTER TABLE query_stats ADD COLUMN estimated_calls DOUBLE PRECISION NOT NULL DEFAULT 0;
ALTER TABLE query_stats ADD COLUMN weighed_calls BIGINT NOT NULL DEFAULT 0;
ALTER TABLE queries ADD COLUMN estimated_calls DOUBLE PRECISION NOT NULL DEFAULT 0;
ALTER TABLE queries ADD COLUMN weighed_calls BIGINT NOT NULL DEFAULT 0;
COMMENT ON COLUMN query_stats.estimated_calls IS 'Sum of the weights of closed executions. Without a weight for every call the sum means nothing.';
COMMENT ON COLUMN query_stats.weighed_calls IS 'How many of the calls have a weight.';
COMMENT ON COLUMN queries.estimated_calls IS 'Sum of the weights of closed executions. Without a weight for every call the sum means nothing.';
COMMENT ON COLUMN queries.weighed_calls IS 'How many of the calls have a weight.';

-- Parents by their id, and what they have run in the order in which it began.
CREATE INDEX executions_parents ON executions (server_id, id, started_at) WHERE nested_count > 0;
CREATE INDEX executions_nested ON executions (server_id, parent_id, started_at, id) WHERE parent_id IS NOT NULL;
