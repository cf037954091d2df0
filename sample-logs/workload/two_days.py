"""two_days.py RUN MOMENTS

Lets the two days of the shop run, one moment after the other, at real speed and without the hours between them. RUN/servers
names the servers; MOMENTS receives "real start <tab> start in the sample" of every moment, in seconds since the epoch.

A moment starts at a whole second and ends when all its statements and checkpoints have ended, so that every record of a
statement lies within one moment.
"""

import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from pathlib import Path

import shop_catalog
import shop_primary
import shop_reporting
from sessions import RANDOM, Server

JOBS = {"shop-primary": shop_primary, "shop-reporting": shop_reporting, "shop-catalog": shop_catalog}

# When, and what runs: JOB or JOB*TIMES. The jobs of one server run one after the other in a shuffled order, the three
# servers at the same time. A DDL job has a moment of its own: 15:00 on day one, 09:30 on day two.
SCHEDULE = """
2026-11-18 00:14  repeat_interval load_partner_feed queue_reindex variety_pages
2026-11-18 01:30  reconcile_partner*2 letter_sales order_more
2026-11-18 03:05  repeat_interval refresh_tiles*2 queue_reindex
2026-11-18 06:05  pick_list*6 album*4 campaign_pages variety_pages
2026-11-18 07:02  pick_list*5 track_parcel*2 album*5 campaign_pages*2 slug_taken
2026-11-18 08:10  pick_list*4 track_parcel*2 find_by_tracking_code*2 album*6 letter_sales mistyped_report
2026-11-18 08:51  pick_list*3 track_parcel*3 register_twice album*5 channel_week by_grower
2026-11-18 09:40  pick_list*3 track_parcel*2 open_returns sales_since_april album*6 campaign_pages*2 variety_pages
2026-11-18 10:26  pick_list*4 find_by_tracking_code*2 forget_customer album*5 reconcile_partner bad_traits
2026-11-18 11:15  pick_list*3 track_parcel*3 search_by_name album*6 channel_week letter_sales price_list
2026-11-18 12:08  pick_list*3 track_parcel order_more album*5 campaign_pages*2 refresh_tiles variety_pages
2026-11-18 13:02  pick_list*4 wait_for_stock find_by_tracking_code*2 album*6 given_up by_grower
2026-11-18 13:55  pick_list*3 track_parcel*2 open_returns*2 mistyped album*7 campaign_pages
2026-11-18 14:38  pick_list*3 register_twice find_by_tracking_code album*6 channel_week by_grower
2026-11-18 15:00  create_album_index
2026-11-18 15:24  pick_list*4 track_parcel*2 forget_customer album*3 campaign_pages*2 variety_pages
2026-11-18 16:17  pick_list*3 track_parcel*3 search_by_name album*2 letter_sales by_grower
2026-11-18 17:09  pick_list*4 deadlock find_by_tracking_code*2 album*3 wait_for_tiles refresh_tiles
2026-11-18 18:02  pick_list*3 track_parcel*2 open_returns album*3 campaign_pages*2 slug_taken
2026-11-18 19:20  pick_list*3 track_parcel*2 register_twice album*2 channel_week variety_pages
2026-11-18 20:31  pick_list*2 order_more find_by_tracking_code album*3 campaign_pages by_grower
2026-11-18 21:44  pick_list*2 track_parcel*2 sales_since_april album*3 letter_sales
2026-11-18 23:10  close_till refresh_tiles queue_reindex

2026-11-19 00:14  repeat_interval load_partner_feed queue_reindex variety_pages
2026-11-19 01:30  reconcile_partner*2 letter_sales order_more
2026-11-19 03:05  repeat_interval refresh_tiles*2 queue_reindex
2026-11-19 06:05  pick_list*5 album*2 campaign_pages variety_pages
2026-11-19 07:02  pick_list*3 track_parcel*3 album*2 campaign_pages*2 price_list
2026-11-19 08:12  pick_list*3 track_parcel*2 find_by_tracking_code*2 album*2 letter_sales
2026-11-19 09:03  pick_list*2 track_parcel*2 register_twice album*2 channel_week by_grower
2026-11-19 09:30  migration_0412
2026-11-19 09:36  pick_list*2 bought_together*2 search_everything*2 track_parcel album campaign_pages
2026-11-19 10:05  pick_list*3 bought_together open_returns search_everything*2 cohorts variety_pages
2026-11-19 10:52  pick_list*4 find_by_tracking_code*2 sales_since_april search_everything album*2 reconcile_partner
2026-11-19 11:40  pick_list*3 bought_together*2 track_parcel*3 search_everything*2 cohorts price_list
2026-11-19 12:31  pick_list*3 forget_customer order_more search_everything campaign_pages*3 bad_traits
2026-11-19 13:22  pick_list*3 bought_together*2 wait_for_stock search_by_name album*3 given_up variety_pages
2026-11-19 14:10  pick_list*4 find_by_tracking_code*2 mistyped search_everything*2 cohorts by_grower
2026-11-19 15:03  pick_list*3 bought_together*2 track_parcel*2 album*3 campaign_pages*2 mistyped_report
2026-11-19 16:15  pick_list*3 open_returns*2 register_twice search_everything*2 channel_week slug_taken
2026-11-19 17:08  pick_list*3 bought_together*2 deadlock track_parcel album*2 cohorts letter_sales
2026-11-19 18:04  pick_list*2 find_by_tracking_code*2 search_by_name search_everything variety_pages campaign_pages*2
2026-11-19 19:27  pick_list*2 bought_together*2 track_parcel*2 forget_customer album*2 channel_week
2026-11-19 20:36  pick_list*2 bought_together search_everything*2 order_more refresh_tiles by_grower
2026-11-19 21:48  pick_list track_parcel*2 bought_together letter_sales cohorts search_everything
2026-11-19 23:10  close_till refresh_tiles queue_reindex variety_pages
"""


def moments():
    """(start in the sample, names of the jobs) of every line of the schedule."""
    for line in SCHEDULE.strip().splitlines():
        if line:
            start, jobs = line[:16], line[16:].split()
            names = [name for name, _, times in (job.partition("*") for job in jobs) for _ in range(int(times or 1))]
            yield datetime.strptime(start, "%Y-%m-%d %H:%M").replace(tzinfo=timezone.utc), names


def run_jobs(server, jobs):
    for job in jobs:
        time.sleep(RANDOM.uniform(0.01, 0.25))
        job(server)


def checkpoint_running(run):
    """A checkpoint writes one record when it starts and one when it is complete."""
    for log in run.glob("*/data/log/*"):
        text = log.read_bytes()
        if len(re.findall(rb"checkpoint starting", text)) != len(re.findall(rb"checkpoint complete", text)):
            return True
    return False


def next_whole_second(run):
    """Waits for a second that starts with nothing going on."""
    while True:
        second = int(time.time()) + 1
        time.sleep(second - time.time())
        if not checkpoint_running(run):
            return second


def main(run, moments_file):
    servers = {}
    for line in (run / "servers").read_text().splitlines():
        name, conninfo = line.split(" ", 1)
        servers[name] = Server(conninfo)

    unknown = {name for _, names in moments() for name in names if not any(hasattr(jobs, name) for jobs in JOBS.values())}
    if unknown:
        sys.exit(f"SCHEDULE names jobs that no server has: {', '.join(sorted(unknown))}")

    starts = []
    sample = 0
    for start, names in moments():
        real = next_whole_second(run)
        sample = int(start.timestamp())
        starts.append((real, sample))
        print(start.strftime("%a %H:%M"), *names, flush=True)
        with ThreadPoolExecutor() as threads:
            running = []
            for name, server in servers.items():
                server.day = start.day
                jobs = [getattr(JOBS[name], job) for job in names if hasattr(JOBS[name], job)]
                RANDOM.shuffle(jobs)
                running.append(threads.submit(run_jobs, server, jobs))
        for finished in running:
            finished.result()

    end = next_whole_second(run)
    starts.append((end, sample + end - starts[-1][0]))
    moments_file.write_text("".join(f"{real}\t{sample}\n" for real, sample in starts))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
