//! Is a mapping safe? What its settings mean for the lake and the handlers, and how to mend them: a pure judgement.

use std::fmt;

/// What a mapping says, as far as it matters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mapping {
    /// Its id.
    pub uuid: String,
    /// The stream.
    pub source: String,
    /// `Enabled`, `Disabled`, …
    pub state: String,
    /// `BatchSize`.
    pub batch_size: i32,
    /// `MaximumBatchingWindowInSeconds`.
    pub window: i32,
    /// `ParallelizationFactor`.
    pub parallelization_factor: i32,
    /// `ReportBatchItemFailures` among the response types.
    pub reports_failures: bool,
    /// `BisectBatchOnFunctionError`.
    pub bisects: bool,
    /// `MaximumRetryAttempts`; -1: until the record expires.
    pub retry_attempts: i32,
    /// `MaximumRecordAgeInSeconds`; -1: until the record expires.
    pub record_age: i32,
    /// `TumblingWindowInSeconds`.
    pub tumbling: i32,
    /// Where what is given up goes to.
    pub on_failure: Option<String>,
    /// How many filters there are.
    pub filters: usize,
    /// Whether it began at the tip.
    pub from_latest: bool,
    /// What became of its last invocation, in Lambda's words.
    pub last_result: String,
}

impl fmt::Display for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let on = |on: bool| if on { "on" } else { "off" };
        writeln!(f, "mapping {} of {}, {}", self.uuid, self.source, self.state)?;
        writeln!(
            f,
            "        BatchSize {}, MaximumBatchingWindowInSeconds {}, ParallelizationFactor {}",
            self.batch_size, self.window, self.parallelization_factor
        )?;
        writeln!(
            f,
            "        ReportBatchItemFailures {}, BisectBatchOnFunctionError {}, OnFailure {}",
            on(self.reports_failures),
            on(self.bisects),
            self.on_failure.as_deref().unwrap_or("none")
        )?;
        writeln!(
            f,
            "        MaximumRetryAttempts {}, MaximumRecordAgeInSeconds {}",
            self.retry_attempts, self.record_age
        )?;
        write!(f, "        TumblingWindowInSeconds {}, {} filters", self.tumbling, self.filters)
    }
}

/// What a function says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// `Timeout`, seconds.
    pub timeout: i32,
    /// `MemorySize`, MB.
    pub memory: i32,
    /// Whether it says which pipeline it runs.
    pub has_pipeline: bool,
}

/// Something to mend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Whether changes can get lost without a trace. Otherwise it is advice.
    pub is_unsafe: bool,
    /// What is so, and what follows from it.
    pub what: String,
    /// How to mend it, if that can be done.
    pub cure: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_unsafe { "unsafe" } else { "advice" };
        write!(f, "{kind}: {}", self.what)?;
        if self.cure.is_empty() { Ok(()) } else { write!(f, "\n        {}", self.cure) }
    }
}

/// What there is to say about a function and its mappings.
pub fn judge(function: &Function, mappings: &[Mapping]) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut say = |is_unsafe: bool, what: String, cure: String| found.push(Finding { is_unsafe, what, cure });
    let configure =
        |option: &str| format!("aws lambda update-function-configuration --function-name {} {option}", function.name);
    if !function.has_pipeline {
        let what = "the function has no variable WATERSHED_PIPELINE, so it does not start (the command replaces the variables it has)"
            .to_owned();
        say(true, what, configure("--environment 'Variables={WATERSHED_PIPELINE=pipeline.toml}'"));
    }
    if function.timeout < 30 {
        let what = format!("Timeout is {} s: a batch may come again because its commit took longer", function.timeout);
        say(false, what, configure("--timeout 120"));
    }
    if function.memory < 512 {
        let what =
            format!("MemorySize is {} MB: processor time comes with memory, so batches take longer", function.memory);
        say(false, what, configure("--memory-size 1024"));
    }
    if mappings.is_empty() {
        let what = "no event source mapping of a DynamoDB or Kinesis stream invokes the function".to_owned();
        say(true, what, "pipelines/lambda/ has templates with the mappings".to_owned());
    }
    for mapping in mappings {
        found.extend(of(mapping));
    }
    found
}

/// How what is given up is kept.
const TO_A_BUCKET: &str = "--destination-config '{\"OnFailure\":{\"Destination\":\"arn:aws:s3:::BUCKET\"}}'";

fn of(mapping: &Mapping) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut say = |is_unsafe: bool, what: &str, option: &str| {
        let cure = match option {
            "" => String::new(),
            option => format!("aws lambda update-event-source-mapping --uuid {} {option}", mapping.uuid),
        };
        found.push(Finding { is_unsafe, what: format!("mapping {}: {what}", mapping.uuid), cure });
    };
    if !mapping.reports_failures {
        let what = "ReportBatchItemFailures is off: an answer that names the first pending record is taken for a success, \
                    and what follows it is lost";
        say(true, what, "--function-response-types ReportBatchItemFailures");
    }
    if mapping.on_failure.is_none() {
        let what = "it has no on-failure destination: what it gives up with, or what expires while it tries, is lost without \
                    a trace (with a bucket, the role needs s3:PutObject and s3:ListBucket there)";
        say(true, what, TO_A_BUCKET);
    }
    if mapping.on_failure.as_deref().is_some_and(|arn| !arn.contains(":s3:")) {
        let what = "its on-failure destination gets the numbers of what is given up; a bucket gets the records themselves, also \
                    when the stream has them no more (the role then needs s3:PutObject and s3:ListBucket there)";
        say(false, what, TO_A_BUCKET);
    }
    if mapping.retry_attempts >= 0 {
        let what = format!(
            "MaximumRetryAttempts is {}: after so many further attempts a batch is given up, also if the lake was only away \
             for a while. No record makes the lake fail for good",
            mapping.retry_attempts
        );
        say(false, &what, "--maximum-retry-attempts -1");
    }
    if mapping.record_age >= 0 {
        let what = format!(
            "MaximumRecordAgeInSeconds is {}: what is older is given up before it was tried",
            mapping.record_age
        );
        say(false, &what, "--maximum-record-age-in-seconds -1");
    }
    if !mapping.bisects {
        let what = "BisectBatchOnFunctionError is off: a batch that is too much for one invocation stays that";
        say(false, what, "--bisect-batch-on-function-error");
    }
    if mapping.tumbling > 0 {
        let what = "it has a tumbling window, of which watershed makes no use; its state is given back as it came";
        say(false, what, "--tumbling-window-in-seconds 0");
    }
    if mapping.window < 5 {
        let what = format!(
            "MaximumBatchingWindowInSeconds is {}: every invocation writes a file for each partition, and a table's shards \
             take turns at one chain",
            mapping.window
        );
        say(false, &what, "--maximum-batching-window-in-seconds 60");
    }
    if mapping.batch_size < 1000 {
        let what = format!("BatchSize is {}: small batches make small files", mapping.batch_size);
        say(false, &what, "--batch-size 10000");
    }
    if mapping.filters > 0 {
        say(
            false,
            "it has filters: what these leave out is not in the lake, and nothing says so",
            "--filter-criteria '{}'",
        );
    }
    if mapping.from_latest {
        let what = "it began at LATEST: what the stream held then is not in the lake. It can't be changed any more; a new \
                    mapping may begin at TRIM_HORIZON, and repeats nothing in the lake";
        say(false, what, "");
    }
    if mapping.last_result.starts_with("PROBLEM") {
        let what = format!("its last result is \"{}\": the function's log says more", mapping.last_result);
        say(false, &what, "");
    }
    if mapping.state != "Enabled" {
        let what = format!("it is {}: what expires meanwhile is lost", mapping.state);
        say(false, &what, "--enabled");
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> (Function, Mapping) {
        let function = Function { name: "orders".into(), timeout: 120, memory: 1024, has_pipeline: true };
        let mapping = Mapping {
            uuid: "u-1".into(),
            source: "arn:aws:dynamodb:eu-central-1:1:table/Orders/stream/x".into(),
            state: "Enabled".into(),
            batch_size: 10_000,
            window: 60,
            reports_failures: true,
            bisects: true,
            retry_attempts: -1,
            record_age: -1,
            parallelization_factor: 1,
            on_failure: Some("arn:aws:s3:::given-up".into()),
            last_result: "OK".into(),
            ..Mapping::default()
        };
        (function, mapping)
    }

    #[test]
    fn what_is_safe_is_passed_in_silence() {
        let (function, mapping) = good();
        assert_eq!(judge(&function, &[mapping]), []);
    }

    #[test]
    fn each_wrong_setting_is_told_with_its_cure() {
        type Spoil = fn(&mut Function, &mut Mapping);
        let cases: [(Spoil, bool, &str); 16] = [
            (|f, _| f.has_pipeline = false, true, "WATERSHED_PIPELINE"),
            (|f, _| f.timeout = 3, false, "--timeout 120"),
            (|f, _| f.memory = 128, false, "--memory-size 1024"),
            (|_, m| m.reports_failures = false, true, "--function-response-types ReportBatchItemFailures"),
            (|_, m| m.on_failure = None, true, "--destination-config"),
            (|_, m| m.on_failure = Some("arn:aws:sqs:eu-central-1:1:q".into()), false, "arn:aws:s3:::BUCKET"),
            (|_, m| m.last_result = "PROBLEM: Function call failed".into(), false, "Function call failed"),
            (|_, m| m.retry_attempts = 3, false, "--maximum-retry-attempts -1"),
            (|_, m| m.record_age = 60, false, "--maximum-record-age-in-seconds -1"),
            (|_, m| m.bisects = false, false, "--bisect-batch-on-function-error"),
            (|_, m| m.tumbling = 30, false, "--tumbling-window-in-seconds 0"),
            (|_, m| m.window = 0, false, "--maximum-batching-window-in-seconds 60"),
            (|_, m| m.batch_size = 100, false, "--batch-size 10000"),
            (|_, m| m.filters = 1, false, "has filters"),
            (|_, m| m.from_latest = true, false, "TRIM_HORIZON"),
            (|_, m| m.state = "Disabled".into(), false, "--enabled"),
        ];
        for (spoil, is_unsafe, expected) in cases {
            let (mut function, mut mapping) = good();
            spoil(&mut function, &mut mapping);
            let found = judge(&function, &[mapping]);
            let [finding] = &found[..] else { panic!("{found:?}") };
            assert_eq!(finding.is_unsafe, is_unsafe, "{finding}");
            assert!(finding.to_string().contains(expected), "{finding}");
        }
        assert!(judge(&good().0, &[])[0].is_unsafe);
        // Safe, whatever it is.
        let (function, mapping) = good();
        assert_eq!(judge(&function, &[Mapping { parallelization_factor: 10, ..mapping }]), []);
    }

    #[test]
    fn a_mapping_is_shown_with_each_of_its_settings() {
        let shown = good().1.to_string();
        for setting in [
            "BatchSize 10000",
            "MaximumBatchingWindowInSeconds 60",
            "ParallelizationFactor 1",
            "ReportBatchItemFailures on",
            "BisectBatchOnFunctionError on",
            "OnFailure arn:aws:s3:::given-up",
            "MaximumRetryAttempts -1",
            "MaximumRecordAgeInSeconds -1",
            "TumblingWindowInSeconds 0",
            "0 filters",
        ] {
            assert!(shown.contains(setting), "{shown}");
        }
    }
}
