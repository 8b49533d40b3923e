"""Runs every way of turning the same file of Reply changes into typed zstd Parquet, and prints one table.

usage: compare.py PEERS-BENCH WATERSHED RECORDS [WAY...]

Each way is a process of its own, several times in turn; the run with the least user time counts. Speed is bytes of input
per second of user time, of all threads: per core. What only imports Python packages is not counted. Ways can be named by a part of
their name; DuckDB, which all are compared with, always comes along.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).parent
ATTEMPTS = 3

PIPELINE = """
name = "peers"
state = "folder:{work}/state"
[source]
type = "file"
path = "{file}"
[lake]
path = "{work}/lake"
[lake.tables.Reply]
keys = ["Id", "ReplyDateTime"]
"""


def measured(command):
    """Runs a command: user seconds, wall seconds, peak memory in bytes."""
    start = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, err = process.stdout.read(), process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.monotonic() - start
    if process.returncode != 0:
        raise SystemExit(f"{command}: {err.decode()[-2000:]}")
    told = [json.loads(line) for line in out.splitlines() if line.startswith(b'{"user"')]
    if told:  # a peer that knows when its imports were done
        return told[0]["user"], told[0]["wall"], used.ru_maxrss * 1024
    return used.ru_utime, wall, used.ru_maxrss * 1024


def main():
    bench, watershed, records, wanted = sys.argv[1], sys.argv[2], int(sys.argv[3]), [*sys.argv[4:], "DuckDB"]
    with tempfile.TemporaryDirectory(prefix="watershed-peers-") as work:
        work = pathlib.Path(work)
        file = work / "reply.ndjson"
        subprocess.run([bench, "generate", file, str(records)], check=True)
        size = file.stat().st_size
        python = [sys.executable, HERE / "peer.py"]
        ways = {
            "watershed, bytes to columns only": lambda out: [bench, "columns", file],
            "watershed, bytes to Parquet": lambda out: [bench, "parquet", file, out],
            "watershed run, into a folder": lambda out: run(watershed, file, out),
            "DuckDB": lambda out: [*python, "duckdb", file, out],
            "pyarrow (base64, nested text undone)": lambda out: [*python, "pyarrow", file, out],
            "boto3 TypeDeserializer + pyarrow": lambda out: [*python, "boto3", file, out],
            "Polars": lambda out: [*python, "polars", file, out],
        }
        if len(wanted) > 1:
            ways = {name: way for name, way in ways.items() if any(part in name for part in wanted)}
        best, output = {}, {}
        for attempt in range(ATTEMPTS):
            for name, command in ways.items():
                out = work / f"{attempt}-{len(name)}-{name.split(',')[0].split()[0]}"
                out.mkdir()
                best[name] = min(best.get(name, (1e9, 0, 0)), measured(command(out)))
                files = list(out.rglob("*.parquet"))
                output[name] = sum(file.stat().st_size for file in files)
                check(name, files, records)
        table(best, output, size, records)


def run(watershed, file, out):
    pipeline = out / "pipeline.toml"
    pipeline.write_text(PIPELINE.format(file=file, work=out))
    return [watershed, "run", "--once", pipeline]


def check(name, files, records):
    """Whoever wrote files has written all rows."""
    import pyarrow.parquet

    if "columns only" not in name:
        rows = sum(pyarrow.parquet.read_metadata(file).num_rows for file in files)
        if rows != records:
            raise SystemExit(f"{name} wrote {rows} rows instead of {records}")


def table(best, output, size, records):
    megabytes = size / 1e6
    duckdb = best["DuckDB"][0]
    versions = ", ".join(line for line in (HERE / "requirements.txt").read_text().splitlines() if "==" in line)
    print(f"{records} Reply changes, {megabytes:.0f} MB of JSON; {versions}; {os.cpu_count()} cores; best of {ATTEMPTS}\n")
    print("| | MB/s per core | records/s per core | of DuckDB | wall s | peak MB | bytes out per record |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    for name, (user, wall, peak) in best.items():
        out = f"{output[name] / records:.0f}" if output[name] else ""
        print(
            f"| {name} | {megabytes / user:.0f} | {records / user:,.0f} | {duckdb / user:.2f} × | {wall:.2f} "
            f"| {peak / 1e6:.0f} | {out} |"
        )


if __name__ == "__main__":
    main()
