//! What does an error of an AWS call mean for the changes of the call?

use std::error::Error;

use aws_config::{Region, SdkConfig};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::payloads::said;
use crate::handler::HandlerError;
use crate::pipeline::spec;
use crate::source::Aws;

/// How often the SDK makes a call before the engine's own retries begin.
pub(super) const ATTEMPTS: u32 = 2;

/// The configuration for the client of one target: it is called where it is, whatever region we are in. `target` is an
/// ARN, a queue's URL, or a name, which says nothing.
pub(super) fn config(aws: &Aws, handler: &spec::Handler, attempts: u32, target: &str) -> SdkConfig {
    let mut config = aws.config(handler.timeout, attempts).to_builder();
    if let Some(region) = region_of(target) {
        config.set_region(Some(Region::new(region.to_owned())));
    }
    config.build()
}

/// The region in `arn:aws:sns:REGION:…` or `https://sqs.REGION.amazonaws.com/…`.
fn region_of(target: &str) -> Option<&str> {
    let region = match target.strip_prefix("https://sqs.") {
        Some(rest) => rest.split_once(".amazonaws.com").map(|(region, _)| region),
        None => target.strip_prefix("arn:").and_then(|arn| arn.split(':').nth(2)),
    };
    region.filter(|region| !region.is_empty() && !region.contains(['/', '.']))
}

/// What an error means, by what the service calls it. `call` is what was asked, for people (`sqs:SendMessage`).
pub(super) fn fault<E: ProvideErrorMetadata>(call: &str, error: &SdkError<E, HttpResponse>) -> HandlerError {
    let unavailable = |why: String| HandlerError::Unavailable { why: format!("{call}: {why}"), after: None };
    match error {
        SdkError::TimeoutError(_) => unavailable("no answer in time".to_owned()),
        SdkError::DispatchFailure(failure) => {
            let root = std::iter::successors(failure.as_connector_error().and_then(Error::source), |e| (*e).source());
            unavailable(root.last().map_or_else(|| "no connection".to_owned(), |root| said(&root.to_string())))
        }
        SdkError::ResponseError(_) => unavailable("the answer is not readable".to_owned()),
        SdkError::ServiceError(service) => {
            let status = service.raw().status().as_u16();
            service_fault(call, service.err().code().unwrap_or("no code"), service.err().message(), status)
        }
        _ => HandlerError::Failed(format!("{call}: the request can't be made")),
    }
}

/// The same for what the service says.
pub(super) fn service_fault(call: &str, code: &str, message: Option<&str>, status: u16) -> HandlerError {
    // Only texts about permissions and names: others may repeat what was sent.
    let about_us = ["AccessDenied", "NotAuthorized", "NotFound", "NonExistent", "ExpiredToken", "InvalidClientToken"];
    let tells = about_us.iter().any(|word| code.contains(word));
    let message = message.filter(|_| tells).map_or_else(String::new, |message| format!(": {}", said(message)));
    let why = format!("{call}: {} ({status}){message}", said(code));
    if is_temporary(code) || status == 429 || status >= 500 {
        HandlerError::Unavailable { why, after: None }
    } else if is_about_the_changes(code) || status == 413 {
        HandlerError::Refused(why)
    } else {
        HandlerError::Failed(why)
    }
}

/// Whether the service says that it takes nothing now.
pub(super) fn is_temporary(code: &str) -> bool {
    const WORDS: [&str; 9] = [
        "Throttl",
        "TooManyRequests",
        "LimitExceeded",
        "ProvisionedThroughput",
        "SlowDown",
        "Unavailable",
        "InternalFailure",
        "InternalError",
        "InternalServerError",
    ];
    WORDS.iter().any(|word| code.contains(word))
        || matches!(code, "InternalException" | "ServiceException" | "RequestTimeout")
}

/// Whether the service will never take these changes.
fn is_about_the_changes(code: &str) -> bool {
    const WORDS: [&str; 8] = [
        "ValidationException",
        "InvalidMessageContents",
        "BatchRequestTooLong",
        "RequestTooLarge",
        "InvalidRequestContent",
        "ItemCollectionSizeLimit",
        "MalformedDetail",
        "InvalidParameterValue",
    ];
    WORDS.iter().any(|word| code.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_called_where_it_is() {
        for (target, region) in [
            ("arn:aws:sns:eu-west-1:111122223333:t", Some("eu-west-1")),
            ("arn:aws-cn:lambda:cn-north-1:111122223333:function:f", Some("cn-north-1")),
            ("https://sqs.eu-west-1.amazonaws.com/111122223333/q", Some("eu-west-1")),
            ("https://sqs.cn-north-1.amazonaws.com.cn/111122223333/q", Some("cn-north-1")),
            ("http://127.0.0.1:4566/000000000000/q", None),
            ("https://sqs.example.com/q", None),
            ("Replica", None),
        ] {
            assert_eq!(region_of(target), region, "{target}");
        }
    }

    #[test]
    fn an_error_means_what_its_code_says() {
        let of = |code, status| match service_fault("x", code, Some("secret"), status) {
            HandlerError::Unavailable { why, .. } => ("unavailable", why),
            HandlerError::Failed(why) => ("failed", why),
            HandlerError::Refused(why) => ("refused", why),
        };
        for (code, status, means) in [
            ("ThrottlingException", 400, "unavailable"),
            ("ProvisionedThroughputExceededException", 400, "unavailable"),
            ("ServiceUnavailable", 503, "unavailable"),
            ("Whatever", 500, "unavailable"),
            ("TooManyRequestsException", 429, "unavailable"),
            ("ValidationException", 400, "refused"),
            ("RequestTooLargeException", 413, "refused"),
            ("AWS.SimpleQueueService.BatchRequestTooLong", 400, "refused"),
            ("AccessDeniedException", 400, "failed"),
            ("ResourceNotFoundException", 404, "failed"),
        ] {
            let (word, why) = of(code, status);
            assert_eq!(word, means, "{code}");
            assert_eq!(why.contains("secret"), code.contains("AccessDenied") || code.contains("NotFound"), "{why}");
        }
    }
}
