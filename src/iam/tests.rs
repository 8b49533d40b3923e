//! Golden policies, and those of the templates that are shipped.

use serde_json::json;

use super::*;

fn of(text: &str, mode: Mode) -> Value {
    used(text, &mode.into()).unwrap()
}

fn used(text: &str, used: &Use) -> Result<Value, NoPolicy> {
    policy(&crate::pipeline::read("p.toml", text).unwrap(), used)
}

fn backfill(exports: &[&str], snapshot_only: bool) -> Use {
    let exports = exports.iter().map(|uri| (*uri).to_owned()).collect();
    Use { mode: Mode::Backfill, exports, snapshot_only }
}

fn sids(policy: &Value) -> Vec<String> {
    actions(policy).into_iter().map(|(sid, ..)| sid).collect()
}

/// Actions by the name of their statement.
fn actions(policy: &Value) -> Vec<(String, Vec<String>, Vec<String>)> {
    let texts =
        |value: &Value| value.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect();
    let statements = policy["Statement"].as_array().unwrap().iter();
    statements.map(|s| (s["Sid"].as_str().unwrap().to_owned(), texts(&s["Action"]), texts(&s["Resource"]))).collect()
}

const TABLE: &str =
    "name = \"p\"\n[source]\ntype = \"dynamodb-streams\"\ntables = [\"Orders\"]\n[lake]\npath = \"s3://lake/x/y\"\n";

#[test]
fn a_function_of_one_table() {
    let lake = "arn:aws:s3:::lake/x/y/*";
    let expected = json!({
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "ReadStream", "Effect": "Allow",
                "Action": ["dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator"],
                "Resource": ["arn:aws:dynamodb:*:*:table/Orders/stream/*"],
            },
            { "Sid": "FindStream", "Effect": "Allow", "Action": ["dynamodb:ListStreams"], "Resource": ["*"] },
            {
                "Sid": "Log", "Effect": "Allow", "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
                "Resource": ["arn:aws:logs:*:*:log-group:/aws/lambda/*"],
            },
            {
                "Sid": "WriteObjects", "Effect": "Allow",
                "Action": ["s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject"], "Resource": [lake],
            },
            { "Sid": "ListObjects", "Effect": "Allow", "Action": ["s3:ListBucket"], "Resource": ["arn:aws:s3:::lake"] },
        ],
    });
    assert_eq!(of(TABLE, Mode::Lambda), expected);
}

#[test]
fn each_mode_adds_what_it_needs_and_nothing_may_delete() {
    let text = TABLE.replace("[source]", "state = \"dynamodb:positions\"\n[source]");
    let sids = |mode| sids(&of(&text, mode));
    assert_eq!(sids(Mode::Daemon), ["ReadStream", "FindStream", "AskTable", "State", "WriteObjects", "ListObjects"]);
    assert_eq!(sids(Mode::Lambda), ["ReadStream", "FindStream", "Log", "WriteObjects", "ListObjects"]);
    assert_eq!(sids(Mode::Backfill), sids(Mode::Daemon));
    let scans = |mode| {
        let found = actions(&of(&text, mode)).into_iter().find(|(sid, ..)| sid == "AskTable").unwrap();
        found.1.contains(&"dynamodb:Scan".to_owned())
    };
    assert!(scans(Mode::Backfill) && !scans(Mode::Daemon));
    for mode in [Mode::Daemon, Mode::Lambda, Mode::Backfill] {
        assert!(!of(&text, mode).to_string().contains(concat!("s3:Delete", "Object")));
    }
}

#[test]
fn a_backfill_reads_what_it_lands_and_no_more() {
    let hook = "\n[[handlers]]\nname = \"f\"\ntype = \"sqs\"\nqueue = \"https://sqs.eu-central-1.amazonaws.com/111122223333/q\"\n";
    let text = TABLE.replace("[source]", "state = \"dynamodb:positions\"\n[source]") + hook;
    let of = |wanted: &Use| used(&text, wanted).unwrap();
    // A scan without a tail: no stream, no state, no handler.
    let scan = of(&backfill(&[], true));
    assert_eq!(sids(&scan), ["AskTable", "WriteObjects", "ListObjects"]);
    let ask = |policy: &Value| actions(policy).into_iter().find(|(sid, ..)| sid == "AskTable").unwrap();
    let table = "arn:aws:dynamodb:*:*:table/Orders";
    let (_, may, on) = ask(&scan);
    assert_eq!((may, on), (vec!["dynamodb:DescribeTable".into(), "dynamodb:Scan".into()], vec![table.to_owned()]));
    // An export beside a tail: the table is asked, and not scanned.
    let export = of(&backfill(&["s3://exports/of/AWSDynamoDB/01-a/manifest-summary.json"], false));
    assert_eq!(ask(&export).1, ["dynamodb:DescribeTable"]);
    let (_, may, on) = actions(&export).into_iter().find(|(sid, ..)| sid == "ReadExports").unwrap();
    assert_eq!(may, ["s3:GetObject"]);
    assert_eq!(on, ["arn:aws:s3:::exports/of/AWSDynamoDB/01-a/*", "arn:aws:s3:::exports/of/AWSDynamoDB/data/*"]);
    assert!(["State", "SendMessages", "ReadStream"].iter().all(|sid| sids(&export).contains(&(*sid).to_owned())));
    // One that DynamoDB makes: it writes in our name.
    let made = of(&backfill(&["new:s3://exports/of"], true));
    let made: Vec<_> = actions(&made).into_iter().filter(|(sid, ..)| !sid.ends_with("Objects")).collect();
    let objects = vec!["arn:aws:s3:::exports/of/AWSDynamoDB/*".to_owned()];
    let expected: [(&str, &[&str], Vec<String>); 5] = [
        (
            "MakeExports",
            &["dynamodb:DescribeContinuousBackups", "dynamodb:ExportTableToPointInTime"],
            vec![table.into()],
        ),
        ("WatchExports", &["dynamodb:DescribeExport"], vec![format!("{table}/export/*")]),
        ("AskTable", &["dynamodb:DescribeTable"], vec![table.into()]),
        ("ReadExports", &["s3:GetObject"], objects.clone()),
        ("WriteExports", &["s3:AbortMultipartUpload", "s3:PutObject", "s3:PutObjectAcl"], objects),
    ];
    let expected =
        expected.map(|(sid, may, on)| (sid.to_owned(), may.iter().map(|may| (*may).to_owned()).collect(), on));
    assert_eq!(made, expected);
    let nowhere = used(&text, &backfill(&["new:exports"], true));
    assert_eq!(nowhere, Err(NoPolicy::NoExport("new:exports".into())));
    // One in a folder needs nothing.
    assert_eq!(sids(&of(&backfill(&["AWSDynamoDB/01-a"], true))), ["AskTable", "WriteObjects", "ListObjects"]);
    // And not even the table's keys, where the file has them.
    let keys = TABLE.to_owned() + "[lake.tables.Orders]\nkeys = [\"Id\"]\n";
    let offline = used(&keys, &backfill(&["AWSDynamoDB/01-a"], true)).unwrap();
    assert_eq!(sids(&offline), ["WriteObjects", "ListObjects"]);
    assert_eq!(used(&text, &backfill(&["s3://exports"], true)), Err(NoPolicy::NoExport("s3://exports".into())));
    let daemon = Use { mode: Mode::Daemon, ..backfill(&["s3://exports/x"], false) };
    assert_eq!(used(&text, &daemon), Err(NoPolicy::NotOfMode));
}

#[test]
fn tables_that_only_the_lake_names_are_scanned_too() {
    for source in ["type = \"kinesis\"\nstream = \"cdc\"", "type = \"file\"\npath = \"changes\""] {
        let text = format!(
            "name = \"p\"\n[source]\n{source}\n[lake]\npath = \"lake\"\n[lake.tables.Orders]\nkeys = [\"Id\"]\n"
        );
        let found = actions(&used(&text, &backfill(&[], true)).unwrap());
        let scan = vec!["dynamodb:DescribeTable".to_owned(), "dynamodb:Scan".to_owned()];
        assert_eq!(found, [("AskTable".to_owned(), scan, vec!["arn:aws:dynamodb:*:*:table/Orders".to_owned()])]);
        let daemon = of(&text, Mode::Daemon);
        assert!(!sids(&daemon).contains(&"AskTable".to_owned()), "{daemon}");
        let function = used(&text, &Mode::Lambda.into());
        assert_eq!(function.err(), source.contains("file").then_some(NoPolicy::NoMapping));
    }
}

#[test]
fn every_handler_has_what_it_calls() {
    let text = format!(
        r#"{TABLE}
[[handlers]]
name = "a"
type = "lambda"
function = "resize"
on_failure = "https://sqs.eu-central-1.amazonaws.com/111122223333/given-up"
[[handlers]]
name = "b"
type = "sqs"
queue = "https://sqs.eu-central-1.amazonaws.com/111122223333/orders"
[[handlers]]
name = "c"
type = "sns"
topic = "arn:aws:sns:eu-central-1:111122223333:orders"
[[handlers]]
name = "d"
type = "eventbridge"
[[handlers]]
name = "e"
type = "dynamodb"
table = "Copy"
[[handlers]]
name = "f"
type = "log"
on_failure = "s3://letters/of/f"
"#
    );
    let found = actions(&of(&text, Mode::Daemon));
    let of = |sid: &str| found.iter().find(|(name, ..)| name == sid).map(|(_, _, resource)| resource.clone()).unwrap();
    assert_eq!(of("CallFunctions"), ["arn:aws:lambda:*:*:function:resize"]);
    let queue = |name: &str| format!("arn:aws:sqs:eu-central-1:111122223333:{name}");
    assert_eq!(of("SendMessages"), [queue("given-up"), queue("orders")]);
    assert_eq!(of("PublishToTopics"), ["arn:aws:sns:eu-central-1:111122223333:orders"]);
    assert_eq!(of("PutEvents"), ["arn:aws:events:*:*:event-bus/default"]);
    assert_eq!(of("WriteReplicas"), ["arn:aws:dynamodb:*:*:table/Copy"]);
    assert_eq!(of("WriteObjects"), ["arn:aws:s3:::lake/x/y/*", "arn:aws:s3:::letters/of/f/*"]);
    assert!(!found.iter().any(|(sid, ..)| sid == "WriteMarkedReplicas" || sid == "TakeRoles"), "{found:?}");
}
