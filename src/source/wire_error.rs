//! What an error of the AWS SDK means for the engine, and what its reader can do about it.
//!
//! The reaction per error code is the services' documentation (wire-formats §2.3 and §3.3); one table serves DynamoDB,
//! DynamoDB Streams and Kinesis, whose codes do not contradict each other.

use std::error::Error;
use std::fmt;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::StreamError;

/// What was asked of the service, for the error's text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call<'a> {
    /// The permission that covers it, which also names the operation: `dynamodb:GetRecords`.
    pub(super) action: &'static str,
    /// The ARN or name of the stream or table.
    pub(super) resource: &'a str,
}

impl fmt::Display for Call<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.action, self.resource)
    }
}

/// Sorts an SDK error by what has to be done about it.
pub(super) fn stream_error<E>(error: &SdkError<E, HttpResponse>, call: Call<'_>) -> StreamError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    match error {
        SdkError::ServiceError(answer) => {
            let code = answer.err().code().unwrap_or_default();
            let message = answer.err().message().unwrap_or("no message");
            by_code(code, message, answer.raw().status().as_u16(), call)
        }
        SdkError::ConstructionFailure(_) => StreamError::Fatal(format!("{call}: {}", chain(error))),
        SdkError::DispatchFailure(_) if lacks_credentials(error) => {
            StreamError::Fatal(format!("{call}: no AWS credentials ({}). {CREDENTIALS_CURE}", chain(error)))
        }
        _ => StreamError::Transient(format!("{call}: {}", chain(error))),
    }
}

/// As [`stream_error`], for a start by time: a time that is still to come is refused as invalid, and will be accepted
/// once it has come. A clock that runs seconds ahead of the service's must not end the program.
pub(super) fn start_by_time_error<E>(error: &SdkError<E, HttpResponse>, call: Call<'_>) -> StreamError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    match error.as_service_error() {
        Some(refused) if is_time_to_come(refused.code(), refused.message()) => {
            let told = refused.message().unwrap_or_default();
            StreamError::Transient(format!("{call}: the start time may still be to come: {told}"))
        }
        _ => stream_error(error, call),
    }
}

fn is_time_to_come(code: Option<&str>, message: Option<&str>) -> bool {
    // A server that does not know AT_TIMESTAMP at all says that it is not in the enumeration: waiting does not help.
    matches!(code, Some("ValidationException" | "InvalidArgumentException"))
        && message.is_none_or(|message| !message.contains("enum"))
}

/// How credentials are given to the SDK.
pub(super) const CREDENTIALS_CURE: &str =
    "Set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run where a role provides them";

fn by_code(code: &str, message: &str, status: u16, call: Call<'_>) -> StreamError {
    let told = format!("{call}: {code}: {message}");
    let fatal = |cure: &str| StreamError::Fatal(format!("{told}. {cure}"));
    match code {
        "ExpiredIteratorException" => StreamError::Expired,
        "TrimmedDataAccessException" => StreamError::Trimmed,
        "LimitExceededException"
        | "ProvisionedThroughputExceededException"
        | "RequestLimitExceeded"
        | "KMSThrottlingException"
        | "TooManyRequestsException" => StreamError::Throttled(told),
        code if code.starts_with("Throttl") => StreamError::Throttled(told),
        "ResourceNotFoundException" => StreamError::NotFound(told),
        // Kinesis: the paging token lived 300 s. The list has to be begun again.
        "ExpiredNextTokenException" => StreamError::Transient(told),
        // Kinesis: the stream is being created, updated or deleted. DynamoDB: the table is.
        "ResourceInUseException" => StreamError::Transient(told),
        "AccessDeniedException" | "AccessDenied" => fatal(&format!(
            "Allow {} on {} in the role's IAM policy (`watershed iam` prints the whole policy)",
            call.action, call.resource
        )),
        code if code.starts_with("KMS") => {
            fatal("The stream is encrypted: allow kms:Decrypt on its key, and see that the key is enabled")
        }
        "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "IncompleteSignature"
        | "IncompleteSignatureException" => {
            fatal(&format!("The service does not know these credentials. {CREDENTIALS_CURE}"))
        }
        "InvalidSignatureException" | "SignatureDoesNotMatch" | "RequestTimeTooSkewed" => {
            fatal("Check the secret access key, and this machine's clock")
        }
        "ExpiredTokenException" | "ExpiredToken" => {
            fatal("The session token has expired: renew it (for instance `aws sso login`) and start again")
        }
        "OptInRequired" | "SubscriptionRequiredException" => {
            fatal("The account is not signed up for the service in this region")
        }
        "ValidationException" | "InvalidArgumentException" => {
            fatal("The service refuses the request; check the name, the ARN and the start position")
        }
        _ if status >= 500 => StreamError::Transient(told),
        _ if status == 429 => StreamError::Throttled(told),
        _ if code.starts_with("InternalFailure") || code.starts_with("InternalServerError") => {
            StreamError::Transient(told)
        }
        _ => fatal(&format!("HTTP status {status}: a retry would not help")),
    }
}

/// The error and its causes, each once, without the SDK's `Debug` noise.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let link = error.to_string();
        if !text.contains(&link) {
            text.push_str(": ");
            text.push_str(&link);
        }
        cause = error.source();
    }
    // Some of them are lists, and an error is one line.
    text.lines().map(str::trim).collect::<Vec<_>>().join("; ").replace(":; ", ": ")
}

/// Whether a call was never sent because nobody gave credentials. The SDK wraps the reason in types it does not
/// export, so its name in `Debug` is what there is; a test holds on to it. A credential service that does not answer
/// is another thing: that passes.
fn lacks_credentials(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let name = format!("{error:?}");
        if name.contains("CredentialsNotLoaded") || name.contains("InvalidConfiguration") {
            return true;
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: Call<'static> = Call { action: "dynamodb:GetRecords", resource: "arn:aws:dynamodb:::stream" };

    fn kind(code: &str, status: u16) -> &'static str {
        match by_code(code, "why", status, CALL) {
            StreamError::Expired => "expired",
            StreamError::Trimmed => "trimmed",
            StreamError::Throttled(_) => "throttled",
            StreamError::NotFound(_) => "not found",
            StreamError::Transient(_) => "transient",
            StreamError::Fatal(_) => "fatal",
        }
    }

    #[test]
    fn every_documented_error_has_its_reaction() {
        for (code, status, reaction) in [
            ("ExpiredIteratorException", 400, "expired"),
            ("TrimmedDataAccessException", 400, "trimmed"),
            ("LimitExceededException", 400, "throttled"),
            ("ThrottlingException", 400, "throttled"),
            ("ProvisionedThroughputExceededException", 400, "throttled"),
            ("KMSThrottlingException", 400, "throttled"),
            ("ResourceNotFoundException", 400, "not found"),
            ("InternalServerError", 500, "transient"),
            ("InternalFailureException", 500, "transient"),
            ("ServiceUnavailable", 503, "transient"),
            ("", 502, "transient"),
            ("", 429, "throttled"),
            ("AccessDeniedException", 400, "fatal"),
            ("KMSAccessDeniedException", 400, "fatal"),
            ("UnrecognizedClientException", 400, "fatal"),
            ("InvalidSignatureException", 400, "fatal"),
            ("ExpiredTokenException", 400, "fatal"),
            ("ValidationException", 400, "fatal"),
            ("InvalidArgumentException", 400, "fatal"),
            ("UnknownOperationException", 400, "fatal"),
        ] {
            assert_eq!(kind(code, status), reaction, "{code} {status}");
        }
    }

    #[test]
    fn a_time_to_come_is_waited_for() {
        assert!(is_time_to_come(Some("ValidationException"), Some("Timestamp is in the future")));
        assert!(is_time_to_come(Some("InvalidArgumentException"), None));
        let unknown = "Value 'AT_TIMESTAMP' failed to satisfy constraint: Member must satisfy enum value set";
        assert!(!is_time_to_come(Some("ValidationException"), Some(unknown)));
        assert!(!is_time_to_come(Some("TrimmedDataAccessException"), None));
    }

    #[test]
    fn a_fatal_error_says_what_was_asked_and_what_to_do() {
        let text = by_code("AccessDeniedException", "no", 400, CALL).to_string();
        for part in ["dynamodb:GetRecords on arn:aws:dynamodb:::stream", "AccessDeniedException", "Allow dynamodb:"] {
            assert!(text.contains(part), "{text}");
        }
    }
}
