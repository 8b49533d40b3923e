"""Does the lake hold exactly what was written? An independent judge: no line of it is shared with the lake's own writer.

    check_lake.py --lake PATH|s3://bucket/prefix [--endpoint URL] --history FILE [--allow-partial] [--view NEW_AND_OLD_IMAGES]

Reads all Parquet files with DuckDB and with pyarrow, rebuilds every item image from its columns and compares with the history (see
write_dynamodb.py). Prints one JSON line, up to ten examples on stderr, and exits 0 only if every fault below is zero:

    lost               changes of the history that no row shows (with --allow-partial: that are missing before a later one)
    twice              rows at a position (_shard, _sequence, _sub) that is taken already, and changes shown more often than written
    reordered          items whose changes are all there in another order
    wrong_images       rows which match no change of their item: a value, a key or the operation is wrong, or cannot be rebuilt
    wrong_final        items whose last row leads to another state than their last change (follows from the above; a second look)
    readers_disagree   rows that DuckDB and pyarrow read differently
"""

import argparse
import base64
import collections
import datetime
import decimal
import json
import os
import pathlib
import re
import sys
import tempfile

import duckdb
import pyarrow.parquet as parquet

import storage
from items import image, normal, number, text

META = ["_op", "_ttl", "_changed_at", "_shard", "_sequence", "_sub", "_generation", "_event_id"]
Row = collections.namedtuple("Row", "table op shard sequence sub new old")


class Broken(Exception):
    """A row from which no image can be rebuilt."""


# -- from columns to images ----------------------------------------------------------------------------------------------------------


def unique(pairs):
    """JSON objects must not name a member twice."""
    members = dict(pairs)
    if len(members) != len(pairs):
        raise Broken(f"a JSON object names a member twice: {[name for name, _ in pairs]}")
    return members


class Digits(str):
    """A JSON number, kept as its text."""


def parse_json(source):
    def refuse(constant):
        raise Broken(f"not JSON: {constant}")

    try:
        return json.loads(source, parse_float=Digits, parse_int=Digits, parse_constant=refuse, object_pairs_hook=unique)
    except ValueError as error:
        raise Broken(f"not JSON: {error}: {source[:200]}") from error


def from_json(value):
    """The value that a json column's plain JSON stands for."""
    if value is None:
        return {"NULL": True}
    if isinstance(value, bool):
        return {"BOOL": value}
    if isinstance(value, Digits):
        return {"N": number(value)}
    if isinstance(value, str):
        return {"S": value}
    if isinstance(value, list):
        return {"L": [from_json(v) for v in value]}
    if len(value) == 1:
        ((kind, inner),) = value.items()
        if kind == "B" and isinstance(inner, str):
            return {"B": inner}
        if kind in ("SS", "NS", "BS") and isinstance(inner, list) and inner and all(type(v) is str for v in inner):
            return {kind: inner}
    return {"M": {name: from_json(v) for name, v in value.items()}}


def plain_number(value):
    """A number column's value. Text must be canonical already: that is how the lake promises to write it."""
    if isinstance(value, decimal.Decimal):
        return number(format(value, "f"))
    if isinstance(value, float):
        return number(repr(value))
    if isinstance(value, str) and number(value) != value:
        raise Broken(f"a number column holds {value!r}, which is not canonical")
    return str(value)


def binary(value):
    return base64.b64encode(bytes(value)).decode()


def from_json_text(value):
    rebuilt = from_json(parse_json(value))
    if next(iter(rebuilt)) not in ("M", "L"):
        raise Broken(f"a json column holds neither map nor list: {value[:200]}")
    return rebuilt


def from_declared(kind, value):
    """The value that a declared list or struct, or something in it, stands for: a type has one kind of value there."""
    if isinstance(kind, tuple) and kind[0] == "list":
        return {"L": [from_declared(kind[1], element) for element in value]}
    if isinstance(kind, tuple):
        found = {name: value[storage.field(name)] for name in kind[1]}
        if len(found) != len(value):
            raise Broken(f"the members {sorted(value)} are not those declared, {sorted(found)}")
        return {"M": {name: from_declared(kind[1][name], inner) for name, inner in found.items() if inner is not None}}
    if value is None:
        raise Broken("a list has an element that is null")
    if kind == "json":
        return from_json_text(value)
    one = {"string": ("S", str), "bool": ("BOOL", bool), "binary": ("B", binary)}
    tag, read = one.get(kind, ("N", plain_number))
    return {tag: read(value)}


def from_column(column, value):
    kind = column["type"]
    if kind == "JSON":
        return from_json_text(value)
    if kind in ("M", "L"):
        return from_declared(storage.parse(column["storage"]), value)
    one = {"S": str, "N": plain_number, "B": binary, "BOOL": bool}
    if kind in one:
        return {kind: one[kind](value)}
    if not value:
        raise Broken(f"column {column['column']} holds an empty set")
    return {kind: [one[kind[0]](v) for v in value]}


def rebuild(columns, cells):
    """The item image in these cells (a row, or its `_old` struct): its columns and its `_rest`."""
    item = {}
    for column in columns:
        value = cells.get(column["column"])
        if value is not None:
            item[column["attribute"]] = from_column(column, value)
    if cells.get("_rest") is not None:
        for name, value in parse_json(cells["_rest"]).items():
            if name in item:
                raise Broken(f"attribute {name!r} is in its column and in _rest")
            item[name] = value
    try:
        return image(item)
    except (ValueError, AttributeError, TypeError, ArithmeticError) as error:
        raise Broken(f"not an item: {error}: {text(item)[:300]}") from error


def rebuild_row(table, columns, cells):
    """One Row from one line of the table. An image that cannot be rebuilt is replaced by its keys and what is wrong with it."""
    new, old = attempt(columns, cells), None
    if cells.get("_old") is not None:
        old = attempt(columns, cells["_old"])
    return Row(table, cells["_op"], cells["_shard"], cells["_sequence"], cells["_sub"], new, old)


def attempt(columns, cells):
    try:
        return rebuild(columns, cells)
    except Broken as error:
        return attempt_keys(columns, cells) | {"broken": str(error)}


def attempt_keys(columns, cells):
    try:
        return rebuild([c for c in columns if c.get("key")], {name: v for name, v in cells.items() if name != "_rest"})
    except Broken:
        return {}


# -- the two readers -----------------------------------------------------------------------------------------------------------------


def quoted(name):
    return '"' + name.replace('"', '""') + '"'


def read_duckdb(files):
    """All rows of a table's files as dictionaries; times become microseconds."""
    relation = duckdb.connect().read_parquet([str(f) for f in files], hive_partitioning=False, union_by_name=True)
    names = relation.columns
    result = relation.select(", ".join(f"epoch_us({quoted(n)})" if n == "_changed_at" else quoted(n) for n in names))
    while batch := result.fetchmany(10_000):
        yield from (dict(zip(names, values)) for values in batch)


EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)


def read_pyarrow(files):
    for file in files:
        with parquet.ParquetFile(file) as opened:
            for batch in opened.iter_batches():
                for cells in batch.to_pylist():
                    if cells.get("_changed_at") is not None:
                        cells["_changed_at"] = (cells["_changed_at"] - EPOCH) // datetime.timedelta(microseconds=1)
                    yield cells


def read_table(folder, table, report):
    """The rows of one table, as pyarrow reads them, after comparing them with what DuckDB reads."""
    files = sorted(folder.rglob("*.parquet"))
    report.files += len(files)
    if not files:
        return [], []
    columns = newest_schema(folder.parent, table)
    rows = []
    seen = collections.Counter()
    for cells in read_pyarrow(files):
        row = rebuild_row(table, columns, cells)
        rows.append(row)
        seen[text([[cells.get(name) for name in META], row])] += 1
    for cells in read_duckdb(files):
        seen[text([[cells.get(name) for name in META], rebuild_row(table, columns, cells)])] -= 1
    for line, count in seen.items():
        if count:
            report.fault("readers_disagree", f"only {'pyarrow' if count > 0 else 'DuckDB'} reads {line[:600]}", abs(count))
    return rows, columns


def newest_schema(lake, table):
    versions = sorted((lake / "_watershed" / "schema" / table).glob("*.json"))
    if not versions:
        raise SystemExit(f"check_lake.py: no schema of table {table} below {lake}/_watershed/schema")
    return json.loads(versions[-1].read_text(encoding="utf-8"))["columns"]


# -- the comparison ------------------------------------------------------------------------------------------------------------------


class Report:
    FAULTS = ["lost", "twice", "reordered", "wrong_images", "wrong_final", "readers_disagree"]

    def __init__(self):
        self.rows = self.snapshots = self.files = 0
        self.faults = dict.fromkeys(self.FAULTS, 0)
        self.examples = 0

    def fault(self, kind, example, count=1):
        self.faults[kind] += count
        if self.examples < 10:
            self.examples += 1
            print(f"{kind}: {example}", file=sys.stderr)

    def line(self):
        return json.dumps({"rows": self.rows, **self.faults, "snapshots": self.snapshots, "files": self.files})


def position(row):
    """Order across shards: ids carry the creation time (DynamoDB) or a growing number (Kinesis), so a child sorts after its parents."""
    found = re.search(r"shardId-(\d+)", row.shard)
    return int(found.group(1)) if found else 0, row.shard, row.sequence, row.sub


def as_seen(item, lossy):
    """An image as the lake can show it: what is declared as double has lost digits, and says so in its schema."""
    if item is None:
        return None
    return {name: rounded(value, lossy[name]) if name in lossy else value for name, value in item.items()}


def rounded(value, kind):
    """The value with the numbers rounded that lie where `kind` says double."""
    if not isinstance(value, dict):  # what is wrong with a row that could not be rebuilt
        return value
    ((tag, inner),) = value.items()
    if kind == "double" and tag == "N":
        return {"N": number(repr(float(inner)))}
    if kind == ("list", "double") and tag == "NS":
        return normal({"NS": list({number(repr(float(n))) for n in inner})})
    if isinstance(kind, tuple) and (kind[0], tag) == ("list", "L"):
        return {"L": [rounded(v, kind[1]) for v in inner]}
    if isinstance(kind, tuple) and (kind[0], tag) == ("struct", "M"):
        return {"M": {name: rounded(v, kind[1][name]) if name in kind[1] else v for name, v in inner.items()}}
    return value


def lossy_columns(columns):
    kinds = {c["attribute"]: storage.parse(c["storage"]) for c in columns}
    return {name: kind for name, kind in kinds.items() if storage.has_double(kind)}


def expected(line, view, lossy):
    """(op, new, old) that a row for this change of the history shows, given the stream's view type."""
    new, old = line["new"], line["old"]
    if line["op"] == "REMOVE" or view in ("KEYS_ONLY", "OLD_IMAGE"):
        new = line["keys"]
    if view in ("KEYS_ONLY", "NEW_IMAGE"):
        old = None
    return text([line["op"], as_seen(image(new), lossy), as_seen(image(old), lossy)])


def compare(item, want, rows, allow_partial, report):
    """Compares one item's changes with its rows, both in order."""
    have = [text([row.op, row.new, row.old]) for row in rows]
    if have == want or (allow_partial and have == want[: len(have)]):
        return
    if allow_partial:  # a later change shows that the earlier ones had to be there
        last = max((i for i, change in enumerate(want) if change in set(have)), default=-1)
        want = want[: last + 1]
    missing = collections.Counter(want) - collections.Counter(have)
    extra = collections.Counter(have) - collections.Counter(want)
    unknown = {change: n for change, n in extra.items() if change not in set(want)}
    wrong = sum(unknown.values())
    for change in unknown:
        report.fault("wrong_images", f"{item}: {nearest(change, missing)}", unknown[change])
    for change, n in extra.items():
        if change not in unknown:
            report.fault("twice", f"{item}: more often than written: {change[:600]}", n)
    for change, n in missing.items():  # a wrong row stands for a missing change
        stood_in = min(n, wrong)
        wrong -= stood_in
        if n > stood_in:
            report.fault("lost", f"{item}: {change[:600]}", n - stood_in)
    both = collections.Counter(want) & collections.Counter(have)
    if common(want, both) != common(have, both):
        report.fault("reordered", f"{item}: {[row.op + ' ' + row.shard + ' ' + row.sequence for row in rows][:20]}")
    if want and have and state(want[-1]) != state(have[-1]):
        report.fault("wrong_final", f"{item}: ends as {have[-1][:600]} instead of {want[-1][:600]}")


def nearest(change, missing):
    """What a wrong row says, told as its differences from the most similar change that is missing."""

    def differences(other):
        found = []
        for name, mine, theirs in zip(("op", "new", "old"), json.loads(change), json.loads(other)):
            if not (isinstance(mine, dict) and isinstance(theirs, dict)):
                found += [(name, mine, theirs)] if mine != theirs else []
                continue
            for attribute in sorted(mine.keys() | theirs.keys()):
                if mine.get(attribute) != theirs.get(attribute):
                    found.append((f"{name}.{attribute}", mine.get(attribute), theirs.get(attribute)))
        return found

    if not missing:
        return f"no such change: {change[:600]}"
    best = min(map(differences, missing), key=len)
    return "; ".join(f"{name} is {text(mine)[:200]}, not {text(theirs)[:200]}" for name, mine, theirs in best[:5])


def state(change):
    op, new, _ = json.loads(change)
    return None if op == "REMOVE" else text(new)


def common(changes, allowed):
    """The changes that both sides have, in this side's order."""
    left = collections.Counter(allowed)
    kept = []
    for change in changes:
        if left[change]:
            left[change] -= 1
            kept.append(change)
    return kept


def check(lake, history, allow_partial=False, view="NEW_AND_OLD_IMAGES"):
    lake = pathlib.Path(lake)
    report = Report()
    tables = {folder.name for folder in lake.iterdir() if folder.is_dir() and folder.name != "_watershed"} if lake.is_dir() else set()
    rows_of = {table: read_table(lake / table, table, report) for table in sorted(tables)}

    want = collections.defaultdict(list)  # (table, keys text) -> changes in order
    key_names = {}
    states = collections.defaultdict(set)
    lossy_of = {}
    with open(history, encoding="utf-8") as lines:
        for line in map(json.loads, lines):
            table = line["table"]
            key_names[table] = list(line["keys"])
            columns = rows_of.get(table, ([], []))[1]
            lossy = lossy_of.setdefault(table, lossy_columns(columns))
            item = table, text(image(line["keys"]))
            want[item].append(expected(line, view, lossy))
            states[item].add(text(as_seen(image(line["new"]), lossy)))

    have = collections.defaultdict(list)
    for table, (rows, columns) in rows_of.items():
        names = key_names.get(table) or [c["attribute"] for c in columns if c.get("key")]
        lossy = lossy_columns(columns)
        taken = set()
        for row in rows:
            # A value that went to `_rest` whole has kept the digits that another row's has lost.
            row = row._replace(new=as_seen(row.new, lossy), old=as_seen(row.old, lossy))
            report.rows += 1
            place = row.shard, row.sequence, row.sub
            if row.op == "SNAPSHOT":  # a backfill: any state the item ever had
                report.snapshots += 1
                if text(row.new) not in states[table, text({n: row.new.get(n) for n in names})]:
                    report.fault("wrong_images", f"{table}: no change led to the snapshot {text(row.new)[:600]}")
            elif place in taken:
                report.fault("twice", f"{table}: two rows at {place}")
            else:
                taken.add(place)
                if not re.fullmatch(r"\d+", row.sequence) or len(row.sequence) != 3 + int(row.sequence[:3]):
                    report.fault("wrong_images", f"{table}: _sequence {row.sequence!r} is not length-prefixed")
                have[table, text({n: row.new.get(n) for n in names})].append(row)
    for item in sorted(want.keys() | have.keys()):
        compare(item, want.get(item, []), sorted(have.get(item, []), key=position), allow_partial, report)
    return report


# -- where the lake is ---------------------------------------------------------------------------------------------------------------


def download(address, endpoint, folder):
    """Copies the lake's Parquet and schema files out of S3."""
    import boto3

    for name, value in [("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test"), ("AWS_DEFAULT_REGION", "us-east-1")]:
        os.environ.setdefault(name, value)
    bucket, _, prefix = address.removeprefix("s3://").partition("/")
    prefix = prefix.rstrip("/") + "/" if prefix.rstrip("/") else ""
    client = boto3.client("s3", endpoint_url=endpoint)
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for found in page.get("Contents", []):
            relative = found["Key"].removeprefix(prefix)
            if relative.startswith("_watershed/") != relative.endswith(".parquet"):
                target = pathlib.Path(folder, relative)
                target.parent.mkdir(parents=True, exist_ok=True)
                client.download_file(bucket, found["Key"], str(target))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lake", required=True)
    parser.add_argument("--endpoint", help="of S3, if not AWS's own")
    parser.add_argument("--history", required=True)
    parser.add_argument("--allow-partial", action="store_true", help="the end of the history may be missing")
    views = ["NEW_AND_OLD_IMAGES", "NEW_IMAGE", "OLD_IMAGE", "KEYS_ONLY"]
    parser.add_argument("--view", choices=views, default=views[0], help="the stream's view type")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        lake = options.lake
        if lake.startswith("s3://"):
            download(lake, options.endpoint, folder)
            lake = folder
        report = check(lake, options.history, options.allow_partial, options.view)
    print(report.line())
    sys.exit(1 if any(report.faults.values()) else 0)


if __name__ == "__main__":
    main()
