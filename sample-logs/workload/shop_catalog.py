"""What happens on shop-catalog. Each function is one job; its docstring names the trouble that it plants, if any."""

import psycopg

from sessions import RANDOM, person, tags


def price_list(server):
    """N+1: one page, one session, 200 look-ups of one price each. The missing index makes each take milliseconds."""
    session = server.pooled("pages", "catalog-pages")
    first = RANDOM.randrange(1, 29000)
    for variety_id in range(first, first + 200):
        session.execute("SELECT cents, currency FROM price_rule WHERE variety_id = %s AND currency = %s", [variety_id, "EUR"], prepare=True)


def album(server):
    """Recovers: reads all photos until photo_album_idx is made in the afternoon of day one."""
    server.pooled("pages", "catalog-pages").execute(
        "SELECT photo_id, url, taken_on FROM photo WHERE album = %s ORDER BY taken_on DESC, photo_id LIMIT 40" + tags("albums", "show"),
        [f"album {RANDOM.randrange(160)}"])


def create_album_index(server):
    server.psql("postgres", "CREATE INDEX photo_album_idx ON photo (album);\nANALYZE photo;\n")


def search_everything(server):
    """New on day two: a search box that looks for a word anywhere in four columns."""
    word = RANDOM.choice(["damask", "hoarfrost", "mayflower", "Lindqvist", "half hardy annual"])
    server.pooled("pages", "catalog-search", protocol="simple").execute(
        "SELECT variety_id, slug, title FROM variety_page"
        " WHERE title ILIKE %s OR description ILIKE %s OR traits::text ILIKE %s OR slug ILIKE %s ORDER BY title LIMIT 20",
        [f"%{word}%"] * 4)


def by_grower(server):
    """A condition on jsonb without an index."""
    server.pooled("pages", "catalog-pages", protocol="simple").execute(
        "SELECT variety_id, title FROM variety_page WHERE traits @> %s::jsonb ORDER BY variety_id",
        [f'{{"grower": {{"mail": "grower{RANDOM.randrange(57)}@example.com"}}}}'])


def variety_pages(server):
    """Ordinary reads of a few milliseconds."""
    session = server.pooled("pages", "catalog-pages")
    for _ in range(3):
        start = RANDOM.randrange(1, 58000)
        session.execute("SELECT slug, title, description, traits FROM variety_page WHERE variety_id BETWEEN %s AND %s"
                        + tags("varieties", "index"), [start, start + 1500])


def queue_reindex(server):
    """Ordinary writes of the indexer, in one transaction; autovacuum follows."""
    with server.connect("indexer", "reindex") as session, session.transaction():
        session.execute("UPDATE reindex_job SET state = %s WHERE job_id <= %s", ["ready", 1500])
        session.execute("SELECT job_id, variety_id FROM reindex_job WHERE state = 'ready' ORDER BY job_id LIMIT 50 FOR UPDATE SKIP LOCKED")
        session.execute("UPDATE reindex_job SET state = %s WHERE state = %s", ["done", "ready"])


def slug_taken(server):
    """A unique violation."""
    try:
        server.pooled("indexer", "import", protocol="simple").execute(
            "INSERT INTO variety_page VALUES (%s, %s, 'Hoarfrost Kale', 'Sent in by ' || %s, '{}')",
            [RANDOM.randrange(10**6, 10**7), f"variety-{RANDOM.randrange(1, 9000)}", person()[1]])
    except psycopg.errors.UniqueViolation:
        pass


def bad_traits(server):
    """Text that is no JSON: an ERROR with a DETAIL and a CONTEXT."""
    try:
        server.pooled("indexer", "import", protocol="simple").execute(
            "UPDATE variety_page SET traits = %s::jsonb WHERE variety_id = 17", [f'{{"grower": "{person()[0]}", height_cm: 40}}'])
    except psycopg.errors.InvalidTextRepresentation:
        pass
