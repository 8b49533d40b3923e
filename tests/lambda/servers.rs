//! The real binary behind runtimes and mappings that others have written: MiniStack's own mappings, the templates as its
//! CloudFormation deploys them, and cargo-lambda's local runtime. Rows land in S3, and DuckDB reads them back.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::{TIMEOUT, fixture, of_kinesis, of_table};
use crate::harness::lake::Place;
use crate::harness::queues::call;
use crate::harness::recorded::record;
use crate::harness::servers::{MiniStack, free_port};
use crate::harness::{Guarded, Work, files_below, http, tools, wait_for};

/// A table and a Kinesis stream: the ARNs of its stream, and of that.
fn streams(endpoint: &str) -> (String, String) {
    let table = json!({
        "TableName": "Orders", "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": "Id", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "Id", "KeyType": "HASH"}],
        "StreamSpecification": {"StreamEnabled": true, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    });
    let made = call(endpoint, "dynamodb", "create_table", &table);
    let stream = made["TableDescription"]["LatestStreamArn"].as_str().unwrap().to_owned();
    call(endpoint, "kinesis", "create_stream", &json!({"StreamName": "orders-cdc", "ShardCount": 1}));
    let described = json!({"StreamName": "orders-cdc"});
    let kinesis = call(endpoint, "kinesis", "describe_stream_summary", &described);
    (stream, kinesis["StreamDescriptionSummary"]["StreamARN"].as_str().unwrap().to_owned())
}

/// 25 items a round into the table, and as many changes into the Kinesis stream.
fn write(endpoint: &str, rounds: u64) {
    for round in 0..rounds {
        let put =
            |n: u64| json!({"PutRequest": {"Item": {"Id": {"S": format!("{round}/{n}")}, "N": {"N": n.to_string()}}}});
        let items: Vec<Value> = (0..25).map(put).collect();
        call(endpoint, "dynamodb", "batch_write_item", &json!({"RequestItems": {"Orders": items}}));
        let change = |n: u64| {
            let change = json!({
                "ApproximateCreationDateTime": 1_795_165_200_000_u64, "Keys": {"Id": {"S": format!("{round}/{n}")}},
                "NewImage": {"Id": {"S": format!("{round}/{n}")}}, "SizeBytes": 1,
            });
            json!({"Data": record("Orders", "INSERT", change), "PartitionKey": n.to_string()})
        };
        let records: Vec<Value> = (0..25).map(change).collect();
        call(endpoint, "kinesis", "put_records", &json!({"StreamName": "orders-cdc", "Records": records}));
    }
}

/// The rows and the items in a lake of a bucket, once there are at least so many rows.
fn rows_of(server: &MiniStack, bucket: &str, lake: &str, at_least: u64) -> Value {
    wait_for("rows", TIMEOUT * 5, || {
        let into = tempfile::tempdir().unwrap();
        let folder = Place::s3(server.port, bucket, lake).fetch(into.path());
        if !files_below(&folder).iter().any(|(path, _)| path.ends_with(".parquet")) {
            return None;
        }
        let rows = count(&folder);
        (rows[0].as_str().unwrap().parse::<u64>().unwrap() >= at_least).then_some(rows)
    })
}

fn count(folder: &std::path::Path) -> Value {
    let select = "SELECT count(*), count(DISTINCT concat(_shard, _sequence, '/', _sub))";
    let rows = format!("{select} FROM read_parquet('{}/Orders/*/*.parquet', union_by_name = true)", folder.display());
    tools().run("query.py", &[&rows])[0].clone()
}

/// A local server that runs the binary behind mappings of its own: of a table's stream, and of a Kinesis stream.
#[test]
fn a_servers_own_mappings_land_rows_in_its_bucket() {
    let server = MiniStack::start().with_bucket("lake-bucket");
    let endpoint = server.endpoint();
    let (stream, kinesis) = streams(&endpoint);

    let work = Work::new().set("AWS_ENDPOINT_URL", endpoint.clone());
    work.write("orders.toml", of_table("s3://lake-bucket/table"));
    work.write("kinesis.toml", of_kinesis("s3://lake-bucket/kinesis"));
    for (function, arn) in [("orders", &stream), ("kinesis", &kinesis)] {
        let variables = json!({
            "WATERSHED_PIPELINE": work.text(&format!("{function}.toml")), "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1",
        });
        let binary = crate::harness::binary().to_str().unwrap();
        tools().run("bootstrap_function.py", &[&endpoint, function, binary, &variables.to_string()]);
        let mapping = json!({
            "FunctionName": function, "EventSourceArn": arn, "StartingPosition": "TRIM_HORIZON", "BatchSize": 100,
            "FunctionResponseTypes": ["ReportBatchItemFailures"],
        });
        call(&endpoint, "lambda", "create_event_source_mapping", &mapping);
    }
    let said = work.run(&["check", "--lambda", "nobody"]).expect(1);
    assert!(said.stderr.contains("lambda:GetFunctionConfiguration of nobody: "), "{}", said.stderr);
    assert!(said.stderr.contains("ResourceNotFoundException") && !said.stderr.contains("raw:"), "{}", said.stderr);
    // What the mapping lacks is said.
    let said = work.run(&["check", "--lambda", "orders"]).expect(2);
    assert!(said.stdout.contains("it has no on-failure destination"), "{}", said.stdout);
    assert!(!said.stdout.contains("ReportBatchItemFailures is off"), "{}", said.stdout);

    write(&endpoint, 3);
    for lake in ["table", "kinesis"] {
        assert_eq!(rows_of(&server, "lake-bucket", lake, 75), json!(["75", "75"]), "{lake}");
    }
}

/// One step deploys each template with the pipeline file beside it, the live mapping is safe, and rows land.
#[test]
fn the_templates_deploy_and_land_rows() {
    let server = MiniStack::start().with_bucket("example-lake");
    let endpoint = server.endpoint();
    let (stream, kinesis) = streams(&endpoint);
    let work = Work::new().set("AWS_ENDPOINT_URL", endpoint.clone());
    let binary = crate::harness::binary().to_str().unwrap();
    for (name, stack, arn, lake) in [
        ("dynamodb", "orders", &stream, "example-lake/orders"),
        ("kinesis", "orders-cdc", &kinesis, "example-lake/orders-cdc"),
    ] {
        let template = tools().repository(&format!("pipelines/lambda/{name}.template.json"));
        let deployed =
            tools().run("deploy_stack.py", &[&endpoint, stack, template.to_str().unwrap(), binary, arn, lake]);
        // What the role may do, with the stack's own names, is what a unit test holds against `watershed iam`.
        assert!(deployed["policy"].to_string().contains(arn.as_str()), "{deployed}");
        let said = work.run(&["check", "--lambda", stack]).expect(0);
        assert!(said.stdout.ends_with(&format!("{stack}: safe\n")), "{}", said.stdout);
        assert!(said.stdout.contains("BatchSize 10000"), "{}", said.stdout);
    }
    write(&endpoint, 2);
    for lake in ["orders", "orders-cdc"] {
        assert_eq!(rows_of(&server, "example-lake", lake, 50), json!(["50", "50"]), "{lake}");
    }
}

/// cargo-lambda's server speaks the Runtime API; functions that somebody else has started connect to it, and
/// `cargo lambda invoke` sends the events.
#[test]
fn behind_cargo_lambdas_local_runtime_rows_land_in_a_bucket() {
    let server = MiniStack::start().with_bucket("lake-bucket");
    let work = Work::new().set("AWS_ENDPOINT_URL", server.endpoint());
    work.write("table.toml", of_table("s3://lake-bucket/table"));
    // This one is not in the package.
    let body = of_kinesis("s3://lake-bucket/kinesis");
    let stored = http::call(server.port, "PUT", "/lake-bucket/pipelines/kinesis.toml", body.as_bytes()).unwrap();
    assert_eq!(stored.status(), 200);
    let pipelines = |lake: &str| match lake {
        "kinesis" => "s3://lake-bucket/pipelines/kinesis.toml".to_owned(),
        lake => format!("{lake}.toml"),
    };
    for (lake, event, rows) in [("table", "lambda_dynamodb_event.json", 7), ("kinesis", "lambda_kinesis_event.json", 3)]
    {
        let port = free_port();
        let mut command = Command::new(tools().cargo_lambda());
        command.args([
            "lambda",
            "watch",
            "--only-lambda-apis",
            "--ignore-changes",
            "-A",
            "127.0.0.1",
            "-P",
            &port.to_string(),
        ]);
        command.current_dir(tools().repository("")).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let _runtime = Guarded::spawn(&mut command);
        wait_for("cargo lambda watch", TIMEOUT, || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
        let variables = [
            ("AWS_LAMBDA_RUNTIME_API", format!("http://127.0.0.1:{port}/.rt")),
            ("AWS_LAMBDA_FUNCTION_NAME", "_".to_owned()),
            ("AWS_LAMBDA_FUNCTION_VERSION", "1".to_owned()),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "1024".to_owned()),
            ("WATERSHED_PIPELINE", pipelines(lake)),
        ];
        let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let function = work.spawn_with(&[], &variables);
        let file = work.write("event.json", fixture(event));
        let invoke = |data: &[&str]| {
            let mut command = Command::new(tools().cargo_lambda());
            command.args(["lambda", "invoke", "-A", "127.0.0.1", "-P", &port.to_string()]).args(data);
            let said = command.current_dir(tools().repository("")).stdin(Stdio::null()).output().unwrap();
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            (said.status.success(), text(&said.stdout), text(&said.stderr))
        };
        // Twice: what comes again lands once.
        for _ in 0..2 {
            let (success, said, log) = invoke(&["--data-file", file.to_str().unwrap()]);
            assert!(success, "{said}{log}{}", function.log());
            assert_eq!(serde_json::from_str::<Value>(&said).unwrap(), json!({"batchItemFailures": []}), "{log}");
        }
        let (success, _, log) = invoke(&["--data-ascii", "{}"]);
        assert!(!success && log.contains("this is an empty event"), "{log}");
        function.kill();
        let rows = rows.to_string();
        assert_eq!(rows_of(&server, "lake-bucket", lake, 1), json!([rows, rows]));
    }
}
