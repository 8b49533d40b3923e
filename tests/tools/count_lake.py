"""What do two readers count in a lake?  count_lake.py FOLDER

For each table, by DuckDB and by pyarrow: changes by operation, changes by the Hive partition `day`, removals by TTL, and items whose
last change was no removal. Both open all files of a table as one, as a user would: union_by_name, Hive partitions from the path.
"""

import json
import pathlib
import sys

import duckdb
import pyarrow
import pyarrow.compute as compute
import pyarrow.dataset as dataset
import pyarrow.parquet as parquet


def keys_of(lake, table):
    newest = sorted((lake / "_watershed" / "schema" / table).glob("*.json"))[-1]
    return [c["column"] for c in json.loads(newest.read_text())["columns"] if c.get("key")]


def by_duckdb(folder, keys):
    database = duckdb.connect()
    database.execute(
        f"CREATE VIEW changes AS SELECT * FROM read_parquet('{folder}/*/*.parquet', union_by_name = true, hive_partitioning = true,"
        " hive_types_autocast = false)"
    )
    names = ", ".join('"' + key.replace('"', '""') + '"' for key in keys)
    return {
        "changes": dict(database.execute("SELECT _op, count(*) FROM changes GROUP BY ALL").fetchall()),
        "changes_by_day": dict(database.execute("SELECT day, count(*) FROM changes GROUP BY ALL").fetchall()),
        "ttl_removals": database.execute("SELECT count(*) FROM changes WHERE _ttl").fetchone()[0],
        "live_items": database.execute(
            f"SELECT count(*) FROM (SELECT arg_max(_op, (_sequence, _sub)) AS last FROM changes GROUP BY {names}) WHERE last <> 'REMOVE'"
        ).fetchone()[0],
    }


def by_pyarrow(folder, keys):
    files = sorted(str(file) for file in folder.rglob("*.parquet"))
    # Columns come and go between files, and a dataset takes its schema from the first one unless told.
    schema = pyarrow.unify_schemas([parquet.read_schema(file) for file in files])
    schema = schema.append(pyarrow.field("day", pyarrow.string()))
    hive = dataset.partitioning(pyarrow.schema([("day", pyarrow.string())]), flavor="hive")
    table = dataset.dataset(files, schema=schema, partitioning=hive, partition_base_dir=str(folder)).to_table()

    def counts(column):
        return {row["values"]: row["counts"] for row in compute.value_counts(table[column]).to_pylist()}

    last = {}
    for row in table.select(["_op", "_sequence", "_sub", *keys]).to_pylist():
        key = tuple(row[name] for name in keys)
        last[key] = max(last.get(key, ("", 0, "")), (row["_sequence"], row["_sub"], row["_op"]))
    return {
        "changes": counts("_op"),
        "changes_by_day": counts("day"),
        "ttl_removals": compute.sum(table["_ttl"].cast("int64")).as_py() or 0,
        "live_items": sum(op != "REMOVE" for _, _, op in last.values()),
    }


lake = pathlib.Path(sys.argv[1])
tables = [folder for folder in sorted(lake.iterdir()) if folder.name != "_watershed"]
print(json.dumps({
    reader.__name__.removeprefix("by_"): {table.name: reader(table, keys_of(lake, table.name)) for table in tables}
    for reader in (by_duckdb, by_pyarrow)
}))
