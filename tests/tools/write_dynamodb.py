"""Does everything that is written to a table reach the lake? This writes, through AWS's own Python client, and records what it did.

    write_dynamodb.py --endpoint URL --seed 1 --writes 500 --history history.ndjson [--rollover-url URL --rollovers 5]

One line of the history per effective change, in the true order of each item:
    {"table": ..., "keys": {...}, "op": "INSERT|MODIFY|REMOVE", "new": {...} or null, "old": {...} or null}
The images are what the service itself answers on a consistent read after each request, so a write that changed nothing shows as
nothing. One thread writes; a request whose outcome is unknown ends the run, because guessing would spoil the history.
An existing history is continued: the tables are scanned first.
"""

import argparse
import base64
import json
import os
import random
import sys
import threading
import time
import urllib.request

import boto3
import botocore.config

from items import TABLES, Source, b64, image, number, text


def wire(value):
    """History form to boto3 form: base64 text becomes bytes."""
    ((kind, inner),) = value.items()
    convert = {
        "B": lambda v: base64.b64decode(v),
        "BS": lambda v: [base64.b64decode(b) for b in v],
        "M": lambda v: {name: wire(x) for name, x in v.items()},
        "L": lambda v: [wire(x) for x in v],
    }
    return {kind: convert.get(kind, lambda v: v)(inner)}


def unwire(value):
    """boto3 form to history form: bytes become base64 text."""
    ((kind, inner),) = value.items()
    convert = {
        "B": b64,
        "BS": lambda v: [b64(b) for b in v],
        "M": lambda v: {name: unwire(x) for name, x in v.items()},
        "L": lambda v: [unwire(x) for x in v],
    }
    return {kind: convert.get(kind, lambda v: v)(inner)}


def wire_item(item):
    return {name: wire(v) for name, v in item.items()}


def unwire_item(item):
    return None if item is None else image({name: unwire(v) for name, v in item.items()})


class Writer:
    def __init__(self, options, history):
        # No retries: a retried ADD could count twice, and nobody would know.
        config = botocore.config.Config(retries={"total_max_attempts": 1}, read_timeout=60)
        self.client = boto3.client("dynamodb", endpoint_url=options.endpoint, config=config)
        self.random = random.Random(options.seed)
        self.source = Source(self.random)
        self.tables = options.tables
        self.history = history
        self.items = {}  # (table, key text) -> image, as the service last returned it
        self.requests = 0
        self.changes = {"INSERT": 0, "MODIFY": 0, "REMOVE": 0}

    # -- tables ------------------------------------------------------------------------------------------------------------------

    def create_tables(self):
        present = self.client.list_tables()["TableNames"]
        for table in self.tables:
            if table in present:
                for page in self.client.get_paginator("scan").paginate(TableName=table, ConsistentRead=True):
                    for item in page["Items"]:
                        item = unwire_item(item)
                        self.items[self.identity(table, item)] = item
                continue
            keys = [key for key in TABLES[table] if key]
            attributes = dict(keys)
            index = {}
            if table == "Reply":
                attributes |= {"PostedBy": "S", "Message": "S"}
                index["GlobalSecondaryIndexes"] = [{
                    "IndexName": "PostedBy-Message-Index",
                    "KeySchema": [{"AttributeName": "PostedBy", "KeyType": "HASH"}, {"AttributeName": "Message", "KeyType": "RANGE"}],
                    "Projection": {"ProjectionType": "ALL"},
                }]
            self.client.create_table(
                TableName=table,
                KeySchema=[{"AttributeName": name, "KeyType": role} for (name, _), role in zip(keys, ["HASH", "RANGE"])],
                AttributeDefinitions=[{"AttributeName": name, "AttributeType": kind} for name, kind in attributes.items()],
                BillingMode="PAY_PER_REQUEST",
                StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
                **index,
            )
            self.client.get_waiter("table_exists").wait(TableName=table, WaiterConfig={"Delay": 1})

    def identity(self, table, item):
        return table, text(image({key[0]: item[key[0]] for key in TABLES[table] if key}))

    # -- requests ----------------------------------------------------------------------------------------------------------------

    def step(self):
        """One random write request, then a read of every item it touched."""
        request = self.random.choices([self.put, self.update, self.delete, self.batch, self.transact], [30, 35, 15, 10, 10])[0]
        touched = request()
        self.requests += 1
        for table, key in touched:
            self.record(table, key)

    def record(self, table, key):
        """What did the request do to this item? The service knows."""
        who = self.identity(table, key)
        old = self.items.get(who)
        new = unwire_item(self.client.get_item(TableName=table, Key=wire_item(key), ConsistentRead=True).get("Item"))
        if text(new) == text(old):
            return
        op = "INSERT" if old is None else "REMOVE" if new is None else "MODIFY"
        self.changes[op] += 1
        line = {"table": table, "keys": json.loads(who[1]), "op": op, "new": new, "old": old}
        self.history.write(json.dumps(line, ensure_ascii=False) + "\n")
        self.history.flush()
        if new is None:
            del self.items[who]
        else:
            self.items[who] = new

    def pick(self):
        table = self.random.choice(self.tables)
        return table, self.source.key(table)

    def pick_some(self):
        """Several different items: neither a batch nor a transaction may name one twice."""
        picked = {self.identity(table, key): (table, key) for table, key in (self.pick() for _ in range(self.random.randrange(2, 12)))}
        return list(picked.values())

    def whole(self, table, key):
        """A whole new item; now and then the one that is there already, spelled anew: a write that changes nothing."""
        there = self.items.get(self.identity(table, key))
        if there is not None and self.random.random() < 0.1:
            return wire_item(there | key)
        return wire_item(self.source.attributes(table) | key)

    def put(self):
        table, key = self.pick()
        self.client.put_item(TableName=table, Item=self.whole(table, key))
        return [(table, key)]

    def delete(self):
        table, key = self.pick()
        self.client.delete_item(TableName=table, Key=wire_item(key))
        return [(table, key)]

    def update(self):
        table, key = self.pick()
        self.client.update_item(TableName=table, **self.expression(table, key))
        return [(table, key)]

    def expression(self, table, key):
        """A random update expression which the service must accept for the item as it is."""
        r = self.random
        item = self.items.get(self.identity(table, key), {})
        aliases, values, sets, removes, adds, deletes = {}, {}, [], [], [], []

        def name(attribute):
            return aliases.setdefault(attribute, f"#n{len(aliases)}")

        def value(v):
            values[f":v{len(values)}"] = wire(v)
            return f":v{len(values) - 1}"

        touched = {"Counter"} | {key[0] for key in TABLES[table] if key}
        adds.append(f"{name('Counter')} {value({'N': r.choice(['1', '0', '-3'])})}")
        for _ in range(r.randrange(4)):
            attribute, v = self.source.attribute(table)
            if attribute in touched:
                continue
            touched.add(attribute)
            kind = next(iter(item[attribute])) if attribute in item else None
            same = kind == next(iter(v))
            if kind and r.random() < 0.25:
                removes.append(name(attribute))
            elif same and kind in ("SS", "BS", "NS") and r.random() < 0.7:
                (adds if r.random() < 0.6 else deletes).append(f"{name(attribute)} {value(v)}")
            elif same and kind == "L" and r.random() < 0.5:
                sets.append(f"{name(attribute)} = list_append({name(attribute)}, {value(v)})")
            elif kind == "M" and r.random() < 0.5:
                sets.append(f"{name(attribute)}.{name('nested')} = {value(self.source.value(1))}")
            else:
                sets.append(f"{name(attribute)} = {value(v)}")
        clauses = [("SET", sets), ("REMOVE", removes), ("ADD", adds), ("DELETE", deletes)]
        return {
            "Key": wire_item(key),
            "UpdateExpression": " ".join(f"{verb} {', '.join(parts)}" for verb, parts in clauses if parts),
            "ExpressionAttributeNames": {alias: attribute for attribute, alias in aliases.items()},
            "ExpressionAttributeValues": values,
        }

    def batch(self):
        touched = self.pick_some()
        requests = {}
        for table, key in touched:
            if self.random.random() < 0.75:
                request = {"PutRequest": {"Item": self.whole(table, key)}}
            else:
                request = {"DeleteRequest": {"Key": wire_item(key)}}
            requests.setdefault(table, []).append(request)
        while requests:
            requests = self.client.batch_write_item(RequestItems=requests).get("UnprocessedItems")
        return touched

    def transact(self):
        touched = self.pick_some()
        actions = []
        for table, key in touched:
            kind = self.random.choice(["Put", "Update", "Delete"])
            body = {
                "Put": lambda: {"Item": self.whole(table, key)},
                "Update": lambda: self.expression(table, key),
                "Delete": lambda: {"Key": wire_item(key)},
            }[kind]()
            actions.append({kind: {"TableName": table, **body}})
        self.client.transact_write_items(TransactItems=actions)
        return touched


def post(url):
    with urllib.request.urlopen(urllib.request.Request(url, method="POST", data=b""), timeout=60) as answer:
        answer.read()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--endpoint", required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--writes", type=int, help="write requests to make (a batch is one)")
    parser.add_argument("--tables", type=lambda s: s.split(","), default=list(TABLES))
    parser.add_argument("--history", required=True)
    parser.add_argument("--rollover-url", help="POSTed to while writes go on: Main.java's http://127.0.0.1:CONTROL/rollover")
    parser.add_argument("--rollovers", type=int, default=0)
    options = parser.parse_args()
    if (options.seconds is None) == (options.writes is None):
        parser.error("give either --seconds or --writes")
    os.environ.setdefault("AWS_ACCESS_KEY_ID", "test")
    os.environ.setdefault("AWS_SECRET_ACCESS_KEY", "test")
    os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")

    start = time.monotonic()
    rollovers, failures = [], []

    def rollover():
        try:
            post(options.rollover_url)
        except OSError as error:
            failures.append(str(error))

    with open(options.history, "a", encoding="utf-8") as history:
        writer = Writer(options, history)
        writer.create_tables()
        while True:
            done = writer.requests / options.writes if options.writes else (time.monotonic() - start) / options.seconds
            if options.rollover_url and len(rollovers) < options.rollovers and done >= (len(rollovers) + 1) / (options.rollovers + 1):
                thread = threading.Thread(target=rollover)  # beside the writes, not between them
                thread.start()
                rollovers.append(thread)
            if done >= 1:
                break
            writer.step()
    for thread in rollovers:
        thread.join()
    for failure in failures:
        print(f"rollover failed: {failure}", file=sys.stderr)
    print(json.dumps({
        "requests": writer.requests,
        "changes": sum(writer.changes.values()),
        **writer.changes,
        "items": len(writer.items),
        "rollovers": len(rollovers) - len(failures),
        "seconds": round(time.monotonic() - start, 1),
    }))
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
