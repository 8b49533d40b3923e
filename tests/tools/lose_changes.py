"""Makes a lake miss changes, as if the stream had trimmed them before anybody read them.

    lose_changes.py --endpoint URL --lake PATH --table T

Marks in the chain of each shard a gap that goes to the newest record of the stream, in the form a tail would give it.
"""

import argparse
import hashlib
import json
import os
import pathlib

import boto3


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--endpoint", required=True)
    parser.add_argument("--lake", required=True, type=pathlib.Path)
    parser.add_argument("--table", required=True)
    options = parser.parse_args()
    os.environ.setdefault("AWS_ACCESS_KEY_ID", "test")
    os.environ.setdefault("AWS_SECRET_ACCESS_KEY", "test")
    os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
    table = boto3.client("dynamodb", endpoint_url=options.endpoint).describe_table(TableName=options.table)["Table"]
    arn = table["LatestStreamArn"]
    client = boto3.client("dynamodbstreams", endpoint_url=options.endpoint)
    lake = options.lake / "_watershed"
    label = hashlib.sha256(arn.encode()).hexdigest()[:8]
    lost = 0
    generations = sorted(path for path in (lake / "generations" / options.table).glob("??????.json"))
    for shard in client.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]:
        chain = f"{shard['ShardId']}-{label}"
        ranges = sorted((lake / "ranges" / chain).glob("*.json"))
        last = json.loads(ranges[-1].read_text()) if ranges else None
        after = last["end"]["sequence"][3:] if last else None
        start = {"ShardIteratorType": "TRIM_HORIZON"}
        if after:
            start = {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": after.zfill(21)}
        iterator = client.get_shard_iterator(StreamArn=arn, ShardId=shard["ShardId"], **start)["ShardIterator"]
        newest, empty = None, 0
        while iterator and empty < 4:
            page = client.get_records(ShardIterator=iterator)
            records, iterator = page["Records"], page.get("NextShardIterator")
            empty = 0 if records else empty + 1
            lost += len(records)
            newest = records[-1]["dynamodb"]["SequenceNumber"] if records else newest
        if newest is None or last is None:
            continue
        digits = newest.lstrip("0")
        marker = last | {
            "range": last["range"] + 1,
            "start": last["end"],
            "end": {"sequence": f"{len(digits):03}{digits}"},
            "rows": 0,
            "files": [],
            "gap": {
                "reason": "trimmed",
                "found_at": "2026-11-22T00:00:00Z",
                "table": options.table,
                "since": "2020-01-01T00:00:00Z",
                "generations": {options.table: len(generations)},
            },
        }
        marker.pop("first", None)
        marker.pop("records", None)
        name = f"{marker['range']:020}.json"
        (lake / "gaps").mkdir(exist_ok=True)
        (lake / "gaps" / f"{chain}-{name}").write_text(json.dumps(marker))
        (lake / "ranges" / chain / name).write_text(json.dumps(marker))
    print(json.dumps({"lost": lost}))


if __name__ == "__main__":
    main()
