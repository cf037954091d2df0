ALTER TABLE executions DROP COLUMN parameters;
ALTER TABLE executions DROP COLUMN statement;
ALTER TABLE executions DROP COLUMN tags;
