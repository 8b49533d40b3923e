"""Does everything that DynamoDB puts into a Kinesis stream reach the lake, while the stream's shards split and merge?

    write_kinesis.py --endpoint URL --seed 1 --writes 2000 --history history.ndjson [--reshards 6]

Plays DynamoDB's Kinesis destination: invents changes of the guide's tables, packs them as DynamoDB does (times in milliseconds for
some tables, microseconds for the others), partly inside KPL aggregates, and sends them with PutRecords. The history file is that of
write_dynamodb.py, written once Kinesis has taken the record; the items continue from it if it exists.

Order is defined by one strictly sequential path: every item has one partition key (of a few), every PutRecords holds at most one
record per partition key, and a refused record is sent again before anything later. An aggregate holds only changes of its own
partition key, so no split can tear it apart. A request whose outcome is unknown ends the run.
"""

import argparse
import hashlib
import json
import os
import random
import sys
import threading
import time
import uuid

import boto3
import botocore.config

from items import TABLES, Source, image, text

PARTITION_KEYS = 48
MILLISECOND_TABLES = {"ProductCatalog", "Forum"}


# -- KPL aggregates, by hand: magic, protobuf AggregatedRecord, MD5 ----------------------------------------------------------------


def varint(n):
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    return bytes(out + bytes([n]))


def field(tag, data):
    """A length-delimited protobuf field."""
    return varint(tag << 3 | 2) + varint(len(data)) + data


def aggregate(partition_key, explicit_hash_key, payloads):
    body = field(1, partition_key.encode())
    if explicit_hash_key:
        body += field(2, explicit_hash_key.encode())
    for payload in payloads:
        record = varint(1 << 3) + varint(0)  # partition_key_index = 0
        if explicit_hash_key:
            record += varint(2 << 3) + varint(0)  # explicit_hash_key_index = 0
        body += field(3, record + field(3, payload))
    return b"\xf3\x89\x9a\xc2" + body + hashlib.md5(body).digest()


# -- changes -----------------------------------------------------------------------------------------------------------------------


class Changes:
    """Invents changes of items and remembers every item's image."""

    def __init__(self, seed, tables, history_path):
        self.random = random.Random(seed)
        self.source = Source(self.random)
        self.tables = tables
        self.items = {}  # (table, key text) -> image
        self.time = 0
        self.count = {"INSERT": 0, "MODIFY": 0, "REMOVE": 0}
        if os.path.exists(history_path):
            with open(history_path, encoding="utf-8") as lines:
                for line in map(json.loads, lines):
                    self.items[line["table"], text(line["keys"])] = line["new"]

    def next(self):
        """(partition key, payload, history line) of one effective change."""
        r = self.random
        while True:
            table = r.choice(self.tables)
            keys = image(self.source.key(table))
            who = table, text(keys)
            old = self.items.get(who)
            if old is not None and r.random() < 0.2:
                new = None
            elif old is not None and r.random() < 0.5:
                new = old | image(dict(self.source.attribute(table) for _ in range(r.randrange(1, 4)))) | keys
            else:
                new = image(self.source.attributes(table) | keys)
            if text(new) != text(old):
                break
        self.items[who] = new
        op = "INSERT" if old is None else "REMOVE" if new is None else "MODIFY"
        self.count[op] += 1
        line = {"table": table, "keys": keys, "op": op, "new": new, "old": old}
        bucket = int.from_bytes(hashlib.md5("".join(who).encode()).digest()[:4], "big") % PARTITION_KEYS
        partition_key = hashlib.md5(f"bucket {bucket}".encode()).hexdigest().upper()
        return partition_key, self.payload(line), line

    def payload(self, line):
        """The JSON that DynamoDB puts into one Kinesis record. Times only grow, so they order the changes of an item."""
        self.time = max(self.time + 1, time.time_ns() // 1000)
        precision = {"ApproximateCreationDateTimePrecision": "MICROSECOND"}
        when = self.time
        if line["table"] in MILLISECOND_TABLES:
            when = self.time // 1000 + 1
            self.time = when * 1000
            precision = {}
        images = {"NewImage": line["new"], "OldImage": line["old"]}
        change = {
            "awsRegion": "us-east-1",
            "eventID": str(uuid.UUID(int=self.random.getrandbits(128), version=4)),
            "eventName": line["op"],
            "userIdentity": None,
            "recordFormat": "application/json",
            "tableName": line["table"],
            "dynamodb": {
                "ApproximateCreationDateTime": when,
                "Keys": line["keys"],
                **{name: item for name, item in images.items() if item is not None},
                "SizeBytes": 1,
                **precision,
            },
            "eventSource": "aws:dynamodb",
        }
        return json.dumps(change, ensure_ascii=False, separators=(",", ":")).encode()


# -- the stream --------------------------------------------------------------------------------------------------------------------


class Stream:
    def __init__(self, options):
        # No retries: a retried PutRecords could write its records twice.
        config = botocore.config.Config(retries={"total_max_attempts": 1}, read_timeout=60)
        self.client = boto3.client("kinesis", endpoint_url=options.endpoint, config=config)
        self.name = options.stream
        self.random = random.Random(options.seed)
        self.refused = 0
        if self.name not in self.client.list_streams()["StreamNames"]:
            self.client.create_stream(StreamName=self.name, ShardCount=options.shards)
        self.wait_until_active()

    def wait_until_active(self):
        while self.client.describe_stream_summary(StreamName=self.name)["StreamDescriptionSummary"]["StreamStatus"] != "ACTIVE":
            time.sleep(0.05)

    def put(self, records):
        """Sends records of different partition keys, again and again those that are refused, until all are taken."""
        while records:
            entries = self.client.put_records(StreamName=self.name, Records=records)["Records"]
            records = [record for record, entry in zip(records, entries) if entry.get("ErrorCode")]
            self.refused += len(records)
            if records:
                time.sleep(0.1)

    def open_shards(self):
        shards, more = [], {"StreamName": self.name}
        while more:
            page = self.client.list_shards(**more)
            shards += [s for s in page["Shards"] if "EndingSequenceNumber" not in s["SequenceNumberRange"]]
            more = {"NextToken": page["NextToken"]} if page.get("NextToken") else None
        return sorted(shards, key=lambda s: int(s["HashKeyRange"]["StartingHashKey"]))

    def reshard(self):
        """Splits a shard or merges two neighbours; few shards make a split likely, many a merge."""
        shards = self.open_shards()
        if self.random.random() < len(shards) / 8:
            i = self.random.randrange(len(shards) - 1)
            self.client.merge_shards(
                StreamName=self.name, ShardToMerge=shards[i]["ShardId"], AdjacentShardToMerge=shards[i + 1]["ShardId"]
            )
        else:
            shard = self.random.choice(shards)
            low, high = (int(shard["HashKeyRange"][end]) for end in ("StartingHashKey", "EndingHashKey"))
            middle = low + (high - low) // 2
            self.client.split_shard(StreamName=self.name, ShardToSplit=shard["ShardId"], NewStartingHashKey=str(middle))
        self.wait_until_active()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--endpoint", required=True)
    parser.add_argument("--stream", default="watershed")
    parser.add_argument("--shards", type=int, default=2, help="of a new stream")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--writes", type=int, help="changes to write")
    parser.add_argument("--tables", type=lambda s: s.split(","), default=list(TABLES))
    parser.add_argument("--history", required=True)
    parser.add_argument("--reshards", type=int, default=0)
    options = parser.parse_args()
    if (options.seconds is None) == (options.writes is None):
        parser.error("give either --seconds or --writes")
    os.environ.setdefault("AWS_ACCESS_KEY_ID", "test")
    os.environ.setdefault("AWS_SECRET_ACCESS_KEY", "test")
    os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")

    start = time.monotonic()
    changes = Changes(options.seed, options.tables, options.history)
    stream = Stream(options)
    r = random.Random(options.seed)
    written = aggregates = reshards = 0
    resharding, failures = None, []

    def reshard():
        try:
            stream.reshard()
        except Exception as error:  # noqa: BLE001: a thread must hand over whatever went wrong
            failures.append(f"{type(error).__name__}: {error}")

    with open(options.history, "a", encoding="utf-8") as history:
        while True:
            done = written / options.writes if options.writes else (time.monotonic() - start) / options.seconds
            if reshards < options.reshards and done >= (reshards + 1) / (options.reshards + 1):
                if not resharding or not resharding.is_alive():  # one at a time, beside the writes
                    resharding = threading.Thread(target=reshard)
                    resharding.start()
                    reshards += 1
            if done >= 1:
                break
            waiting, lines = {}, []  # partition key -> payloads in order; their history
            for _ in range(r.randrange(1, 60)):
                partition_key, payload, line = changes.next()
                waiting.setdefault(partition_key, []).append(payload)
                lines.append(line)
            records, later = [], []  # one record per partition key; what must wait for it
            for partition_key, payloads in waiting.items():
                if len(payloads) > 1 and r.random() < 0.7 or r.random() < 0.1:
                    explicit = str(int(hashlib.md5(partition_key.encode()).hexdigest(), 16)) if r.random() < 0.3 else None
                    payloads = [aggregate(partition_key, explicit, payloads)]
                    aggregates += 1
                made = [{"PartitionKey": partition_key, "Data": payload} for payload in payloads]
                records.append(made[0])
                later.extend(made[1:])
            stream.put(records)
            for record in later:
                stream.put([record])
            for line in lines:
                history.write(json.dumps(line, ensure_ascii=False) + "\n")
            history.flush()
            written += len(lines)
    if resharding:
        resharding.join()
    while reshards < options.reshards and not failures:  # the load ended before the last ones had their turn
        reshard()
        reshards += 1
    for failure in failures:
        print(f"reshard failed: {failure}", file=sys.stderr)
    print(json.dumps({
        "changes": written,
        **changes.count,
        "items": sum(item is not None for item in changes.items.values()),
        "aggregates": aggregates,
        "refused": stream.refused,
        "reshards": reshards - len(failures),
        "open_shards": len(stream.open_shards()),
        "seconds": round(time.monotonic() - start, 1),
    }))
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
