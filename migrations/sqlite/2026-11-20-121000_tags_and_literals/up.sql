-- What the configuration keeps of statements beside the query. NULL unless it says so.

ALTER TABLE executions ADD COLUMN tags TEXT;           -- JSON array of [key, value]: those of privacy.query_tags in the statement's comments
-- The only columns that hold literals, and only with privacy.literals = "keep"; cut texts end in ' …'.
ALTER TABLE executions ADD COLUMN statement TEXT;      -- as logged
ALTER TABLE executions ADD COLUMN parameters TEXT;     -- $1 = '…', $2 = NULL
