//! Values that are wrong are told what is expected, and how to mend them.

use super::says;

#[test]
fn a_value_of_the_wrong_type() {
    says(
        "
name = 1
state = true
memory = 1.5
shutdown_grace = 25
listen = 9090
[source]
type = ['file']
start = 1
on_gap = false
poll = 2026-11-20
discovery = {}
[lake]
path = []
partition_by = 'day'
max_columns = '500'
[lake.tables.Forum]
keys = 'Id'
indexes = [1, 'a', {}]
partition_by = [[]]
",
        r#"
1:8: name: found the integer 1; expected a name such as "forum": letters, digits, `_`, `.` and `-`, at most 128, the first a letter or digit
2:9: state: found `true`; expected a folder such as "folder:state/forum", or "dynamodb:TABLE"
3:10: memory: found the number 1.5; expected a size from 64 MiB to 1 TiB, such as "512 MiB", or a number of bytes
4:18: shutdown_grace: found the integer 25; expected a duration from 1s to 10m, such as "25s"; a duration has a unit: "25s" or "25ms"
5:10: listen: found the integer 9090; expected a loopback address and port such as "127.0.0.1:9090"
7:8: source.type: found a list; expected "dynamodb-streams", "kinesis" or "file"
8:9: source.start: found the integer 1; expected "trim-horizon", "latest" or a time such as "2026-11-20T08:15:30Z"
9:10: source.on_gap: found `false`; expected "fail" or "resume"
10:8: source.poll: found the time 2026-11-20; expected a duration from 200ms to 1m, such as "1s"
11:13: source.discovery: found a table; expected a duration from 1s to 10m, such as "10s"
13:8: lake.path: found a list; expected a folder, or "s3://BUCKET/PREFIX"
14:16: lake.partition_by: found the string "day"; expected a list of partitions (`year`, `month`, `day`, `hour` or attribute names); write a list: ["day"]
15:15: lake.max_columns: found the string "500"; expected a whole number from 1 to 2000
17:8: lake.tables.Forum.keys: found the string "Id"; expected a list of one or two key attributes, partition key first; write a list: ["Id"]
18:12: lake.tables.Forum.indexes[0]: found the integer 1; expected an attribute's name
18:20: lake.tables.Forum.indexes[2]: found a table; expected an attribute's name
19:17: lake.tables.Forum.partition_by[0]: found a list; expected `year`, `month`, `day`, `hour` or an attribute's name
"#,
    );
}

#[test]
fn a_value_that_is_out_of_range() {
    says(
        "
name = 'a b'
memory = '63 MiB'
shutdown_grace = '1ms'
lake.path = 'x'
[source]
type = 'file'
path = []
poll = '100ms'
discovery = '11m'
[lake.roll]
bytes = -1
rows = 0
age = '0s'
idle = '99999999999s'
",
        r#"
1:8: name: found "a b"; expected a name such as "forum": letters, digits, `_`, `.` and `-`, at most 128, the first a letter or digit
2:10: memory: found "63 MiB"; expected a size from 64 MiB to 1 TiB, such as "512 MiB", or a number of bytes
3:18: shutdown_grace: found "1ms"; expected a duration from 1s to 10m, such as "25s"
7:8: source.path: the list is empty; expected a list of one or more paths
8:8: source.poll: found "100ms"; expected a duration from 200ms to 1m, such as "1s"
9:13: source.discovery: found "11m"; expected a duration from 1s to 10m, such as "10s"
11:9: lake.roll.bytes: found -1; expected a size from 4 KiB to 5 GiB, such as "128 MiB", or a number of bytes
12:8: lake.roll.rows: found 0; expected a whole number from 1 to 1000000000
13:7: lake.roll.age: found "0s"; expected a duration from 100ms to 12h, such as "60s"
14:8: lake.roll.idle: found "99999999999s"; expected a duration from 100ms to 12h, such as "60s"
"#,
    );
    says(
        "
name = 'a'
lake = { path = 'x', max_columns = 2001, roll = { age = '10s', idle = '1m' } }
source = { type = 'file', path = 'in' }
",
        "
2:36: lake.max_columns: found 2001; expected a whole number from 1 to 2000
2:71: lake.roll.idle: 1m would never count; expected at most 10s; a file is closed after 10s (`age`) anyway
",
    );
}

#[test]
fn a_word_that_is_nearly_right() {
    says(
        "
name = 'a'
listen = 'localhost:9090'
lake.path = 's3a://bucket/x'
[source]
type = 'dynamodb-stream'
start = 'trimhorizon'
on_gap = 'Resume'
",
        r#"
2:10: listen: found "localhost:9090"; expected a loopback address and port such as "127.0.0.1:9090"; did you mean "127.0.0.1:9090"?
3:13: lake.path: found "s3a://bucket/x"; expected a folder, or "s3://BUCKET/PREFIX"; write "s3://bucket/x"
5:8: source.type: found "dynamodb-stream"; expected "dynamodb-streams", "kinesis" or "file"; did you mean "dynamodb-streams"?
6:9: source.start: found "trimhorizon"; expected "trim-horizon", "latest" or a time such as "2026-11-20T08:15:30Z"; did you mean "trim-horizon"?
7:10: source.on_gap: found "Resume"; expected "fail" or "resume"; did you mean "resume"?
"#,
    );
}

#[test]
fn durations_and_sizes_without_a_unit_or_with_another() {
    says(
        "
name = 'a'
memory = '512 megs'
shutdown_grace = '25'
lake.path = 'x'
[source]
type = 'file'
path = 'in'
poll = 'soon'
discovery = '5x'
",
        r#"
2:10: memory: found "512 megs"; expected a size from 64 MiB to 1 TiB, such as "512 MiB", or a number of bytes; units are `B`, `kB`, `KiB`, `MB`, `MiB`, `GB`, `GiB`
3:18: shutdown_grace: found "25"; expected a duration from 1s to 10m, such as "25s"; a duration has a unit: "25s" or "25ms"
8:8: source.poll: found "soon"; expected a duration from 200ms to 1m, such as "1s"
9:13: source.discovery: found "5x"; expected a duration from 1s to 10m, such as "10s"; `x` is no unit; units are `ms`, `s`, `m` (minutes), `h`
"#,
    );
}

#[test]
fn places_that_are_none() {
    says(
        "
name = 'a'
state = 's3://x/y'
listen = '0.0.0.0:9090'
lake.path = 's3://Bucket/x'
[source]
type = 'file'
path = ['s3://bucket', '']
start = '2026-11-20T08:15:30'
",
        r#"
2:9: state: found "s3://x/y"; expected a folder such as "folder:state/forum", or "dynamodb:TABLE"; state is kept in a folder or in a DynamoDB table, not in S3
3:10: listen: found "0.0.0.0:9090"; expected a loopback address and port such as "127.0.0.1:9090"; metrics and health are served without encryption or password: listen on this machine only and put a proxy in front
4:13: lake.path: found "s3://Bucket/x"; expected a folder, or "s3://BUCKET/PREFIX"; a bucket's name has 3 to 63 lower-case letters, digits, `.` and `-`, with a letter or digit at both ends
7:9: source.path[0]: found "s3://bucket"; expected the path of a file or folder; recorded changes are read from this machine: copy them into a folder
7:24: source.path[1]: found an empty path; expected the path of a file or folder
8:9: source.start: found "2026-11-20T08:15:30"; expected "trim-horizon", "latest" or a time such as "2026-11-20T08:15:30Z"; a time needs its offset: `Z` for UTC, or for example `+02:00`
"#,
    );
    says(
        r#"
name = 'a'
state = 'dynamodb:a b'
lake.path = '~/lake'
source = { type = 'file', path = "in\u0000\u202e" }
"#,
        r#"
2:9: state: found "dynamodb:a b"; expected a folder such as "folder:state/forum", or "dynamodb:TABLE"; a table's name has 3 to 255 letters, digits, `_`, `.` and `-`
3:13: lake.path: found "~/lake"; expected a folder, or "s3://BUCKET/PREFIX"; `~` means nothing here: write the path out
4:34: source.path: found "in\0\u{202e}"; expected the path of a file or folder; a path has no control characters
"#,
    );
}

#[test]
fn names_that_are_none() {
    says(
        "
name = 'a'
lake.path = 'x'
[source]
type = 'kinesis'
stream = 'arn:aws:dynamodb:us-east-1:111122223333:table/Reply'
tables = []
",
        r#"
5:10: source.stream: found "arn:aws:dynamodb:us-east-1:111122223333:table/Reply"; expected the name or ARN of a Kinesis stream; this is an ARN of "dynamodb", not of `kinesis`
6:10: source.tables: the list is empty; expected a list of one or more table names
"#,
    );
    says(
        "
name = 'a'
lake.path = 'x'
lake.tables.'a/b'.keys = ['Id', '']
[source]
type = 'dynamodb-streams'
tables = ['Reply', 'ab', 'arn:aws:dynamodb:us-east-1:111122223333:table/Reply']
",
        r#"
3:13: lake.tables."a/b": not a table's name; expected 3 to 255 letters, digits, `_`, `.` and `-`
3:33: lake.tables."a/b".keys[1]: found ""; expected an attribute's name
6:20: source.tables[1]: found "ab"; expected a table's name or ARN, or a stream's ARN
6:26: source.tables[2]: `Reply` is in the list twice; name it once
"#,
    );
}

#[test]
fn what_is_said_about_a_table() {
    says(
        "
name = 'a'
source = { type = 'file', path = 'in' }
[lake]
path = 'lake'
partition_by = ['day', 'Category', 'Day']
[lake.tables.Reply]
keys = ['a', 'b', 'c']
indexes = ['x', 'x']
columns = { a = 'text', b = 'decimal(40,2)', c = 'list<boolen>', '' = 'string' }
",
        r#"
5:36: lake.partition_by[2]: `day` is in the list twice; name it once: upper and lower case are the same here
7:8: lake.tables.Reply.keys: found 3; expected a list of one or two key attributes, partition key first
8:17: lake.tables.Reply.indexes[1]: `x` is in the list twice; name it once
9:17: lake.tables.Reply.columns.a: found "text": there is no such type; expected "string", "int64", "double", "decimal(p,s)", "bool", "binary" or "json", a list such as "list<string>" or a struct such as "struct<Name: string>"; did you mean `string`?
9:29: lake.tables.Reply.columns.b: found "decimal(40,2)": the precision is from 1 to 38, the scale from 0 to the precision; expected "string", "int64", "double", "decimal(p,s)", "bool", "binary" or "json", a list such as "list<string>" or a struct such as "struct<Name: string>"; for example `decimal(10,2)`
9:56: lake.tables.Reply.columns.c: found "list<boolen>": there is no type `boolen`; did you mean `bool`?
9:71: lake.tables.Reply.columns."": no attribute has an empty name
"#,
    );
}

#[test]
fn a_mistake_inside_a_column_type_is_marked_there() {
    says(
        r#"
name = 'a'
source = { type = 'file', path = 'in' }
lake.path = 'lake'
[lake.tables.Reply]
keys = ['a']
indexes = ['x', 'l', 's']
[lake.tables.Reply.columns]
a = 'struct<x: json>'
b = "struct<Lang: string, Score: decimal(50,2)>"
c = """struct<
    Sku: string,
    sku: string>"""
d = "struct<\u0061: string, a: string>"
e = 'list<zzzzzzzzz>'
l = 'list<string>'
s = 'struct<`First name`: string'
"#,
        r#"
6:17: lake.tables.Reply.indexes[1]: `l` is declared as a list, which has no order to sort by; take it out of `indexes`
8:5: lake.tables.Reply.columns.a: `struct<x: json>` is no type a key can have; expected `string`, `int64`, `decimal(p,s)` or `binary` for a key
9:34: lake.tables.Reply.columns.b: found "struct<Lang: string, Score: decimal(50,2)>": the precision is from 1 to 38, the scale from 0 to the precision; for example `decimal(10,2)`
12:5: lake.tables.Reply.columns.c: found "struct<\n    Sku: string,\n    sku: string>": `Sku` and `sku` are one name to SQL engines, which fold case; keep one of them, or declare the map as `json`
13:5: lake.tables.Reply.columns.d: found "struct<a: string, a: string>": `a` is there twice; name it once
14:11: lake.tables.Reply.columns.e: found "list<zzzzzzzzz>": there is no type `zzzzzzzzz`; expected "string", "int64", "double", "decimal(p,s)", "bool", "binary" or "json", a list such as "list<string>" or a struct such as "struct<Name: string>"
16:6: lake.tables.Reply.columns.s: found "struct<`First name`: string": `struct<` is not closed; close it with `>`
"#,
    );
}

#[test]
fn a_partition_has_to_fit_into_a_folders_name() {
    let (fits, long) = ("x".repeat(54), "x".repeat(55));
    says(
        &format!(
            "name = 'p'\n[source]\ntype = 'file'\npath = 'r'\n[lake]\npath = 'l'\npartition_by = ['{fits}', '{long}']\n"
        ),
        &format!(
            "7:75: lake.partition_by[1]: found \"{long}\"; expected `year`, `month`, `day`, `hour` or an \
             attribute's name; a folder holds the name and a value: at most 54 bytes are for the name\n"
        ),
    );
}
