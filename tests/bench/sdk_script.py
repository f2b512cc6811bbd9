"""The published client, batch by batch: `python sdk_script.py DIGESTS.txt`; prints the records sent.

It only sends: the digests are there already, each once, one a line.
"""

import itertools
import os
import sys
from pathlib import Path

import pinterestsdk

_BATCH = 10_000


def main(path: str) -> None:
    configuration = pinterestsdk.Configuration(
        host=os.environ["PINTEREST_API_ENDPOINT"], access_token=os.environ["BENCH_ACCESS_TOKEN"]
    )
    api = pinterestsdk.CustomerListsApi(pinterestsdk.ApiClient(configuration))
    sent = 0
    with Path(path).open() as file:
        digests = (line.rstrip("\n") for line in file)
        while batch := list(itertools.islice(digests, _BATCH)):
            api.customer_lists_update(
                ad_account_id=os.environ["PINTEREST_AD_ACCOUNT_ID"],
                customer_list_id=os.environ["BENCH_CUSTOMER_LIST_ID"],
                customer_list_update_with_required_body=pinterestsdk.CustomerListUpdateWithRequiredBody(
                    operation_type=pinterestsdk.UserListOperationType.ADD, records=",".join(batch)
                ),
            )
            sent += len(batch)
    print(sent)


if __name__ == "__main__":
    main(sys.argv[1])
