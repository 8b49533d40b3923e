//! Files that are right say what they say, and what they leave out is a documented default.

use std::time::Duration;

use super::right;
use crate::pipeline::spec::*;

#[test]
fn what_is_left_out_has_its_default() {
    let pipeline = right("name = 'forum'\n[source]\ntype = 'file'\npath = 'in'\n[lake]\npath = 'lake/forum/'\n");
    let expected = Pipeline {
        name: "forum".to_owned(),
        state: StatePlace::Folder("state/forum".into()),
        memory: DEFAULT_MEMORY,
        shutdown_grace: DEFAULT_SHUTDOWN_GRACE,
        listen: None,
        source: Source {
            origin: Origin::File { paths: vec!["in".into()] },
            start: Start::TrimHorizon,
            on_gap: OnGap::Fail,
            poll: DEFAULT_POLL,
            discovery: DEFAULT_DISCOVERY,
        },
        lake: Lake {
            path: LakePath::Folder("lake/forum".into()),
            partition_by: vec![Partition::Day],
            roll: Roll { bytes: DEFAULT_ROLL_BYTES, rows: DEFAULT_ROLL_ROWS, age: DEFAULT_ROLL_AGE, idle: None },
            max_columns: DEFAULT_MAX_COLUMNS,
            tables: Default::default(),
        },
        handlers: Vec::new(),
    };
    assert_eq!(pipeline, expected);
}

#[test]
fn every_key_is_read() {
    let pipeline = right(
        r#"
        name = "forum-2"
        state = "dynamodb:watershed-state"
        memory = "64MiB"
        shutdown_grace = "1m 30s"
        listen = "[::1]:9090"
        [source]
        type = "kinesis"
        stream = "arn:aws:kinesis:eu-central-1:111122223333:stream/forum"
        tables = ["Reply", "Thread"]
        start = "2026-11-20T09:15:30+01:00"
        on_gap = "resume"
        poll = "250ms"
        discovery = "1m"
        [lake]
        path = "s3://bucket//a/b/"
        partition_by = []
        max_columns = 2000
        roll.bytes = 1048576
        roll.rows = 10
        roll.age = "5m"
        roll.idle = "5m"
        [lake.tables.Reply]
        keys = ["Id", "ReplyDateTime"]
        indexes = ["PostedBy"]
        partition_by = ["year", "month", "day", "hour", "Category"]
        columns.Rating = "decimal(3, 1)"
        columns."a.b" = "list<decimal(38,0)>"
        "#,
    );
    assert_eq!(pipeline.name, "forum-2");
    assert_eq!(pipeline.state, StatePlace::DynamoDb("watershed-state".to_owned()));
    assert_eq!((pipeline.memory, pipeline.shutdown_grace), (MIN_MEMORY, Duration::from_secs(90)));
    assert_eq!(pipeline.listen.map(|address| address.to_string()).as_deref(), Some("[::1]:9090"));
    let source = &pipeline.source;
    assert_eq!(source.origin.to_string(), "kinesis forum");
    assert_eq!(source.origin.tables(), Some(vec!["Reply", "Thread"]));
    assert_eq!(source.start, Start::Timestamp("2026-11-20T08:15:30Z".parse().unwrap()));
    assert_eq!((source.on_gap, source.poll), (OnGap::Resume, Duration::from_millis(250)));
    assert_eq!(source.discovery, Duration::from_secs(60));
    let lake = &pipeline.lake;
    assert_eq!(lake.path.to_string(), "s3://bucket/a/b");
    assert_eq!(lake.max_columns, 2000);
    let five_minutes = Duration::from_secs(300);
    assert_eq!(lake.roll, Roll { bytes: 1 << 20, rows: 10, age: five_minutes, idle: Some(five_minutes) });
    let reply = &lake.tables["Reply"];
    assert_eq!((reply.keys.join(" "), reply.indexes.join(" ")), ("Id ReplyDateTime".into(), "PostedBy".into()));
    assert_eq!(reply.column("Rating").map(|column| column.to_string()).as_deref(), Some("decimal(3,1)"));
    assert_eq!(reply.column("a.b").map(|column| column.to_string()).as_deref(), Some("list<decimal(38,0)>"));
    assert_eq!(reply.column("other"), None);
    let levels: Vec<String> = lake.partition_by("Reply").iter().map(ToString::to_string).collect();
    assert_eq!(levels, ["year", "month", "day", "hour", "Category"]);
    assert_eq!(lake.partition_by("Thread"), []);
}

#[test]
fn values_have_several_spellings() {
    let source = |keys: &str| {
        let text = format!("name = 'a'\nlake = {{ path = '/lake' }}\nstate = 'folder:/state'\n[source]\n{keys}\n");
        right(&text).source
    };
    let file = source("type = 'file'\npath = ['a', './b/']");
    assert_eq!(file.origin, Origin::File { paths: vec!["a".into(), "b".into()] });
    assert_eq!(source("type = 'kinesis'\nstream = 'a'\nstart = 'latest'").start, Start::Latest);
    let native = source("type = 'kinesis'\nstream = 'a'\nstart = 2026-11-20 08:15:30.5Z").start;
    assert_eq!(native, Start::Timestamp("2026-11-20T08:15:30.5Z".parse().unwrap()));
    let tables = source(
        "type = 'dynamodb-streams'\ntables = ['Forum', 'arn:aws:dynamodb:us-east-1:111122223333:table/Reply/stream/x']",
    );
    assert_eq!(tables.origin.to_string(), "dynamodb-streams Forum, Reply");
    let memory = |value: &str| {
        right(&format!("name = 'a'\nmemory = {value}\nlake.path = 'l'\nsource = {{ type = 'file', path = 'a' }}"))
            .memory
    };
    for value in ["'128 MB'", "'128MB'", "'128000000'", "128_000_000", "'0.128 gb'"] {
        assert_eq!(memory(value), 128_000_000, "{value}");
    }
}

#[test]
fn a_byte_order_mark_and_line_ends_of_windows_do_no_harm() {
    right("\u{feff}name = 'a'\r\nlake.path = 'l'\r\nsource = { type = 'file', path = 'a' }\r\n");
}
