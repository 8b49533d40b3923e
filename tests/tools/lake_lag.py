"""How long does a write take until its row is durable, beside whatever else the tail's process does?

    lake_lag.py --lake PATH --table T --since MILLIS [--at At]

The items carry the time of their write, in milliseconds, in a number attribute; the lake is in a folder of the same machine, whose
files tell when they came. Prints one JSON line: the seconds within which half, 99 of a hundred, and all of the changes came that were
written since then. Snapshots do not count, nor do removals, which carry no time.
"""

import argparse
import json
import pathlib

import duckdb

from check_lake import newest_schema, quoted


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lake", required=True, type=pathlib.Path)
    parser.add_argument("--table", required=True)
    parser.add_argument("--since", required=True, type=int)
    parser.add_argument("--at", default="At")
    options = parser.parse_args()

    names = {column["attribute"]: quoted(column["column"]) for column in newest_schema(options.lake, options.table)}
    files = f"{options.lake / options.table}/**/*.parquet"
    at = f"{names[options.at]}::DOUBLE"
    rows = duckdb.connect().execute(
        f"SELECT filename, {at} FROM read_parquet('{files}', union_by_name = true, filename = true) "
        f"WHERE _op <> 'SNAPSHOT' AND {at} >= {options.since}"
    )
    came, seconds = {}, []
    while batch := rows.fetchmany(10_000):
        for file, at in batch:
            if file not in came:
                came[file] = pathlib.Path(file).stat().st_mtime
            seconds.append(came[file] - at / 1000)
    seconds.sort()
    share = lambda part: round(seconds[min(len(seconds) - 1, int(len(seconds) * part))], 1) if seconds else None
    print(json.dumps({"changes": len(seconds), "half": share(0.5), "99 of 100": share(0.99), "all": share(1)}))


if __name__ == "__main__":
    main()
