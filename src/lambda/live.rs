//! `watershed check --lambda`: what do the live function and its mappings say?

use std::io::Write;
use std::time::Duration;

use aws_sdk_lambda::Client;
use aws_sdk_lambda::types::{EventSourceMappingConfiguration, EventSourcePosition, FunctionResponseType};

use super::mapping::{Function, Mapping, judge};
use super::{LambdaError, PIPELINE};
use crate::source::Aws;
use crate::source::wire_error::chain;

/// How long a call may take.
const ATTEMPT: Duration = Duration::from_secs(20);
const ATTEMPTS: u32 = 3;

/// Reads a function and its mappings, and writes what is unsafe. Answers whether all is safe.
///
/// # Errors
/// If Lambda can't be asked.
pub async fn check(function: &str, out: &mut dyn Write) -> Result<bool, LambdaError> {
    let aws = Aws::load().await.map_err(crate::assembly::AssemblyError::from)?;
    let client = Client::new(&aws.config(ATTEMPT, ATTEMPTS));
    let failed = |call: &str, error: &(dyn std::error::Error + 'static)| {
        LambdaError::Live(format!("{call} of {function}: {}", chain(error)))
    };
    let found = client.get_function_configuration().function_name(function).send().await;
    let found = found.map_err(|error| failed("lambda:GetFunctionConfiguration", &error))?;
    let variables = found.environment().and_then(|environment| environment.variables());
    let facts = Function {
        name: found.function_name().unwrap_or(function).to_owned(),
        timeout: found.timeout().unwrap_or(3),
        memory: found.memory_size().unwrap_or(128),
        has_pipeline: variables.is_some_and(|variables| variables.contains_key(PIPELINE)),
    };
    let mut mappings = Vec::new();
    let mut pages = client.list_event_source_mappings().function_name(function).into_paginator().items().send();
    while let Some(mapping) = pages.next().await {
        let mapping = mapping.map_err(|error| failed("lambda:ListEventSourceMappings", &error))?;
        mappings.extend(read(&mapping));
    }
    let findings = judge(&facts, &mappings);
    let mut write = || -> std::io::Result<()> {
        for mapping in &mappings {
            writeln!(out, "{}: {mapping}", facts.name)?;
        }
        for finding in &findings {
            writeln!(out, "{finding}")?;
        }
        if findings.is_empty() {
            writeln!(out, "{}: safe", facts.name)?;
        }
        out.flush()
    };
    write().map_err(|error| LambdaError::Live(format!("writing: {error}")))?;
    Ok(!findings.iter().any(|finding| finding.is_unsafe))
}

/// A mapping of a stream; others are not ours.
fn read(found: &EventSourceMappingConfiguration) -> Option<Mapping> {
    let source = found.event_source_arn()?;
    if !source.contains(":dynamodb:") && !source.contains(":kinesis:") {
        return None;
    }
    let destination = found.destination_config().and_then(|config| config.on_failure());
    Some(Mapping {
        uuid: found.uuid().unwrap_or_default().to_owned(),
        source: source.to_owned(),
        state: found.state().unwrap_or_default().to_owned(),
        batch_size: found.batch_size().unwrap_or(100),
        window: found.maximum_batching_window_in_seconds().unwrap_or(0),
        parallelization_factor: found.parallelization_factor().unwrap_or(1),
        reports_failures: found.function_response_types().contains(&FunctionResponseType::ReportBatchItemFailures),
        bisects: found.bisect_batch_on_function_error().unwrap_or(false),
        retry_attempts: found.maximum_retry_attempts().unwrap_or(-1),
        record_age: found.maximum_record_age_in_seconds().unwrap_or(-1),
        tumbling: found.tumbling_window_in_seconds().unwrap_or(0),
        on_failure: destination.and_then(|on_failure| on_failure.destination()).map(str::to_owned),
        filters: found.filter_criteria().map_or(0, |criteria| criteria.filters().len()),
        from_latest: found.starting_position() == Some(&EventSourcePosition::Latest),
        last_result: found.last_processing_result().unwrap_or_default().to_owned(),
    })
}
