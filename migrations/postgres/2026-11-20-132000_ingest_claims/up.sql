-- Which claim of the server's ingest is the newest: a process that has lost its own stores nothing any more.

ALTER TABLE servers ADD COLUMN ingest_claim BIGINT NOT NULL DEFAULT 0;
COMMENT ON COLUMN servers.ingest_claim IS 'Raised by every process that takes over the ingest of this server''s logs.';
