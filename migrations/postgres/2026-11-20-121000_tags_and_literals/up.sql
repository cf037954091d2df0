-- What the configuration keeps of statements beside the query. NULL unless it says so.

ALTER TABLE executions ADD COLUMN tags TEXT;
COMMENT ON COLUMN executions.tags IS 'JSON array of [key, value]: those of privacy.query_tags in the statement''s comments.';

-- The only columns that hold literals.
ALTER TABLE executions ADD COLUMN statement TEXT;
ALTER TABLE executions ADD COLUMN parameters TEXT;
COMMENT ON COLUMN executions.statement IS 'As logged, only with privacy.literals = "keep"; cut texts end in '' …''.';
COMMENT ON COLUMN executions.parameters IS '$1 = ''…'', $2 = NULL, only with privacy.literals = "keep"; cut texts end in '' …''.';
