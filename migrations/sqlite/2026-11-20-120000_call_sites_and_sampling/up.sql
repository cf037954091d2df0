-- Where nested executions were run from, and what executions stand for in a sampled log.

-- From the CONTEXT of its plan; NULL for top-level executions and where the log shows no CONTEXT.
ALTER TABLE executions ADD COLUMN call_function TEXT;
ALTER TABLE executions ADD COLUMN call_line INTEGER;   -- of the function's body; for a function in SQL the number of its statement
ALTER TABLE executions ADD COLUMN call_depth INTEGER;  -- 1 directly below the top-level execution

-- How many nested executions with a plan it has run.
ALTER TABLE executions ADD COLUMN nested_count INTEGER NOT NULL DEFAULT 0;

-- How many executions this one stands for; NULL where the server's sample rates are not configured.
ALTER TABLE executions ADD COLUMN weight REAL;

-- Sum of the weights of closed executions, and how many of the calls have one. Without a weight for every call the sum means nothing.
ALTER TABLE query_stats ADD COLUMN estimated_calls REAL NOT NULL DEFAULT 0;
ALTER TABLE query_stats ADD COLUMN weighed_calls INTEGER NOT NULL DEFAULT 0;
ALTER TABLE queries ADD COLUMN estimated_calls REAL NOT NULL DEFAULT 0;
ALTER TABLE queries ADD COLUMN weighed_calls INTEGER NOT NULL DEFAULT 0;

-- Parents by their id, and what they have run in the order in which it began.
CREATE INDEX executions_parents ON executions (server_id, id, started_at) WHERE nested_count > 0;
CREATE INDEX executions_nested ON executions (server_id, parent_id, started_at, id) WHERE parent_id IS NOT NULL;
