//! Parts that do not fit each other, and texts that are hard to point into.

use super::says;

#[test]
fn tables_that_the_source_does_not_read() {
    says(
        "
name = 'a'
source.type = 'dynamodb-streams'
source.tables = ['arn:aws:dynamodb:us-east-1:111122223333:table/Reply', 'Forum']
lake.path = 'lake'
[lake.tables.Repyl]
[lake.tables.Thread]
[lake.tables.Forum]
",
        "
5:1: lake.tables.Repyl: the source does not read this table; did you mean `Reply`?
6:1: lake.tables.Thread: the source does not read this table; the source reads `Reply` and `Forum`
",
    );
}

#[test]
fn keys_of_a_type_that_no_key_has() {
    says(
        "
name = 'a'
source = { type = 'file', path = 'in' }
lake.path = 'lake'
[lake.tables.Thread]
keys = ['Id', 'When']
[lake.tables.Thread.columns]
Id = 'json'
When = 'double'
Other = 'json'
",
        "
7:6: lake.tables.Thread.columns.Id: `json` is no type a key can have; expected `string`, `int64`, `decimal(p,s)` or `binary` for a key
8:8: lake.tables.Thread.columns.When: `double` would round a key, and two items could become one; expected `string`, `int64`, `decimal(p,s)` or `binary` for a key
",
    );
}

#[test]
fn a_source_in_what_is_written_is_found_beside_other_mistakes() {
    says(
        "
name = 'a'
memory = 1
[source]
type = 'file'
path = ['in', 'lake/a/in', './state/a']
poll = 1
[lake]
path = 'lake/a'
max_columns = 1
tables.Reply = { columns = { a = 'bool', b = 'bool' } }
",
        r#"
2:10: memory: found 1; expected a size from 64 MiB to 1 TiB, such as "512 MiB", or a number of bytes
5:15: source.path[1]: lies in the lake's folder "lake/a"; keep what is read apart from what is written
5:28: source.path[2]: lies in the state's folder "state/a"; keep what is read apart from what is written
6:8: source.poll: found the integer 1; expected a duration from 200ms to 1m, such as "1s"; a duration has a unit: "1s" or "1ms"
10:8: lake.tables.Reply.columns: 2 columns are declared; expected at most 1 (`lake.max_columns`)
"#,
    );
}

#[test]
fn syntax_errors() {
    says(
        "
name = 'a'
[source
type = 'file'
",
        "
2:8: not TOML: unclosed table, expected `]`
",
    );
    says(
        "name = a\n",
        "
1:8: not TOML: string values must be quoted, expected literal string
",
    );
    says(
        "name == 'a'\n",
        "
1:7: not TOML: extra `=`, expected nothing
",
    );
    says(
        r#"
name = """abc
"#,
        r#"
2:1: not TOML: invalid multi-line basic string, expected `"`
"#,
    );
    says(
        "  = 3\n",
        "
1:3: not TOML: unquoted keys cannot be empty, expected letters, numbers, `-`, `_`
",
    );
    says(
        "roll = { bytes = 1 \n",
        "
1:19: not TOML: unclosed inline table, expected `}`
",
    );
}

#[test]
fn duplicate_keys_and_tables() {
    says(
        r#"
name = 'a'
"name" = 'b'
"#,
        r#"
2:1: duplicate key `"name"`; a key stands only once in a table, and a table once in a file
"#,
    );
    says(
        "
[source]
[source]
",
        "
2:2: duplicate key `source`; a key stands only once in a table, and a table once in a file
",
    );
    says(
        "
[source]
type = 'file'
[source.type]
",
        "
3:9: duplicate key `type`; a key stands only once in a table, and a table once in a file
",
    );
    says(
        "a = { b = 1, b = 2 }\n",
        "
1:14: duplicate key `b`; a key stands only once in a table, and a table once in a file
",
    );
}

#[test]
fn columns_count_characters_whatever_stands_before_them() {
    says(
        concat!(
            "name = 'a'\r\n",
            "\tmemory = '1 GiB' # ü\r\n",
            "[source]\r\n",
            "\ttype = 'file'\r\n",
            "\t'schlüssel🌙' = 1 \r\n",
            "\tpath = 'in'\r\n",
            "[lake]\r\n",
            "path = 'läke🌙'\r\n",
            "roll = { 'größe🌙' = 1, bytes = '0' }\r\n",
        ),
        r#"
5:2: source."schlüssel🌙": unknown key; the keys here are `type`, `path`, `start`, `on_gap`, `poll` and `discovery`
9:10: lake.roll."größe🌙": unknown key; the keys here are `bytes`, `rows`, `age` and `idle`
9:32: lake.roll.bytes: found "0"; expected a size from 4 KiB to 5 GiB, such as "128 MiB", or a number of bytes
"#,
    );
    says(
        concat!("\u{feff}nam = 'a'\n", "lake.path = '🌙'\n", "lake.max_columns = 0\n", "source = { type = '🌙' }\n",),
        r#"
1:1: nam: unknown key; did you mean `name`?
3:20: lake.max_columns: found 0; expected a whole number from 1 to 2000
4:19: source.type: found "🌙"; expected "dynamodb-streams", "kinesis" or "file"
"#,
    );
}

#[test]
fn what_is_shown_of_a_file_cannot_play_tricks_on_a_terminal() {
    says(
        r#"
name = "a\u001b[31m\u202e"
"evil\u001b[31m" = 1
source = { type = 'file', path = 'in' }
lake.path = "file:///\u202e"
"#,
        r#"
1:8: name: found "a\u{1b}[31m\u{202e}"; expected a name such as "forum": letters, digits, `_`, `.` and `-`, at most 128, the first a letter or digit
2:1: "evil\u{1b}[31m": unknown key; the keys here are `name`, `state`, `memory`, `shutdown_grace`, `listen`, `source`, `lake` and `handlers`
4:13: lake.path: found "file:///\u{202e}"; expected a folder, or "s3://BUCKET/PREFIX"; write the plain path "/\u{202e}"
"#,
    );
}

#[test]
fn recorded_changes_have_one_beginning() {
    says(
        "name = 'p'\n[source]\ntype = 'file'\npath = 'r'\nstart = 'latest'\n[lake]\npath = 'l'\n",
        "5:9: source.start: recorded changes are read from their beginning; leave `start` out; what is not wanted can be left out of `path`\n",
    );
}
