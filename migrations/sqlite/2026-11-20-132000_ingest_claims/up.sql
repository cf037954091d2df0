-- Which claim of the server's ingest is the newest: a process that has lost its own stores nothing any more.

ALTER TABLE servers ADD COLUMN ingest_claim INTEGER NOT NULL DEFAULT 0;
