//! Golden policies, and those of the templates that are shipped.

use serde_json::json;

use super::*;

fn of(text: &str, mode: Mode) -> Value {
    policy(&crate::pipeline::read("p.toml", text).unwrap(), mode)
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
    let sids = |mode| actions(&of(&text, mode)).into_iter().map(|(sid, ..)| sid).collect::<Vec<_>>();
    assert_eq!(sids(Mode::Daemon), ["ReadStream", "FindStream", "AskTable", "State", "WriteObjects", "ListObjects"]);
    assert_eq!(sids(Mode::Lambda), ["ReadStream", "FindStream", "Log", "WriteObjects", "ListObjects"]);
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

/// The templates carry the policies of the pipeline files beside them, word for word.
#[test]
fn the_templates_policies_are_these() {
    for name in ["dynamodb", "kinesis"] {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines/lambda");
        let pipeline = crate::pipeline::load(&folder.join(format!("{name}.toml"))).unwrap();
        let template = std::fs::read_to_string(folder.join(format!("{name}.template.json"))).unwrap();
        let template: Value = serde_json::from_str(&template).unwrap();
        let role = &template["Resources"]["Role"]["Properties"]["Policies"];
        let own = role.as_array().unwrap().iter().find(|policy| policy["PolicyName"] == "watershed").unwrap();
        let expected = policy(&pipeline, Mode::Lambda);
        assert_eq!(own["PolicyDocument"], expected, "{}", serde_json::to_string_pretty(&expected).unwrap());
    }
}
