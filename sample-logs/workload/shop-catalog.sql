-- shop-catalog: database catalog. The pages, prices and photos that visitors of the shop see.
SELECT setseed(0.18);

CREATE TABLE variety_page (
    variety_id  bigint PRIMARY KEY,
    slug        text NOT NULL UNIQUE,
    title       text NOT NULL,
    description text NOT NULL,
    traits      jsonb NOT NULL
);

INSERT INTO variety_page
SELECT n,
       'variety-' || n,
       (ARRAY['Amber','Dusk','Old Garden','Early','Velvet','Snow'])[1 + n % 6] || ' '
         || (ARRAY['Tulip','Leek','Foxglove','Runner Bean','Dahlia','Marigold','Kale'])[1 + n / 6 % 7],
       repeat('Sow under glass in March and plant out when the nights are mild. Sturdy stems, long season. ', 3 + n % 4)
         || 'Trial bed ' || n % 811 || '.',
       jsonb_build_object('height_cm', 10 + n % 180, 'light', (ARRAY['sun','half shade','shade'])[1 + n % 3],
                          'scented', n % 11 = 0, 'grower', jsonb_build_object('name', 'Grower ' || n % 57, 'mail', 'grower' || n % 57 || '@example.com'))
FROM generate_series(1, 120000) AS n;

-- No index on variety_id: each look-up of one price reads the whole table.
CREATE TABLE price_rule (
    price_rule_id bigint PRIMARY KEY,
    variety_id    bigint NOT NULL,
    currency      text NOT NULL,
    cents         integer NOT NULL
);

INSERT INTO price_rule
SELECT n, 1 + n / 2, (ARRAY['EUR','SEK'])[1 + n % 2], 150 + n % 2400
FROM generate_series(1, 60000) AS n;

CREATE TABLE photo (
    photo_id  bigint PRIMARY KEY,
    album     text NOT NULL,
    url       text NOT NULL,
    taken_by  text NOT NULL,
    taken_on  date NOT NULL
);

INSERT INTO photo
SELECT n,
       'album ' || n % 160,
       'https://img.example.com/' || md5(n::text) || '.jpg',
       (ARRAY['Maja Lindqvist','Oskar Keane','Freya Novak','Pavel Brandt'])[1 + n % 4],
       date '2021-01-01' + n % 2000
FROM generate_series(1, 1200000) AS n;

CREATE TABLE reindex_job (
    job_id     bigint PRIMARY KEY,
    variety_id bigint NOT NULL,
    state      text NOT NULL
);

INSERT INTO reindex_job SELECT n, n, 'done' FROM generate_series(1, 3000) AS n;

CREATE ROLE pages LOGIN;
CREATE ROLE indexer LOGIN;
GRANT pg_read_all_data, pg_write_all_data TO pages, indexer;
