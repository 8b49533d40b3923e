"""One peer: reads the file of Kinesis-for-DynamoDB records, writes op, ids, time, keys and all 16 attributes of the new and
the old image as typed columns into zstd Parquet, on one thread.

usage: peer.py duckdb|pyarrow|polars|boto3 FILE OUT

Numbers become decimal(38,9), sets lists, binary bytes, the nested map JSON text, as watershed does.
"""

import json
import os
import pathlib
import resource
import sys
import time

ATTRIBUTES = {
    "Id": "S", "ReplyDateTime": "S", "PostedBy": "S", "Message": "S", "Likes": "N", "Score": "N", "Open": "BOOL",
    "Digest": "B", "EditedBy": "S", "Tags": "SS", "Votes": "NS", "Meta": "M", "Rev": "N", "Views": "N",
    "Lang": "S", "Status": "S",
}  # fmt: skip
KEYS = ["Id", "ReplyDateTime"]
IMAGES = {"new": "NewImage", "old": "OldImage"}
ROW_GROUP = 122_880


def with_duckdb(file, out):
    import duckdb

    types = {"S": "VARCHAR", "N": "VARCHAR", "BOOL": "BOOLEAN", "B": "VARCHAR", "SS": "VARCHAR[]", "NS": "VARCHAR[]", "M": "JSON"}
    values = {
        "N": "CAST({} AS DECIMAL(38,9))", "B": "from_base64({})", "NS": "CAST({} AS DECIMAL(38,9)[])", "M": "CAST({} AS VARCHAR)",
    }  # fmt: skip
    image = ", ".join(f'"{name}" STRUCT("{kind}" {types[kind]})' for name, kind in ATTRIBUTES.items())
    keys = ", ".join(f'"{name}" STRUCT("S" VARCHAR)' for name in KEYS)
    change = (
        f"STRUCT(ApproximateCreationDateTime BIGINT, Keys STRUCT({keys}), NewImage STRUCT({image}), OldImage STRUCT({image}))"
    )
    columns = ["eventName AS op", "eventID AS event_id", "tableName AS table_name"]
    columns += ["make_timestamp(dynamodb.ApproximateCreationDateTime) AS changed_at"]
    columns += [f'dynamodb.Keys."{name}".S AS "key_{name}"' for name in KEYS]
    for prefix, member in IMAGES.items():
        for name, kind in ATTRIBUTES.items():
            value = values.get(kind, "{}").format(f'dynamodb.{member}."{name}"."{kind}"')
            columns.append(f'{value} AS "{prefix}_{name}"')
    work = duckdb.connect()
    work.execute("SET threads = 1; SET preserve_insertion_order = true")
    return lambda: work.execute(
        f"COPY (SELECT {', '.join(columns)} FROM read_json('{file}', format = 'newline_delimited', columns = "
        f"{{eventName: 'VARCHAR', eventID: 'VARCHAR', tableName: 'VARCHAR', dynamodb: '{change}'}})) "
        f"TO '{out}/0.parquet' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)"
    )


def with_pyarrow(file, out):
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.json
    import pyarrow.parquet as pq

    pa.set_cpu_count(1)
    text, number = pa.string(), pa.decimal128(38, 9)
    app = pa.struct([("M", pa.struct([("os", pa.struct([("S", text)]))]))])
    path = pa.struct([("L", pa.list_(pa.struct([("S", text), ("N", text)])))])
    types = {
        "S": text, "N": text, "BOOL": pa.bool_(), "B": text, "SS": pa.list_(text), "NS": pa.list_(text),
        "M": pa.struct([("app", app), ("path", path)]),
    }  # fmt: skip
    image = pa.struct([(name, pa.struct([(kind, types[kind])])) for name, kind in ATTRIBUTES.items()])
    change = pa.struct([
        ("ApproximateCreationDateTime", pa.int64()),
        ("Keys", pa.struct([(name, pa.struct([("S", text)])) for name in KEYS])),
        ("NewImage", image),
        ("OldImage", image),
    ])
    schema = pa.schema([("eventName", text), ("eventID", text), ("tableName", text), ("dynamodb", change)])

    def work():
        table = pa.json.read_json(
            file,
            read_options=pa.json.ReadOptions(use_threads=False, block_size=8 << 20),
            parse_options=pa.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore"),
        )
        changes = table["dynamodb"]
        columns = {
            "op": table["eventName"], "event_id": table["eventID"], "table_name": table["tableName"],
            "changed_at": pc.struct_field(changes, "ApproximateCreationDateTime").cast(pa.timestamp("us")),
        }  # fmt: skip
        for name in KEYS:
            columns[f"key_{name}"] = pc.struct_field(changes, ["Keys", name, "S"])
        for prefix, member in IMAGES.items():
            for name, kind in ATTRIBUTES.items():
                value = pc.struct_field(changes, [member, name, kind])
                if kind == "N":
                    value = value.cast(number)
                elif kind == "NS":
                    value = value.cast(pa.list_(number))
                columns[f"{prefix}_{name}"] = value
        pq.write_table(
            pa.table(columns), out / "0.parquet", compression="zstd", compression_level=1, row_group_size=ROW_GROUP
        )

    return work


def with_polars(file, out):
    import polars as pl

    number = pl.Decimal(38, 9)
    app = pl.Struct({"M": pl.Struct({"os": pl.Struct({"S": pl.String})})})
    path = pl.Struct({"L": pl.List(pl.Struct({"S": pl.String, "N": pl.String}))})
    types = {
        "S": pl.String, "N": pl.String, "BOOL": pl.Boolean, "B": pl.String, "SS": pl.List(pl.String),
        "NS": pl.List(pl.String), "M": pl.Struct({"app": app, "path": path}),
    }  # fmt: skip
    image = pl.Struct({name: pl.Struct({kind: types[kind]}) for name, kind in ATTRIBUTES.items()})
    change = pl.Struct({
        "ApproximateCreationDateTime": pl.Int64,
        "Keys": pl.Struct({name: pl.Struct({"S": pl.String}) for name in KEYS}),
        "NewImage": image,
        "OldImage": image,
    })
    schema = {"eventName": pl.String, "eventID": pl.String, "tableName": pl.String, "dynamodb": change}

    def work():
        changes = pl.col("dynamodb").struct
        columns = [
            pl.col("eventName").alias("op"), pl.col("eventID").alias("event_id"), pl.col("tableName").alias("table_name"),
            changes.field("ApproximateCreationDateTime").cast(pl.Datetime("us")).alias("changed_at"),
        ]  # fmt: skip
        columns += [changes.field("Keys").struct.field(name).struct.field("S").alias(f"key_{name}") for name in KEYS]
        for prefix, member in IMAGES.items():
            for name, kind in ATTRIBUTES.items():
                value = changes.field(member).struct.field(name).struct.field(kind)
                if kind == "N":
                    value = value.cast(number)
                elif kind == "NS":
                    value = value.cast(pl.List(number))
                elif kind == "B":
                    value = value.str.decode("base64")
                elif kind == "M":
                    value = value.struct.json_encode()
                columns.append(value.alias(f"{prefix}_{name}"))
        frame = pl.read_ndjson(file, schema=schema, ignore_errors=False).select(columns)
        frame.write_parquet(out / "0.parquet", compression="zstd", compression_level=1, row_group_size=ROW_GROUP)

    return work


def with_boto3(file, out):
    """What a Lambda in Python does: json, TypeDeserializer, lists, pyarrow."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from boto3.dynamodb.types import Binary, TypeDeserializer

    pa.set_cpu_count(1)
    number = pa.decimal128(38, 9)
    types = {
        "S": pa.string(), "N": number, "BOOL": pa.bool_(), "B": pa.binary(), "SS": pa.list_(pa.string()),
        "NS": pa.list_(number), "M": pa.string(),
    }  # fmt: skip
    fields = [("op", pa.string()), ("event_id", pa.string()), ("table_name", pa.string()), ("changed_at", pa.timestamp("us"))]
    fields += [(f"key_{name}", pa.string()) for name in KEYS]
    fields += [(f"{prefix}_{name}", types[kind]) for prefix in IMAGES for name, kind in ATTRIBUTES.items()]
    schema = pa.schema(fields)
    import base64

    convert = {
        "B": lambda value: bytes(value.value) if isinstance(value, Binary) else value,
        "SS": sorted,
        "NS": sorted,
        "M": lambda value: json.dumps(value, default=str),
    }
    deserialize = TypeDeserializer().deserialize

    def plain(value):
        # The service sends base64; boto3's own parser decodes it before the deserializer sees it.
        if "B" in value:
            value = {"B": base64.b64decode(value["B"])}
        return deserialize(value)

    def work():
        writer = pq.ParquetWriter(out / "0.parquet", schema, compression="zstd", compression_level=1)
        rows = {name: [] for name in schema.names}

        def flush():
            writer.write_table(pa.table(rows, schema=schema))
            for values in rows.values():
                values.clear()

        with open(file, "rb") as lines:
            for line in lines:
                record = json.loads(line)
                change = record["dynamodb"]
                rows["op"].append(record["eventName"])
                rows["event_id"].append(record["eventID"])
                rows["table_name"].append(record["tableName"])
                rows["changed_at"].append(change["ApproximateCreationDateTime"])
                for name in KEYS:
                    rows[f"key_{name}"].append(deserialize(change["Keys"][name]))
                for prefix, member in IMAGES.items():
                    image = change.get(member) or {}
                    for name, kind in ATTRIBUTES.items():
                        value = plain(image[name]) if name in image else None
                        if value is not None and kind in convert:
                            value = convert[kind](value)
                        rows[f"{prefix}_{name}"].append(value)
                if len(rows["op"]) == 10_000:
                    flush()
        flush()
        writer.close()

    return work


def main():
    peer, file, out = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])
    for variable in ("POLARS_MAX_THREADS", "OMP_NUM_THREADS", "ARROW_NUM_THREADS"):
        os.environ[variable] = "1"
    work = globals()[f"with_{peer}"](file, out)
    start, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_utime
    work()
    user = resource.getrusage(resource.RUSAGE_SELF).ru_utime - before
    print(json.dumps({"user": user, "wall": time.monotonic() - start}), flush=True)


if __name__ == "__main__":
    main()
