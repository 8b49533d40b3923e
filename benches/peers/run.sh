#!/bin/sh
# How fast is watershed beside DuckDB, pyarrow, Polars and the boto3 way on the same file in the same run? Prints one table.
#
#   benches/peers/run.sh [RECORDS [WAY...]]   100,000 unless said otherwise: 118 MB; all ways, or those named, like `watershed`
#
# It needs Rust and Python 3; the peers are installed into ${WATERSHED_BENCH_PEERS:-target/bench-peers}.
set -eu
[ $# -gt 0 ] || set -- 100000
cd "$(dirname "$0")/../.."
here=benches/peers
peers="${WATERSHED_BENCH_PEERS:-target/bench-peers}"

hash=$(sha256sum "$here/requirements.txt" | cut -d' ' -f1)
if [ "$(cat "$peers/.stamp" 2>/dev/null)" != "$hash" ]; then
    rm -rf "$peers"
    python3 -m venv "$peers" >&2
    "$peers/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt" >&2
    echo "$hash" >"$peers/.stamp"
fi

# cargo names the executables it has made: the bench, and the binary that belongs to it.
made=$(cargo bench --quiet --bench peers --no-run --message-format=json |
    "$peers/bin/python" -c 'import json, sys
made = {m["target"]["name"]: m["executable"] for m in map(json.loads, sys.stdin) if m.get("executable")}
print(made["peers"], made["watershed"])')

# shellcheck disable=SC2086 # two paths
exec "$peers/bin/python" "$here/compare.py" $made "$@"
