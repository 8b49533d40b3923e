#!/bin/sh
# How many instructions does each step take per record and per byte? Counts with callgrind, which needs valgrind.
#
#   benches/instructions.sh            prints the table
#   benches/instructions.sh record     writes it to benches/instructions.txt, to be committed with what changed it
#
# The machine does not matter much, its noise not at all; the compiler does.
set -eu
cd "$(dirname "$0")/.."
command -v valgrind >/dev/null || { echo "instructions.sh: valgrind is missing: apt-get install valgrind" >&2; exit 1; }
bench=$(cargo bench --quiet --bench instructions --no-run --message-format=json |
    sed -n 's/.*"name":"instructions".*"executable":"\([^"]*\)".*/\1/p')
counts=$(mktemp -d)
trap 'rm -r "$counts"' EXIT

count() { # count STEP WORKLOAD
    set -- "$1" "$2" $(valgrind --tool=callgrind --callgrind-out-file="$counts/$1-$2" \
        --toggle-collect='*instructions::counted*' "$bench" "$1" "$2" 2>"$counts/log")
    total=$(sed -n 's/^==.*Collected : *//p' "$counts/log")
    printf '%-18s %-11s %12s %9s %8s\n' "$1" "$2" "$total" $((total / $3)) \
        "$((total * 10 / $4 / 10)).$((total * 10 / $4 % 10))"
}

table() {
    rustc --version
    grep -A1 -E '^name = "(parquet|arrow-array|zstd-sys)"' Cargo.lock | sed -n 's/^name = "\(.*\)"/\1/p; s/^version = "\(.*\)"/\1/p' |
        paste -d' ' - - | paste -sd, | sed 's/,/, /g'
    echo
    printf '%-18s %-11s %12s %9s %8s\n' step workload instructions 'a record' 'a byte'
    for workload in reply wide tiny large nested schemaless unicode; do
        count decode "$workload"
    done
    count streams-page reply
    for workload in reply wide tiny large nested schemaless unicode; do
        count encode "$workload"
    done
    count bytes-to-parquet reply
}

case "${1:-}" in
record) table | tee benches/instructions.txt ;;
*) table ;;
esac
