//! Do the templates of `pipelines/lambda` say what watershed itself says: the policy of `watershed iam`, and mapping settings
//! that `check --lambda` calls safe?

use serde_json::{Value, json};

use super::mapping::{Function, Mapping, judge};
use crate::iam::{Mode, policy};
use crate::pipeline::spec::Pipeline;

const STREAMS: [(&str, &str); 2] = [
    ("dynamodb", "arn:aws:dynamodb:eu-central-1:111122223333:table/Orders/stream/2026-11-20T08:15:30.123"),
    ("kinesis", "arn:aws:kinesis:eu-central-1:111122223333:stream/orders-cdc"),
];

struct Stack {
    pipeline: Pipeline,
    template: Value,
    stream: &'static str,
}

fn stacks() -> Vec<Stack> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines/lambda");
    let read = |(name, stream): (&str, &'static str)| {
        let template = std::fs::read_to_string(folder.join(format!("{name}.template.json"))).unwrap();
        let pipeline = crate::pipeline::load(&folder.join(format!("{name}.toml"))).unwrap();
        Stack { pipeline, template: serde_json::from_str(&template).unwrap(), stream }
    };
    STREAMS.map(read).into()
}

impl Stack {
    fn properties(&self, resource: &str) -> Value {
        self.resolved(&self.template["Resources"][resource]["Properties"])
    }

    /// What a stack of the pipeline file beside the template gets: parameters and functions, evaluated.
    fn resolved(&self, value: &Value) -> Value {
        let of = |value: &Value| self.resolved(value);
        let text = |value: &Value| of(value).as_str().unwrap().to_owned();
        let Value::Object(members) = value else {
            let Value::Array(list) = value else { return value.clone() };
            return list.iter().map(of).collect();
        };
        let only = members.iter().next().filter(|_| members.len() == 1).map(|(name, value)| (name.as_str(), value));
        match only {
            Some(("Ref", name)) => json!(self.named(name.as_str().unwrap())),
            Some(("Fn::GetAtt", path)) => {
                let path = format!("{}.{}", path[0].as_str().unwrap(), path[1].as_str().unwrap());
                json!(self.named(&path))
            }
            Some(("Fn::Sub", text)) => {
                let mut text = text.as_str().unwrap().to_owned();
                while let Some((before, rest)) = text.clone().split_once("${") {
                    let (name, behind) = rest.split_once('}').unwrap();
                    text = format!("{before}{}{behind}", self.named(name));
                }
                json!(text)
            }
            Some(("Fn::Join", parts)) => {
                let list: Vec<String> = parts[1].as_array().unwrap().iter().map(text).collect();
                json!(list.join(parts[0].as_str().unwrap()))
            }
            Some(("Fn::Select", parts)) => of(&parts[1])[parts[0].as_u64().unwrap() as usize].clone(),
            Some(("Fn::Split", parts)) => {
                text(&parts[1]).split(parts[0].as_str().unwrap()).map(|part| json!(part)).collect()
            }
            _ => members.iter().map(|(name, value)| (name.clone(), of(value))).collect(),
        }
    }

    fn named(&self, name: &str) -> String {
        let crate::pipeline::spec::LakePath::S3 { bucket, prefix } = &self.pipeline.lake.path else { panic!() };
        match name {
            "StreamArn" => self.stream.to_owned(),
            "Lake" => format!("{bucket}/{prefix}"),
            "Architecture" => self.template["Parameters"][name]["Default"].as_str().unwrap().to_owned(),
            "CodeBucket" | "CodeKey" => name.to_lowercase(),
            "AWS::Partition" => "aws".to_owned(),
            "AWS::StackName" => "orders".to_owned(),
            "Log.Arn" => "arn:aws:logs:eu-central-1:111122223333:log-group:/aws/lambda/orders:*".to_owned(),
            "OnFailure.Arn" => "arn:aws:s3:::orders-onfailure".to_owned(),
            "Function.Arn" => "arn:aws:lambda:eu-central-1:111122223333:function:orders".to_owned(),
            "Role.Arn" => "arn:aws:iam::111122223333:role/orders".to_owned(),
            other => panic!("the template speaks of {other}"),
        }
    }

    fn policy(&self, name: &str) -> Value {
        let role = self.properties("Role");
        let policies = role["Policies"].as_array().unwrap();
        policies.iter().find(|policy| policy["PolicyName"] == name).unwrap()["PolicyDocument"].clone()
    }
}

/// Whether a pattern of a policy stands for a text.
fn covers(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((before, rest)) => {
            let Some(text) = text.strip_prefix(before) else { return false };
            (0..=text.len()).any(|at| covers(rest, &text[at..]))
        }
    }
}

#[test]
fn the_role_may_do_what_iam_prints_and_on_what_the_stack_has() {
    for stack in stacks() {
        let (own, printed) = (stack.policy("watershed"), policy(&stack.pipeline, &Mode::Lambda.into()).unwrap());
        let (own, printed) = (own["Statement"].as_array().unwrap(), printed["Statement"].as_array().unwrap());
        assert_eq!(own.len(), printed.len());
        for (own, printed) in own.iter().zip(printed) {
            for part in ["Sid", "Effect", "Action"] {
                assert_eq!(own[part], printed[part]);
            }
            let [resource] = &own["Resource"].as_array().unwrap()[..] else { panic!("{own}") };
            let patterns = printed["Resource"].as_array().unwrap();
            let resource = resource.as_str().unwrap();
            assert!(
                patterns.iter().any(|pattern| covers(pattern.as_str().unwrap(), resource)),
                "{printed}: {resource}"
            );
            // Nothing wider than it has to be: only what is below a prefix, or a log group, or has no name.
            let stars = resource.matches('*').count();
            assert!(stars <= 1 && resource.ends_with('*') == (stars == 1), "{resource}");
        }
        // Besides that, what the mapping gives up with goes to one bucket, and nowhere else.
        let failed = json!([
            {"Effect": "Allow", "Action": ["s3:PutObject"], "Resource": ["arn:aws:s3:::orders-onfailure/*"]},
            {"Effect": "Allow", "Action": ["s3:ListBucket"], "Resource": ["arn:aws:s3:::orders-onfailure"]},
        ]);
        assert_eq!(stack.policy("on-failure")["Statement"], failed);
        assert_eq!(stack.properties("Role")["Policies"].as_array().unwrap().len(), 2);
    }
}

#[test]
fn the_mapping_is_what_check_calls_safe() {
    for stack in stacks() {
        let (found, function) = (stack.properties("Mapping"), stack.properties("Function"));
        let number = |value: &Value| i32::try_from(value.as_i64().unwrap()).unwrap();
        assert_eq!(found["EventSourceArn"], stack.stream);
        let destination = found["DestinationConfig"]["OnFailure"]["Destination"].as_str().map(str::to_owned);
        let mapping = Mapping {
            uuid: "u".into(),
            source: stack.stream.into(),
            state: "Enabled".into(),
            batch_size: number(&found["BatchSize"]),
            window: number(&found["MaximumBatchingWindowInSeconds"]),
            parallelization_factor: number(&found["ParallelizationFactor"]),
            reports_failures: found["FunctionResponseTypes"] == json!(["ReportBatchItemFailures"]),
            bisects: found["BisectBatchOnFunctionError"] == json!(true),
            retry_attempts: number(&found["MaximumRetryAttempts"]),
            record_age: number(&found["MaximumRecordAgeInSeconds"]),
            tumbling: found["TumblingWindowInSeconds"].as_i64().map_or(0, |seconds| i32::try_from(seconds).unwrap()),
            on_failure: destination,
            filters: usize::from(found["FilterCriteria"].is_object()),
            from_latest: found["StartingPosition"] != "TRIM_HORIZON",
            last_result: String::new(),
        };
        let variables = &function["Environment"]["Variables"];
        let facts = Function {
            name: "orders".into(),
            timeout: number(&function["Timeout"]),
            memory: number(&function["MemorySize"]),
            has_pipeline: variables["WATERSHED_PIPELINE"].is_string(),
        };
        assert_eq!(judge(&facts, &[mapping]), []);
        assert_eq!((&function["Runtime"], &function["Handler"]), (&json!("provided.al2023"), &json!("bootstrap")));
    }
}
