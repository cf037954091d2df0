-- shop-primary: database shop. Customers, purchases and parcels of Fern & Furrow, which sells seeds, bulbs and garden
-- tools by post. All people, addresses, phone numbers and card numbers are invented.
SELECT setseed(0.15);

CREATE TABLE customer (
    customer_id bigint PRIMARY KEY,
    email       text NOT NULL,
    full_name   text NOT NULL,
    phone       text NOT NULL,
    city        text NOT NULL,
    joined_on   date NOT NULL
);

INSERT INTO customer
SELECT n,
       lower(first) || '.' || lower(last) || n || '@example.com',
       first || ' ' || last,
       '+44 7700 9' || lpad((n * 7919 % 100000)::text, 5, '0'),
       city,
       date '2019-03-01' + n / 80
FROM generate_series(1, 200000) AS n,
     LATERAL (SELECT (ARRAY['Maja','Tomas','Ines','Oskar','Freya','Pavel','Noor','Emil','Rosa','Hugo'])[1 + n % 10] AS first,
                     (ARRAY['Lindqvist','Moreau','Keane','Novak','Haddad','Brandt','Okafor','Silva'])[1 + n / 10 % 8] AS last,
                     (ARRAY['Bergen','Leiden','Cork','Brno','Porto','Kassel','Uppsala'])[1 + n / 7 % 7] AS city) AS person;

ALTER TABLE customer ADD CONSTRAINT customer_email_key UNIQUE (email);

CREATE TABLE variety (
    variety_id bigint PRIMARY KEY,
    name       text NOT NULL,
    kind       text NOT NULL
);

INSERT INTO variety
SELECT n,
       (ARRAY['Amber','Dusk','Old Garden','Early','Velvet','Snow'])[1 + n % 6] || ' '
         || (ARRAY['Tulip','Leek','Foxglove','Runner Bean','Dahlia','Marigold','Kale'])[1 + n / 6 % 7] || ' ' || n,
       (ARRAY['bulb','seed','plug plant','tool'])[1 + n % 4]
FROM generate_series(1, 4000) AS n;

CREATE TABLE purchase (
    purchase_id   bigint PRIMARY KEY,
    customer_id   bigint NOT NULL,
    placed_at     timestamptz NOT NULL,
    depot         text NOT NULL,
    status        text NOT NULL,
    tracking_code text NOT NULL,
    card_number   text NOT NULL,
    ship_name     text NOT NULL,
    total_cents   integer NOT NULL
);

-- The returns of early 2025 were never closed: every 'return_open' row is old.
INSERT INTO purchase
SELECT n,
       1 + (random() * 199000)::bigint,
       timestamptz '2024-12-01 06:00+00' + n * interval '51.5 seconds',
       (ARRAY['north','south','coast','hill'])[1 + n % 4],
       CASE WHEN n < 60000 AND n % 9 = 0 THEN 'return_open' WHEN n > 1185000 THEN 'paid' ELSE 'sent' END,
       'FF' || lpad((n::bigint * 104729 % 99999999)::text, 8, '0'),
       '4000 00' || lpad((n % 97)::text, 2, '0') || ' ' || lpad((n * 31 % 10000)::text, 4, '0') || ' ' || lpad((n * 17 % 10000)::text, 4, '0'),
       (ARRAY['Maja','Tomas','Ines','Oskar','Freya','Pavel','Noor','Emil','Rosa','Hugo'])[1 + n % 10] || ' '
         || (ARRAY['Lindqvist','Moreau','Keane','Novak','Haddad','Brandt','Okafor','Silva'])[1 + n / 13 % 8],
       500 + (random() * 9000)::int
FROM generate_series(1, 1200000) AS n;

CREATE INDEX purchase_placed_at_idx ON purchase (placed_at);
CREATE INDEX purchase_customer_id_idx ON purchase (customer_id);

CREATE TABLE purchase_line (
    purchase_line_id bigint PRIMARY KEY,
    purchase_id      bigint NOT NULL,
    variety_id       bigint NOT NULL,
    quantity         integer NOT NULL
);

INSERT INTO purchase_line
SELECT n, 1 + n / 4, 1 + (random() * random() * 3999)::bigint, 1 + (random() * 5)::int
FROM generate_series(1, 4799999) AS n;

CREATE INDEX purchase_line_purchase_id_idx ON purchase_line (purchase_id);

CREATE TABLE parcel_event (
    parcel_event_id bigint PRIMARY KEY,
    carrier         text NOT NULL,
    parcel_no       text NOT NULL,
    scanned_at      timestamptz NOT NULL,
    place           text NOT NULL
);

INSERT INTO parcel_event
SELECT n,
       (ARRAY['heron','swiftpost','tern'])[1 + n % 3],
       'P' || lpad((n * 7 % 600000)::text, 7, '0'),
       timestamptz '2026-05-01 05:00+00' + n * interval '9 seconds',
       (ARRAY['sorting hall','van','counter','doorstep'])[1 + n % 4]
FROM generate_series(1, 1900000) AS n;

CREATE TABLE basket (
    basket_id   bigint PRIMARY KEY,
    customer_id bigint NOT NULL,
    updated_at  timestamptz NOT NULL
);

INSERT INTO basket
SELECT n, 1 + (random() * 199000)::bigint, timestamptz '2026-01-01 00:00+00' + n * interval '12 seconds'
FROM generate_series(1, 2200000) AS n;

-- basket.customer_id has no index, so deleting a customer reads every basket.
ALTER TABLE purchase ADD FOREIGN KEY (customer_id) REFERENCES customer;
ALTER TABLE basket ADD FOREIGN KEY (customer_id) REFERENCES customer;

CREATE TABLE stock (
    variety_id bigint NOT NULL,
    depot      text NOT NULL,
    on_hand    integer NOT NULL CHECK (on_hand >= 0),
    PRIMARY KEY (variety_id, depot)
);

INSERT INTO stock
SELECT variety_id, depot, 400 + (variety_id % 300)::int
FROM variety, unnest(ARRAY['north','south','coast','hill']) AS depot;

CREATE TABLE till_day (
    depot       text NOT NULL,
    day         date NOT NULL,
    purchases   integer NOT NULL,
    total_cents bigint NOT NULL
);

-- The cast hides placed_at from its index: the inner statement reads the whole table.
CREATE FUNCTION close_till(closed_day date) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    closed_depot text;
    sold integer;
    cents bigint;
BEGIN
    FOREACH closed_depot IN ARRAY ARRAY['north', 'south', 'coast', 'hill', 'market'] LOOP
        SELECT count(*), coalesce(sum(total_cents), 0) INTO sold, cents
        FROM purchase
        WHERE depot = closed_depot AND (placed_at AT TIME ZONE 'Europe/Dublin')::date = closed_day;
        INSERT INTO till_day VALUES (closed_depot, closed_day, sold, cents);
    END LOOP;
END
$$;

CREATE ROLE web LOGIN;
CREATE ROLE worker LOGIN;
CREATE ROLE support LOGIN;
ALTER ROLE support SET statement_timeout = '1500ms';
GRANT pg_read_all_data, pg_write_all_data TO web, worker, support;
