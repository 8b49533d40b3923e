#!/bin/sh
# What do the full tests need besides Rust, and how does it get here? Python packages into a venv and DynamoDB Local through Maven,
# both below ${WATERSHED_TEST_TOOLS:-target/test-tools}. Quiet and quick when everything is there already; run it as often as you like.
set -eu
cd "$(dirname "$0")/../.."
here=tests/tools
tools="${WATERSHED_TEST_TOOLS:-target/test-tools}"

need() { # need COMMAND DEBIAN-PACKAGE
    command -v "$1" >/dev/null || { echo "setup.sh: $1 is missing: apt-get install $2" >&2; exit 1; }
}

stamp() { # stamp FILE...: one hash of their contents
    cat "$@" | sha256sum | cut -d' ' -f1
}

# up_to_date FOLDER HASH: was FOLDER built completely from the files with this hash?
up_to_date() { [ "$(cat "$1/.stamp" 2>/dev/null)" = "$2" ]; }

need sha256sum coreutils
need openssl openssl
mkdir -p "$tools"
exec 9>"$tools/.lock"
flock 9 # two test binaries may start at once

hash=$(stamp "$here/requirements.txt")
if ! up_to_date "$tools/venv" "$hash"; then
    need python3 python3
    rm -rf "$tools/venv"
    python3 -m venv "$tools/venv" >&2 || { echo "setup.sh: python3 cannot make a venv: apt-get install python3-venv" >&2; exit 1; }
    "$tools/venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt" >&2
    echo "$hash" >"$tools/venv/.stamp"
fi

# Only its binary, with the local runtime: what it builds packages with (zig) is large and not needed here.
local_runtime=cargo-lambda==1.9.2
if ! up_to_date "$tools/cargo-lambda" "$local_runtime"; then
    rm -rf "$tools/cargo-lambda"
    "$tools/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --target "$tools/cargo-lambda" "$local_runtime" >&2
    echo "$local_runtime" >"$tools/cargo-lambda/.stamp"
fi

jars="$tools/dynamodb-local"
hash=$(stamp "$here/dynamodb-local/pom.xml")
if ! up_to_date "$jars" "$hash"; then
    need java openjdk-17-jre-headless
    need mvn maven
    rm -rf "$jars"
    mkdir -p "$jars"
    # The native SQLite must carry no version in its name, or its loader does not find it.
    log="$tools/maven.log"
    mvn --quiet --batch-mode --file "$here/dynamodb-local/pom.xml" dependency:copy-dependencies -DincludeScope=runtime \
        -Dmdep.stripVersion=true "-DoutputDirectory=$(cd "$jars" && pwd)" >"$log" 2>&1 || { cat "$log" >&2; exit 1; }
    echo "$hash" >"$jars/.stamp"
fi

classes="$jars/classes"
hash=$(stamp "$here/dynamodb-local/Main.java")
if ! up_to_date "$classes" "$hash"; then
    need javac openjdk-17-jdk-headless
    rm -rf "$classes"
    mkdir -p "$classes"
    javac -proc:none -cp "$jars/*" -d "$classes" "$here/dynamodb-local/Main.java" >&2
    echo "$hash" >"$classes/.stamp"
fi
need java openjdk-17-jre-headless
