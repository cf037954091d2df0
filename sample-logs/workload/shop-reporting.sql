-- shop-reporting: database reports. Sales, visits and the sales figures that partners send, copied here for analysis.
SELECT setseed(0.16);

CREATE TABLE sold_line (
    sold_line_id  bigint NOT NULL,
    customer_ref  text NOT NULL,
    variety_id    integer NOT NULL,
    sold_on       date NOT NULL,
    channel       text NOT NULL,
    quantity      integer NOT NULL,
    revenue_cents integer NOT NULL
);

INSERT INTO sold_line
SELECT n,
       'C-' || lpad((1 + (random() * 399999)::int)::text, 7, '0'),
       1 + (random() * 3999)::int,
       date '2025-01-02' + n / 1760,
       (ARRAY['web','phone','market stall','partner'])[1 + n % 4],
       1 + n % 5,
       300 + (random() * 4000)::int
FROM generate_series(1, 1200000) AS n;

CREATE INDEX sold_line_variety_id_idx ON sold_line (variety_id);
CREATE INDEX sold_line_sold_on_idx ON sold_line (sold_on);

CREATE TABLE subscriber (
    customer_ref text PRIMARY KEY,
    email        text NOT NULL,
    full_name    text NOT NULL,
    town         text NOT NULL,
    wants_letter boolean NOT NULL
);

INSERT INTO subscriber
SELECT 'C-' || lpad(n::text, 7, '0'),
       'reader' || n || '@example.com',
       (ARRAY['Maja','Tomas','Ines','Oskar','Freya','Pavel','Noor'])[1 + n % 7] || ' '
         || (ARRAY['Lindqvist','Moreau','Keane','Novak','Haddad','Brandt'])[1 + n / 7 % 6],
       (ARRAY['Bergen','Leiden','Cork','Brno','Porto'])[1 + n % 5],
       n % 10 < 9
FROM generate_series(1, 400000) AS n;

CREATE TABLE web_visit (
    visited_at  timestamptz NOT NULL,
    visitor     text NOT NULL,
    campaign_id integer NOT NULL,
    page        text NOT NULL,
    seconds     integer NOT NULL
);

INSERT INTO web_visit
SELECT timestamptz '2026-03-01 00:00+00' + n * interval '13 seconds',
       md5(n::text),
       1 + (random() * 23)::int,
       '/' || (ARRAY['bulbs','seeds','tools','journal','gifts'])[1 + n % 5] || '/' || n % 400,
       (random() * 200)::int
FROM generate_series(1, 1700000) AS n;

CREATE INDEX web_visit_campaign_id_idx ON web_visit (campaign_id);

-- Filled in bulk, and autovacuum, which would refresh the statistics, is off.
CREATE TABLE partner_feed (
    batch_id   integer NOT NULL,
    partner    text NOT NULL,
    contact    text NOT NULL,
    variety_id integer NOT NULL,
    sold_on    date NOT NULL,
    quantity   integer NOT NULL
) WITH (autovacuum_enabled = off);

INSERT INTO partner_feed
SELECT 1 + n % 5, 'Harbour Nurseries', 'orders@harbour.example.com', 1 + n % 4000, date '2026-10-01' + n % 30, 1 + n % 9
FROM generate_series(1, 5000) AS n;

CREATE INDEX partner_feed_batch_id_idx ON partner_feed (batch_id);

CREATE TABLE dashboard_tile (
    tile_id    integer PRIMARY KEY,
    title      text NOT NULL,
    value      bigint NOT NULL
);

INSERT INTO dashboard_tile SELECT n, 'tile ' || n, 0 FROM generate_series(1, 400) AS n;

CREATE ROLE nightly LOGIN;
CREATE ROLE analyst LOGIN;
CREATE ROLE dashboard LOGIN;
ALTER ROLE dashboard SET work_mem = '256kB';
ALTER ROLE nightly SET max_parallel_workers_per_gather = 0;
ALTER ROLE dashboard SET max_parallel_workers_per_gather = 0;
GRANT pg_read_all_data, pg_write_all_data TO nightly, analyst, dashboard;
