"""Sessions of the shop's programs and people on the three servers."""

import random
import subprocess

import psycopg

RANDOM = random.Random(1118)

# Invented people: what they type is what must never leave the logs.
PEOPLE = [
    ("Maja Lindqvist", "maja.lindqvist@example.com", "4000 0012 7731 0482"),
    ("Tomas Moreau", "tomas.moreau@example.com", "4000 0087 1190 5526"),
    ("Ines Keane", "ines.keane@example.com", "4000 0031 6402 9913"),
    ("Oskar Novák", "oskar.novak@example.com", "4000 0055 2088 3171"),
    ("Freya O'Haddad", "freya.ohaddad@example.com", "4000 0009 4467 8020"),
    ("Pavel Brandt", "pavel.brandt@example.com", "4000 0074 3359 6618"),
]


class Server:
    """One server: `host=… port=… dbname=…`, and the sessions that stay open for hours, as those of a pool do."""

    def __init__(self, conninfo):
        self.conninfo = psycopg.conninfo.conninfo_to_dict(conninfo)
        self.pool = {}

    def connect(self, user, application, *, protocol="extended"):
        """A new session over TCP. The simple protocol puts the values into the statement's text, as many drivers do."""
        return psycopg.connect(
            host="127.0.0.1", port=self.conninfo["port"], dbname=self.conninfo["dbname"],
            user=user, application_name=application, autocommit=True,
            cursor_factory=psycopg.ClientCursor if protocol == "simple" else psycopg.Cursor,
        )

    def pooled(self, user, application, **options):
        key = (user, application, *options.items())
        if key not in self.pool:
            self.pool[key] = self.connect(user, application, **options)
        return self.pool[key]

    def psql(self, user, script):
        """What a person types. A failing statement doesn't stop the next one."""
        subprocess.run(
            ["psql", "--no-psqlrc", "--quiet", "--output=/dev/null", f"--host={self.conninfo['host']}",
             f"--port={self.conninfo['port']}", f"--username={user}", f"--dbname={self.conninfo['dbname']}"],
            input=script, text=True, check=False, stderr=subprocess.DEVNULL,
        )


def person():
    return RANDOM.choice(PEOPLE)


def tags(controller, action):
    """A trailing comment as sqlcommenter writes it."""
    trace = f"{RANDOM.getrandbits(128):032x}-{RANDOM.getrandbits(64):016x}"
    return f" /*action='{action}',application='fern-shop',controller='{controller}',traceparent='00-{trace}-01'*/"
