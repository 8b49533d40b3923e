"""Writes to a table while something else reads it: loads items, then puts, updates, deletes and recreates them at random.

    churn.py --endpoint URL --table T --load 3000                          fills a new table
    churn.py --endpoint URL --table T --load 3000 --rate 500 --stop FILE   changes its items until FILE exists
"""

import argparse
import json
import os
import pathlib
import random
import time

import boto3
import botocore.config


def item(key, version, r):
    made = {"Id": {"S": key}, "Version": {"N": str(version)}, "Text": {"S": "x" * r.randrange(0, 300)}}
    if r.random() < 0.5:
        made["Tags"] = {"SS": ["a", f"t{r.randrange(5)}"]}
    if r.random() < 0.3:
        made["Deep"] = {"M": {"n": {"N": "1.5"}, "b": {"B": b"\0\1"}, "z": {"NULL": True}}}
    if r.random() < 0.02:
        made[f"Rare{r.randrange(20)}"] = {"BOOL": True}
    return made


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--endpoint", required=True)
    parser.add_argument("--table", required=True)
    parser.add_argument("--load", type=int, required=True)
    parser.add_argument("--rate", type=int)
    parser.add_argument("--stop")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--view", default="NEW_AND_OLD_IMAGES", help="what the new table's stream carries")
    options = parser.parse_args()
    os.environ.setdefault("AWS_ACCESS_KEY_ID", "test")
    os.environ.setdefault("AWS_SECRET_ACCESS_KEY", "test")
    os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
    config = botocore.config.Config(retries={"total_max_attempts": 5}, read_timeout=60)
    client = boto3.client("dynamodb", endpoint_url=options.endpoint, config=config)
    r = random.Random(options.seed)
    version = 0

    def write(requests):
        left = {options.table: requests}
        while left:
            left = client.batch_write_item(RequestItems=left).get("UnprocessedItems")

    def put(key):
        nonlocal version
        version += 1
        return {"PutRequest": {"Item": item(key, version, r)}}

    if not options.rate:
        client.create_table(
            TableName=options.table,
            KeySchema=[{"AttributeName": "Id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "Id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
            StreamSpecification={"StreamEnabled": True, "StreamViewType": options.view},
        )
        client.get_waiter("table_exists").wait(TableName=options.table, WaiterConfig={"Delay": 1})
        for first in range(0, options.load, 25):
            write([put(f"item-{at}") for at in range(first, min(first + 25, options.load))])
        print(json.dumps({"loaded": options.load}))
        return

    version = 1_000_000_000
    began, written = time.monotonic(), 0
    while written < 50 or not pathlib.Path(options.stop).exists():
        keys = {f"item-{r.randrange(int(options.load * 1.1) + 1)}" for _ in range(25)}
        # In one second: an item is changed twice, deleted, or deleted and made again.
        twice = {key for key in keys if r.random() < 0.3}
        write([put(key) if r.random() < 0.7 else {"DeleteRequest": {"Key": {"Id": {"S": key}}}} for key in sorted(keys)])
        if twice:
            write([put(key) if r.random() < 0.6 else {"DeleteRequest": {"Key": {"Id": {"S": key}}}} for key in sorted(twice)])
        written += len(keys) + len(twice)
        ahead = written / options.rate - (time.monotonic() - began)
        if ahead > 0:
            time.sleep(ahead)
    print(json.dumps({"written": written, "seconds": round(time.monotonic() - began, 1)}))


if __name__ == "__main__":
    main()
