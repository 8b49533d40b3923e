//! Files whose keys, tables or syntax are wrong are told every mistake, where it is and what to write.

use super::says;

#[test]
fn an_empty_file_is_told_what_is_missing() {
    says(
        "",
        r#"
1:1: name: missing; expected a name such as "forum": letters, digits, `_`, `.` and `-`, at most 128, the first a letter or digit
1:1: source: missing; expected a table `[source]`
1:1: lake: missing; expected a table `[lake]`
"#,
    );
    says(
        "


# nothing
",
        r#"
1:1: name: missing; expected a name such as "forum": letters, digits, `_`, `.` and `-`, at most 128, the first a letter or digit
1:1: source: missing; expected a table `[source]`
1:1: lake: missing; expected a table `[lake]`
"#,
    );
}

#[test]
fn a_missing_key_is_told_where_its_table_begins() {
    says(
        "
name = 'a'
[source]
type = 'kinesis'
[lake.tables.Reply]
",
        r#"
2:1: source.stream: missing; expected the name or ARN of a Kinesis stream
4:2: lake.path: missing; expected a folder, or "s3://BUCKET/PREFIX"
"#,
    );
    says(
        "
source.type = 'file'
source.path = 'in'
lake.roll.age = 5
",
        r#"
1:1: name: missing; expected a name such as "forum": letters, digits, `_`, `.` and `-`, at most 128, the first a letter or digit
3:1: lake.path: missing; expected a folder, or "s3://BUCKET/PREFIX"
3:17: lake.roll.age: found the integer 5; expected a duration from 100ms to 12h, such as "60s"; a duration has a unit: "5s" or "5ms"
"#,
    );
}

#[test]
fn a_misspelt_key_is_one_mistake_and_guessed() {
    says(
        "
nmae = 'a'
[soruce]
type = 'file'
[lake]
paht = 'x'
",
        "
1:1: nmae: unknown key; did you mean `name`?
2:2: soruce: unknown key; did you mean `source`?
5:1: lake.paht: unknown key; did you mean `path`?
",
    );
}

#[test]
fn an_unknown_key_is_found_at_every_level() {
    says(
        "
name = 'a'
verbose = true
[source]
type = 'file'
path = 'in'
polls = '1s'
[lake]
path = 'lake'
partition-by = []
compression = 'zstd'
[lake.roll]
agee = '60s'
[lake.tables.Reply]
indexs = ['a']
columns.Id = 'string'
[observe]
level = 'info'
",
        "
2:1: verbose: unknown key; the keys here are `name`, `state`, `memory`, `shutdown_grace`, `listen`, `source`, `lake` and `handlers`
6:1: source.polls: unknown key; did you mean `poll`?
9:1: lake.partition-by: unknown key; did you mean `partition_by`?
10:1: lake.compression: unknown key; the keys here are `path`, `partition_by`, `roll`, `max_columns` and `tables`
12:1: lake.roll.agee: unknown key; did you mean `age`?
14:1: lake.tables.Reply.indexs: unknown key; did you mean `indexes`?
16:2: observe: unknown key; the keys here are `name`, `state`, `memory`, `shutdown_grace`, `listen`, `source`, `lake` and `handlers`
",
    );
}

#[test]
fn a_key_at_the_wrong_place_is_told_the_right_one() {
    says(
        "
name = 'a'
path = 'x'
age = '1s'
[source]
type = 'file'
path = 'in'
memory = '1 GiB'
[lake]
path = 'lake'
keys = ['Id']
[lake.tables.forum.replies]
keys = ['Id']
",
        r#"
2:1: path: unknown key; it is a key of `[lake]` or `[source]`
3:1: age: unknown key; it is a key of `[lake.roll]`
7:1: source.memory: unknown key; `memory` belongs at the top of the file, before the first `[table]`
10:1: lake.keys: unknown key; it is a key of `[lake.tables.NAME]`
11:20: lake.tables.forum.replies: unknown key; a name with a dot stands in quotes: `[lake.tables."forum.replies"]`
"#,
    );
}

#[test]
fn a_table_is_no_value_and_a_value_no_table() {
    says(
        "
name = { first = 'a' }
source = 'file'
lake = ['x']
[memory]
",
        r#"
1:8: name: found a table; expected a name such as "forum": letters, digits, `_`, `.` and `-`, at most 128, the first a letter or digit
2:10: source: found the string "file"; expected a table `[source]`
3:8: lake: found a list; expected a table `[lake]`
4:2: memory: found a table; expected a size from 64 MiB to 1 TiB, such as "512 MiB", or a number of bytes
"#,
    );
    says(
        "
name = 'a'
[[source]]
type = 'file'
[[lake]]
path = 'x'
",
        "
2:3: source: found an array of tables; expected a table `[source]`
4:3: lake: found an array of tables; expected a table `[lake]`
",
    );
    says(
        "
name = 'a'
source = { type = 'file', path = 'in' }
[lake]
path = 'lake'
roll = '60s'
[lake.tables]
Reply = 'x'
Forum.columns = ['Id']
",
        r#"
5:8: lake.roll: found the string "60s"; expected a table `[lake.roll]`
7:9: lake.tables.Reply: found the string "x"; expected a table `[lake.tables.Reply]`
8:17: lake.tables.Forum.columns: found a list; expected a table `[lake.tables.Forum.columns]`
"#,
    );
}

#[test]
fn keys_of_another_type_of_source_are_refused() {
    says(
        "
name = 'a'
lake.path = 'lake'
[source]
type = 'dynamodb-streams'
tables = ['Reply']
stream = 'x'
path = 'y'
",
        r#"
6:1: source.stream: does not belong to `type = "dynamodb-streams"`; it is a key of `type = "kinesis"`; take it out
7:1: source.path: does not belong to `type = "dynamodb-streams"`; it is a key of `type = "file"`; take it out
"#,
    );
    says(
        "
name = 'a'
lake.path = 'lake'
[source]
type = 'kinesis'
stream = 'x'
path = 'y'
",
        r#"
6:1: source.path: does not belong to `type = "kinesis"`; it is a key of `type = "file"`; take it out
"#,
    );
    says(
        "
name = 'a'
lake.path = 'lake'
[source]
type = 'file'
tables = ['Reply']
stream = 'x'
",
        r#"
3:1: source.path: missing; expected the path of a file or folder of recorded changes, or a list of them
5:1: source.tables: does not belong to `type = "file"`; it is a key of `type = "dynamodb-streams"`; take it out
6:1: source.stream: does not belong to `type = "file"`; it is a key of `type = "kinesis"`; take it out
"#,
    );
}
