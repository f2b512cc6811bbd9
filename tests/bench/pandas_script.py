"""A usual script, as written in a notebook: `python pandas_script.py JOB_ID`; prints the records sent."""

import hashlib
import os
import sys

import pandas as pd  # type: ignore[import-untyped]
import requests
import tdclient

_BATCH = 10_000
_EMAIL = r"[^@\s,]+@[^@\s,.]+(?:\.[^@\s,.]+)+"


def main(job_id: str) -> None:
    with tdclient.Client(apikey=os.environ["TD_API_KEY"], endpoint=os.environ["TD_API_SERVER"]) as client:
        job = client.job(job_id)
        frame = pd.DataFrame(job.result(), columns=[column[0] for column in job.result_schema or ()])
    emails = frame["email"].str.strip().str.lower()
    emails = emails[emails.str.fullmatch(_EMAIL, na=False)]
    digests = emails.apply(lambda email: hashlib.sha256(email.encode()).hexdigest()).drop_duplicates().tolist()
    url = (
        f"{os.environ['PINTEREST_API_ENDPOINT']}/ad_accounts/{os.environ['PINTEREST_AD_ACCOUNT_ID']}"
        f"/customer_lists/{os.environ['BENCH_CUSTOMER_LIST_ID']}"
    )
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {os.environ['BENCH_ACCESS_TOKEN']}"
    for start in range(0, len(digests), _BATCH):
        records = ",".join(digests[start : start + _BATCH])
        session.patch(url, json={"operation_type": "ADD", "records": records}).raise_for_status()
    print(len(digests))


if __name__ == "__main__":
    main(sys.argv[1])
