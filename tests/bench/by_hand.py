"""The export as somebody writes it by hand, to measure it beside the operator: `python by_hand.py JOB_ID`.

It reads the rows with td-client, keeps the digests in a set, and sends one request after the other. It counts nothing,
repeats nothing, and ends at the first error.
"""

import hashlib
import os
import sys

import requests
import tdclient

_BATCH = 10_000


def main(job_id: str) -> None:
    environ = os.environ
    endpoint = environ["PINTEREST_API_ENDPOINT"]
    form = {"grant_type": "refresh_token", "refresh_token": environ["PINTEREST_REFRESH_TOKEN"]}
    session = requests.Session()
    session.auth = (environ["PINTEREST_CLIENT_ID"], environ["PINTEREST_CLIENT_SECRET"])
    token = session.post(f"{endpoint}/oauth/token", data=form).json()["access_token"]
    session.auth = None
    session.headers["Authorization"] = f"Bearer {token}"
    account = f"{endpoint}/ad_accounts/{environ['PINTEREST_AD_ACCOUNT_ID']}"
    audience = session.get(f"{account}/audiences/{environ['PINTEREST_AUDIENCE_ID']}").json()
    people = f"{account}/customer_lists/{audience['rule']['customer_list_id']}"
    digests = set()
    with tdclient.Client(apikey=environ["TD_API_KEY"], endpoint=environ["TD_API_SERVER"]) as client:
        for (email,) in client.job(job_id).result():
            if "@" in email:
                digests.add(hashlib.sha256(email.strip().lower().encode()).hexdigest())
    records = list(digests)
    for start in range(0, len(records), _BATCH):
        body = {"operation_type": "ADD", "records": ",".join(records[start : start + _BATCH])}
        session.patch(people, json=body).raise_for_status()


if __name__ == "__main__":
    main(sys.argv[1])
