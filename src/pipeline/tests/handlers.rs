//! What a file says about handlers, right and wrong.

use std::time::Duration;

use super::{right, says};
use crate::pipeline::spec::*;

const HEAD: &str = "name = 'a'\nlake.path = 'lake'\nsource = { type = 'kinesis', stream = 's' }\n";

fn handlers(text: &str) -> Vec<Handler> {
    right(&format!("{HEAD}{text}")).handlers
}

#[test]
fn what_is_left_out_has_its_default() {
    let expected = Handler {
        name: "x".to_owned(),
        target: Target::Log,
        tables: None,
        filter: Vec::new(),
        filter_extensions: false,
        payload: Payload::Change,
        batch_size: 100,
        batch_window: Duration::ZERO,
        maximum_retry_attempts: 10,
        maximum_record_age: Duration::from_secs(86_400),
        bisect_batch_on_error: true,
        report_batch_item_failures: true,
        parallelization_factor: 1,
        on_failure: OnFailure::Lake,
        dedupe_window: None,
        drop_stale: false,
        timeout: Duration::from_secs(30),
    };
    assert_eq!(handlers("[[handlers]]\nname = 'x'\ntype = 'log'"), std::slice::from_ref(&expected));
    assert_eq!(handlers("handlers = [{ name = 'x', type = 'log' }]"), [expected]);
    assert_eq!(handlers("handlers = []"), []);
    let hook = handlers("[[handlers]]\nname = 'x'\ntype = 'webhook'\nurl = 'https://example.com'\nsecret = 'env:S'");
    assert_eq!(hook[0].batch_size, 1);
    let lambda = handlers("[[handlers]]\nname = 'x'\ntype = 'lambda'\nfunction = 'f'");
    assert_eq!(lambda[0].payload, Payload::Lambda);
    let bus = handlers("[[handlers]]\nname = 'x'\ntype = 'eventbridge'");
    let (of, source) = ("default".to_owned(), "watershed.a".to_owned());
    assert_eq!(bus[0].target, Target::EventBridge { bus: of, source, detail_type: None });
}

#[test]
fn every_key_is_read() {
    let read = handlers(
        r#"
        [[handlers]]
        name = "x"
        type = "webhook"
        url = "http://127.0.0.1:8080/hook"
        secret = ["env:A", "file:./b"]
        allow_private = true
        tables = ["Reply"]
        filter_extensions = true
        template = "{{ id }}"
        batch_size = 10000
        batch_window = "5m"
        maximum_retry_attempts = 0
        maximum_record_age = "7d"
        bisect_batch_on_error = false
        report_batch_item_failures = false
        parallelization_factor = 10
        on_failure = "s3://bucket/dead/"
        dedupe_window = "15m"
        drop_stale = true
        timeout = "15m"
        [[handlers]]
        name = "y"
        type = "dynamodb"
        tables = ["Reply"]
        table = "arn:aws:dynamodb:eu-west-1:111122223333:table/Reply"
        region = "eu-west-1"
        role = "arn:aws:iam::111122223333:role/r"
        loop_attribute = "_from"
        [[handlers]]
        name = "z"
        type = "exec"
        command = ["run", "-v", "-v", ""]
        format = "debezium"
        "#,
    );
    let secrets = vec![SecretRef::Env("A".into()), SecretRef::File("b".into())];
    let url = "http://127.0.0.1:8080/hook".to_owned();
    assert_eq!(read[0].target, Target::Webhook { url, secrets, allow_private: true });
    assert_eq!(read[0].tables.as_deref(), Some(&["Reply".into()][..]));
    assert_eq!((read[0].batch_size, read[0].parallelization_factor), (10_000, 10));
    assert_eq!(read[0].payload, Payload::Template("{{ id }}".into()));
    assert_eq!(read[0].on_failure, OnFailure::S3 { bucket: "bucket".into(), prefix: "dead".into() });
    assert_eq!(read[0].maximum_record_age, MAX_MAXIMUM_RECORD_AGE);
    let switches = [read[0].bisect_batch_on_error, read[0].report_batch_item_failures];
    assert_eq!((switches, read[0].drop_stale, read[0].filter_extensions), ([false, false], true, true));
    assert_eq!(read[0].dedupe_window, Some(Duration::from_secs(900)));
    let Target::DynamoDb { region, loop_attribute, .. } = &read[1].target else { panic!("{:?}", read[1]) };
    assert_eq!((region.as_deref(), loop_attribute.as_deref()), (Some("eu-west-1"), Some("_from")));
    assert_eq!(read[2].target, Target::Exec { command: ["run", "-v", "-v", ""].map(String::from).to_vec() });
}

#[test]
fn a_filter_has_several_spellings() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pattern.json");
    std::fs::write(&file, "{\"eventName\": [\"REMOVE\"]}\n").unwrap();
    let filter = |text: &str| {
        let read = handlers(&format!("[[handlers]]\nname = 'x'\ntype = 'log'\n{text}"));
        read[0].filter.iter().map(|one| one.json.trim().to_owned()).collect::<Vec<_>>()
    };
    let insert = r#"{"eventName":["INSERT"]}"#;
    assert_eq!(filter("filter = { eventName = ['INSERT'] }"), [insert]);
    assert_eq!(filter("filter.eventName = ['INSERT']"), [insert]);
    assert_eq!(filter("[handlers.filter]\neventName = ['INSERT']"), [insert]);
    assert_eq!(filter(&format!("filter = '{insert}'")), [insert]);
    let remove = r#"{"eventName": ["REMOVE"]}"#;
    assert_eq!(filter(&format!("filter = 'file:{}'", file.display())), [remove]);
    let list = format!("filter = [{{ eventName = ['INSERT'] }}, 'file:{}']", file.display());
    assert_eq!(filter(&list), [insert, remove]);
    assert_eq!(
        filter("[[handlers.filter]]\neventName = ['INSERT']\n[[handlers.filter]]\na = [1]"),
        [insert, r#"{"a":[1]}"#]
    );
    let read = handlers("[[handlers]]\nname = 'x'\ntype = 'log'\nfilter = ['{\"a\":[1]}', { a = [1] }]");
    let places: Vec<_> =
        read[0].filter.iter().map(|one| (one.key.as_str(), one.place.line, one.place.column)).collect();
    assert_eq!(places, [("handlers[0].filter[0]", 7, 11), ("handlers[0].filter[1]", 7, 24)]);
}

#[test]
fn a_pattern_that_lambda_refuses_is_a_mistake_beside_others() {
    let wrong = "[[handlers]]\nname = 'x'\ntype = 'lg'\nfilter = { eventName = [{ prefx = 'I' }] }";
    let problems = crate::pipeline::read("x.toml", &format!("{HEAD}{wrong}")).unwrap_err();
    let found: Vec<_> = problems.iter().map(|problem| problem.found.as_str()).collect();
    assert!(found.len() == 2 && found[1].starts_with("the pattern is wrong in `eventName`: "), "{found:?}");
    let typed = "[[handlers]]\nname = 'x'\ntype = 'log'\nfilter = { n = { N = [{ number = ['>', 1] }] } }\n";
    assert!(crate::pipeline::read("x.toml", &format!("{HEAD}{typed}")).is_err());
    assert!(crate::pipeline::read("x.toml", &format!("{HEAD}{typed}filter_extensions = true")).is_ok());
}

/// The mistakes of these handlers, which begin in line 4.
fn wrong(text: &str, expected: &str) {
    says(&format!("{HEAD}{}", text.trim_start()), expected);
}

#[test]
fn every_mistake_is_named() {
    wrong(
        "
[[handlers]]
type = 'weboook'
url = 1
[[handlers]]
name = 'lake'
type = 'log'
command = ['x']
batchsize = 3
[[handlers]]
name = 'x'
type = 'webhook'
url = 'http://example.com/hook'
secret = 'whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD'
batch_size = 0
batch_window = '6m'
maximum_record_age = '1s'
format = 'chnage'
filter = { a = 2026-11-20 }
[[handlers]]
name = 'y'
type = 'exec'
command = []
filter = '[1]'
template = 'file:nowhere.j2'
timeout = 5
",
        r#"
4:1: handlers[0].name: missing; expected a name such as "new-replies": letters, digits, `_`, `.` and `-`, at most 128, the first a letter or digit
5:8: handlers[0].type: found "weboook"; expected "webhook", "lambda", "sqs", "sns", "eventbridge", "dynamodb", "exec" or "log"; did you mean "webhook"?
8:8: handlers[1].name: found "lake"; expected a name such as "new-replies": letters, digits, `_`, `.` and `-`, at most 128, the first a letter or digit; the lake itself has this name
10:1: handlers[1].command: does not belong to `type = "log"`; it is a key of `type = "exec"`; take it out
11:1: handlers[1].batchsize: unknown key; did you mean `batch_size`?
15:7: handlers[2].url: anybody on the way could read `http`; expected a URL such as "https://example.com/hook"; use `https`; `http` is for a loopback host
16:10: handlers[2].secret: a secret does not stand in the file itself; expected "env:NAME" or "file:PATH"; put it into an environment variable or a file: whoever reads a pipeline file must not learn secrets
17:14: handlers[2].batch_size: found 0; expected a whole number from 1 to 10000
18:16: handlers[2].batch_window: found "6m"; expected a duration from 0s to 5m, such as "5s"
19:22: handlers[2].maximum_record_age: found "1s"; expected a duration from 1m to 7days, such as "6h"
20:10: handlers[2].format: found "chnage"; expected "change", "lambda" or "debezium"; did you mean "change"?
21:16: handlers[2].filter: JSON has no times; write it as a string or number, as the change has it
25:11: handlers[3].command: the list is empty; expected a list of a program and its arguments: ["python3", "handler.py"]
26:10: handlers[3].filter: the pattern is no JSON object; expected a pattern such as {"eventName":["INSERT"]}
27:12: handlers[3].template: "nowhere.j2" cannot be read: No such file or directory (os error 2); paths are relative to the working directory
28:11: handlers[3].timeout: found the integer 5; expected a duration from 1s to 15m, such as "30s"; a duration has a unit: "5s" or "5ms"
"#,
    );
}

#[test]
fn a_secret_in_the_file_is_not_printed() {
    let text = format!(
        "{HEAD}[[handlers]]\nname = 'x'\ntype = 'webhook'\nurl = 'https://example.com'\nsecret = 'C2FVsBQIhrscChlQIMV'\n"
    );
    for text in [text.clone(), text.replace("'C2FV", "['C2FV").replace("IMV'", "IMV']"), text.replace("IMV'", "whsec_")]
    {
        let problems = crate::pipeline::read("x.toml", &text).unwrap_err();
        for problem in problems {
            let shown = format!("{problem} {}", problem.render(&text));
            assert!(!shown.contains("C2FVs"), "{shown}");
        }
    }
}

#[test]
fn handlers_that_do_not_fit_the_rest() {
    says(
        "
name = 'a'
lake.path = 'lake'
source = { type = 'dynamodb-streams', tables = ['Reply', 'Forum'] }
[[handlers]]
name = 'x'
type = 'log'
tables = ['Reply', 'Foru']
drop_stale = true
dedupe_window = '1m'
on_failure = './lake/dead'
[[handlers]]
name = 'x'
type = 'dynamodb'
table = 'Replica'
format = 'change'
[[handlers]]
name = 'y'
type = 'dynamodb'
tables = ['Reply']
table = 'Reply'
format_ = 1
",
        r#"
7:20: handlers[0].tables[1]: the source does not read this table; did you mean `Forum`?
8:14: handlers[0].drop_stale: this source has each change once and in order (`type = "dynamodb-streams"`); take it out: it is for `kinesis`
9:17: handlers[0].dedupe_window: this source has each change once and in order (`type = "dynamodb-streams"`); take it out: it is for `kinesis`
10:14: handlers[0].on_failure: lies in the lake; leave it out: dead letters have their place in the lake
12:8: handlers[1].name: another handler has the name "x"; positions are kept under it: give each its own
13:8: handlers[1].type: changes of 2 tables would come into one; name one table in `tables`, and write a handler for each
15:1: handlers[1].format: a replica has no format; take it out: items are written as they are
20:9: handlers[2].table: the table would be its own replica; name another table, or the `region` or `role` of the replica
21:1: handlers[2].format_: unknown key; did you mean `format`?
"#,
    );
}

#[test]
fn what_is_no_list_of_tables() {
    wrong(
        "handlers = 'x'",
        "4:12: handlers: found the string \"x\"; expected tables `[[handlers]]`; write the header in double brackets\n",
    );
    wrong(
        "[handlers]\nname = 'x'",
        "4:2: handlers: found a table; expected tables `[[handlers]]`; write the header in double brackets\n",
    );
    wrong(
        "handlers = [1, 'x']",
        "4:13: handlers[0]: not a table; expected a table `[[handlers]]`\n4:16: handlers[1]: not a table; expected a table `[[handlers]]`\n",
    );
    says(
        "name = 'a'\nlake.path = 'l'\nsource = { type = 'file', path = 'x', batch_size = 1 }\n",
        "3:39: source.batch_size: unknown key; it is a key of `[[handlers]]`\n",
    );
}

#[test]
fn a_template_is_compiled() {
    wrong(
        "[[handlers]]\nname = 'x'\ntype = 'log'\ntemplate = '{% if op %}'\nformat = 'change'",
        "
7:12: handlers[0].template: there is a `format` too; keep one of the two
7:12: handlers[0].template: line 1 of the template: syntax error: unexpected end of input, expected end of block
",
    );
}
