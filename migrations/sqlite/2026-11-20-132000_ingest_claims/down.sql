ALTER TABLE servers DROP COLUMN ingest_claim;
