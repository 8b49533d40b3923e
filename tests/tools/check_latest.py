"""Is the lake's latest state what the table has? Asks with the README's query, and compares every image.

    check_latest.py --lake PATH --table T --keys Id[,Sort] (--endpoint URL | --items FILE) [--kinesis]

FILE has one item a line, as DynamoDB JSON. Prints one JSON line and exits 0 only if nothing differs:

    missing     items of the table that the lake's latest state does not have
    extra       items that the lake has and the table does not: resurrected, or deleted unseen
    different   items whose images differ
    twice       rows at a position (_shard, _sequence, _sub) that is taken already
"""

import argparse
import collections
import json
import os
import pathlib
import sys

import boto3
import duckdb

from check_lake import newest_schema, quoted, rebuild
from items import image, text
from write_dynamodb import unwire_item

# The README has these queries for its readers.
LATEST = """
SELECT * FROM read_parquet('{files}', union_by_name = true, hive_partitioning = false)
QUALIFY row_number() OVER (PARTITION BY {keys} ORDER BY _generation DESC, _sequence DESC, _sub DESC) = 1
    AND _op <> 'REMOVE'
"""

LATEST_BY_TIME = """
WITH newest AS (
    SELECT *, _sequence LIKE '000%' AS read FROM read_parquet('{files}', union_by_name = true, hive_partitioning = false)
    QUALIFY row_number() OVER (
        PARTITION BY {keys}, read
        ORDER BY CASE WHEN read THEN _generation END DESC, CASE WHEN NOT read THEN _changed_at END DESC, _sequence DESC, _sub DESC
    ) = 1
)
SELECT * EXCLUDE (read) FROM newest
QUALIFY row_number() OVER (PARTITION BY {keys} ORDER BY _generation DESC, read) = 1 AND _op <> 'REMOVE'
"""


def live(options):
    os.environ.setdefault("AWS_ACCESS_KEY_ID", "test")
    os.environ.setdefault("AWS_SECRET_ACCESS_KEY", "test")
    os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
    client = boto3.client("dynamodb", endpoint_url=options.endpoint)
    for page in client.get_paginator("scan").paginate(TableName=options.table, ConsistentRead=True):
        yield from (unwire_item(item) for item in page["Items"])


def recorded(options):
    with open(options.items, encoding="utf-8") as lines:
        yield from (image(json.loads(line)) for line in lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lake", required=True, type=pathlib.Path)
    parser.add_argument("--table", required=True)
    parser.add_argument("--keys", required=True, type=lambda keys: keys.split(","))
    parser.add_argument("--endpoint")
    parser.add_argument("--items")
    parser.add_argument("--kinesis", action="store_true", help="changes are ordered by their times")
    options = parser.parse_args()

    def identity(item):
        return text(image({key: item[key] for key in options.keys}))

    expected = {identity(item): text(item) for item in (live(options) if options.endpoint else recorded(options))}
    columns = newest_schema(options.lake, options.table)
    names = {column["attribute"]: quoted(column["column"]) for column in columns}
    files = f"{options.lake / options.table}/**/*.parquet"
    database = duckdb.connect()
    latest = (LATEST_BY_TIME if options.kinesis else LATEST).format(files=files, keys=", ".join(names[key] for key in options.keys))
    # Times in Python would need another library, and are no part of an item.
    result = database.execute(f"SELECT * EXCLUDE (_changed_at) FROM ({latest})")
    cells_of = [column[0] for column in result.description]
    faults, examples, items = collections.Counter(), [], 0

    def fault(kind, key):
        faults[kind] += 1
        if len(examples) < 10:
            examples.append(f"{kind}: {key}")

    while batch := result.fetchmany(10_000):
        for values in batch:
            items += 1
            item = rebuild(columns, dict(zip(cells_of, values)))
            key = identity(item)
            there = expected.pop(key, None)
            if there is None:
                fault("extra", key)
            elif there != text(item):
                fault("different", f"{key}: {there[:200]} in the table, {text(item)[:200]} in the lake")
    for key in expected:
        fault("missing", key)
    positions = f"SELECT count(*) - count(DISTINCT (_shard, _sequence, _sub)), max(_generation), count(*) FROM read_parquet('{files}', union_by_name = true)"
    faults["twice"], generation, rows = database.execute(positions).fetchone()
    for example in examples:
        print(example, file=sys.stderr)
    counted = {kind: faults[kind] for kind in ["missing", "extra", "different", "twice"]}
    print(json.dumps({"items": items, "rows": rows, "generation": generation, **counted}))
    sys.exit(1 if any(counted.values()) else 0)


if __name__ == "__main__":
    main()
