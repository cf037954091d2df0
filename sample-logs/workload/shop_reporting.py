"""What happens on shop-reporting. Each function is one job; its docstring names the trouble that it plants, if any."""

import threading
import time

import psycopg

from sessions import RANDOM, person


def repeat_interval(server):
    """Spilling sort: a window over all sales needs far more than work_mem."""
    with server.connect("nightly", "repeat-interval", protocol="simple") as session:
        session.execute(
            "SELECT avg(gap), count(*)\n"
            "  FROM (SELECT sold_on - lag(sold_on) OVER (PARTITION BY customer_ref ORDER BY sold_on) AS gap\n"
            "          FROM sold_line\n"
            "         WHERE sold_on >= %s) AS pairs\n"
            " WHERE gap IS NOT NULL", ["2025-09-01"])


def letter_sales(server):
    """Spilling hash: the subscribers don't fit into work_mem."""
    server.pooled("nightly", "letter-sales").execute(
        "SELECT s.channel, u.town, count(*) AS lines, sum(s.revenue_cents) AS revenue_cents"
        " FROM sold_line s JOIN subscriber u ON u.customer_ref = s.customer_ref"
        " WHERE u.wants_letter AND s.sold_on >= %s AND u.email <> %s GROUP BY s.channel, u.town",
        ["2025-06-01", person()[1]])


def load_partner_feed(server):
    """Bulk load without ANALYZE, into a table that autovacuum leaves alone."""
    with server.connect("nightly", "partner-feed") as session:
        with session.cursor().copy("COPY partner_feed FROM STDIN") as copy:
            for n in range(14000):
                copy.write_row((server.day, "Seaward Gardens", "ledger@seaward.example.com", 1 + n * 13 % 4000,
                                f"2026-10-{1 + n % 28:02}", 1 + n % 9))


def reconcile_partner(server):
    """Stale statistics: one row expected, 14,000 found, each of them one loop of the nested loop's inner side."""
    with server.connect("nightly", "partner-feed") as session:
        session.execute(
            "SELECT f.partner, sum(f.quantity) AS reported, sum(s.quantity) AS sold\n"
            "  FROM partner_feed f\n"
            "  JOIN sold_line s ON s.variety_id = f.variety_id AND s.sold_on = f.sold_on\n"
            " WHERE f.batch_id = %s\n"
            " GROUP BY f.partner", [server.day])


def campaign_pages(server):
    """Lossy bitmap: with 256 kB of work_mem the bitmap keeps pages instead of rows."""
    campaign_id = RANDOM.randrange(2, 23)
    server.pooled("dashboard", "tiles").execute(
        "SELECT page, count(*) AS visits, avg(seconds) AS seconds FROM web_visit WHERE campaign_id = %s OR campaign_id = %s"
        " GROUP BY page ORDER BY visits DESC LIMIT 10", [campaign_id, campaign_id + 1])


def cohorts(server):
    """New on day two: a report whose aggregate and sort both spill."""
    server.psql("analyst", """WITH first_sale AS (
    SELECT customer_ref, min(sold_on) AS first_on
      FROM sold_line
     WHERE sold_on >= '2026-01-01'
     GROUP BY customer_ref
)
SELECT date_trunc('month', f.first_on) AS cohort, date_trunc('month', s.sold_on) AS month,
       count(DISTINCT s.customer_ref) AS customers
  FROM first_sale f
  JOIN sold_line s USING (customer_ref)
 WHERE s.sold_on >= '2026-01-01' AND s.channel <> 'partner' -- asked for by Ines Keane
 GROUP BY 1, 2
 ORDER BY 1, 2;
""")


def channel_week(server):
    """An ordinary report; uses parallel workers."""
    server.psql("analyst", f"""SELECT channel, count(*), sum(revenue_cents) FROM sold_line
 WHERE sold_on BETWEEN '2025-0{RANDOM.randrange(1, 8)}-01' AND '2026-10-31' AND quantity <> 2 GROUP BY channel;
""")


def refresh_tiles(server):
    """Ordinary writes: enough updates that autovacuum visits dashboard_tile."""
    server.pooled("dashboard", "tiles").execute("UPDATE dashboard_tile SET value = value + %s", [RANDOM.randrange(1, 90)])


def given_up(server):
    """A person starts a query and gives up on it: cancelled by user request."""
    with server.connect("analyst", "notebook") as session:
        cancel = threading.Timer(0.9, session.cancel)
        cancel.start()
        try:
            session.execute("SELECT a.page, count(*) FROM web_visit a JOIN web_visit b ON b.page = a.page AND b.seconds > a.seconds"
                            " WHERE a.visitor <> %s GROUP BY a.page", [person()[1]])
        except psycopg.errors.QueryCanceled:
            pass
        cancel.join()


def mistyped_report(server):
    server.psql("analyst", "SELECT email FROM subscribers WHERE full_name = 'Tomas Moreau';\nSELECT 1 / (quantity - 3) FROM sold_line LIMIT 9;\n")


def wait_for_tiles(server):
    """A lock wait on a table of the dashboard."""
    with server.connect("nightly", "maintenance") as first:
        with first.transaction():
            first.execute("LOCK TABLE dashboard_tile IN EXCLUSIVE MODE")
            update = threading.Thread(target=refresh_tiles, args=(server,))
            update.start()
            time.sleep(1.3)
    update.join()
