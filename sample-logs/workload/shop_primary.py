"""What happens on shop-primary. Each function is one job; its docstring names the trouble that it plants, if any."""

import threading
import time
from datetime import date, datetime, timezone

import psycopg

from sessions import RANDOM, person, tags


def track_parcel(server):
    """Missing index on (carrier, parcel_no): a sequential scan for at most four rows."""
    server.pooled("web", "fern-shop").execute(
        "SELECT scanned_at, place FROM parcel_event WHERE carrier = %s AND parcel_no = %s ORDER BY scanned_at DESC LIMIT 1"
        + tags("parcels", "track"),
        [RANDOM.choice(["heron", "swiftpost", "tern"]), f"P{RANDOM.randrange(600000):07}"],
    )


def find_by_tracking_code(server):
    """Missing index on tracking_code: a sequential scan for one row."""
    server.pooled("support", "help-desk", protocol="simple").execute(
        "SELECT purchase_id, customer_id, ship_name, card_number, status\n  FROM purchase\n WHERE tracking_code = %s",
        [f"FF{RANDOM.randrange(99999999):08}"],
    )


def pick_list(server):
    """Regression: uses purchase_line_purchase_id_idx until migration 0412 drops it."""
    server.pooled("worker", "depot-pick").execute(
        "SELECT l.variety_id, sum(l.quantity) AS pieces\n"
        "  FROM purchase p\n"
        "  JOIN purchase_line l ON l.purchase_id = p.purchase_id\n"
        " WHERE p.depot = %s AND p.placed_at >= %s AND p.placed_at < %s\n"
        " GROUP BY l.variety_id\n ORDER BY pieces DESC\n LIMIT 30",
        [RANDOM.choice(["north", "south", "coast", "hill"]),
         datetime(2026, 9, 1, tzinfo=timezone.utc), datetime(2026, 11, server.day, 5, tzinfo=timezone.utc)],
    )


def bought_together(server):
    """New on day two: joins purchase_line with itself, with an index neither on variety_id nor, by then, on purchase_id."""
    server.pooled("web", "fern-shop").execute(
        "SELECT other.variety_id, count(*) AS together FROM purchase_line mine"
        " JOIN purchase_line other ON other.purchase_id = mine.purchase_id"
        " WHERE mine.variety_id = %s AND other.variety_id <> mine.variety_id"
        " GROUP BY other.variety_id ORDER BY together DESC LIMIT 6" + tags("varieties", "bought_together"),
        [RANDOM.randrange(1, 1500)],
    )


def open_returns(server):
    """Index filter waste: walks purchase_placed_at_idx backwards past a million rows, because all open returns are old."""
    server.pooled("support", "help-desk", protocol="simple").execute(
        "SELECT purchase_id, ship_name, total_cents FROM purchase WHERE status = 'return_open' ORDER BY placed_at DESC LIMIT 20"
    )


def close_till(server):
    """A function whose inner statement, run for each depot, burns the time: a cast hides the indexed column."""
    with server.connect("worker", "till-closing") as session:
        for day in (server.day - 1, server.day):
            session.execute("SELECT close_till(%s)", [date(2026, 11, day)])


def forget_customer(server):
    """Foreign key without an index: deleting one customer reads every basket."""
    name, email, _ = person()
    customer_id = RANDOM.randrange(300000, 900000)
    session = server.pooled("support", "help-desk", protocol="simple")
    session.execute("INSERT INTO customer VALUES (%s, %s, %s, '+44 7700 900142', 'Bergen', '2026-11-01')",
                    [customer_id, f"{customer_id}.{email}", name])
    session.execute("DELETE FROM customer WHERE customer_id = %s", [customer_id])


def search_by_name(server):
    """Runs into statement_timeout: an ERROR, no duration, no plan."""
    name, _, card = person()
    try:
        server.pooled("support", "help-desk", protocol="simple").execute(
            "SELECT p.purchase_id, p.ship_name, c.phone FROM purchase p JOIN customer c USING (customer_id)"
            " WHERE lower(c.full_name || ' ' || c.email) LIKE lower(%s) OR regexp_replace(p.card_number, '[^0-9]', '', 'g') = %s",
            [f"%{name.replace(' ', '%')}@%", card.replace(" ", "")],
        )
    except psycopg.errors.QueryCanceled:
        pass


def register_twice(server):
    """A unique violation: the e-mail address stands in its DETAIL."""
    name, _, _ = person()
    n = RANDOM.randrange(1, 80)
    email = server.pooled("web", "fern-shop").execute("SELECT email FROM customer WHERE customer_id = %s", [n]).fetchone()[0]
    try:
        server.pooled("web", "fern-shop").execute(
            "INSERT INTO customer (customer_id, email, full_name, phone, city, joined_on) VALUES (%s, %s, %s, %s, %s, %s)",
            [RANDOM.randrange(10**6, 10**7), email, name, "+44 7700 900731", "Leiden", date(2026, 11, 18)],
        )
    except psycopg.errors.UniqueViolation:
        pass


def order_more(server):
    """Ordinary writes: enough updates that autovacuum visits stock."""
    with server.connect("worker", "restock", protocol="simple") as session:
        session.execute("UPDATE stock SET on_hand = on_hand + 12 WHERE depot = %s", [RANDOM.choice(["north", "south", "coast", "hill"])])
        session.execute("UPDATE stock SET on_hand = on_hand + 3 WHERE on_hand < 600")


def wait_for_stock(server):
    """A lock wait of more than a second: the statement is slow and its plan isn't."""
    with server.connect("worker", "restock") as first:
        with first.transaction():
            first.execute("UPDATE stock SET on_hand = on_hand - 1 WHERE variety_id = 77 AND depot = 'coast'")
            update = threading.Thread(target=lambda: server.pooled("web", "fern-shop").execute(
                "UPDATE stock SET on_hand = on_hand - %s WHERE variety_id = %s AND depot = %s" + tags("checkout", "reserve"),
                [2, 77, "coast"]))
            update.start()
            time.sleep(1.7)
    update.join()


def deadlock(server):
    """Two depots exchange pieces in opposite order."""
    both_hold_one = threading.Barrier(2)

    def exchange(session, first, second):
        try:
            with session.transaction():
                session.execute("UPDATE stock SET on_hand = on_hand - 5 WHERE variety_id = 1204 AND depot = %s", [first])
                both_hold_one.wait()
                session.execute("UPDATE stock SET on_hand = on_hand + 5 WHERE variety_id = 1204 AND depot = %s", [second])
        except psycopg.errors.DeadlockDetected:
            pass

    with server.connect("worker", "restock", protocol="simple") as north, server.connect("worker", "restock", protocol="simple") as hill:
        other = threading.Thread(target=exchange, args=(hill, "hill", "north"))
        other.start()
        exchange(north, "north", "hill")
        other.join()


def sales_since_april(server):
    """An ordinary report of a tenth of a second or two."""
    server.psql("postgres", "SELECT depot, count(*), sum(total_cents) FROM purchase WHERE placed_at >= '2026-04-01' GROUP BY depot;\n")


def mistyped(server):
    server.psql("postgres", "SELECT * FROM purchase WHERE ship_nam = 'Ines Keane';\nSELECT count(*) FROM purchaes;\n")


def migration_0412(server):
    """Drops two indexes as unused. One of them isn't."""
    server.psql("postgres", "BEGIN;\n-- 0412: indexes that nothing uses\n"
                            "DROP INDEX purchase_line_purchase_id_idx;\nDROP INDEX purchase_customer_id_idx;\nCOMMIT;\n")
