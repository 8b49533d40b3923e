//! Which failures of the state table pass by themselves, and which need somebody to mend them?

use aws_sdk_dynamodb::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use crate::checkpoint::StateError;

/// Sorts an SDK error. `what` was to be done with `table`.
pub(super) fn state_error<E>(what: &str, table: &str, error: &SdkError<E, HttpResponse>) -> StateError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let because = match (error.code(), error.message()) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code.to_owned(),
        // Not an answer of the service: the cause is further down the chain.
        _ => one_line(&DisplayErrorContext(error).to_string()),
    };
    let text = format!("cannot {what} {table}: {because}");
    match error {
        SdkError::TimeoutError(_) | SdkError::ResponseError(_) => StateError::Transient(text),
        SdkError::DispatchFailure(failure) if failure.is_user() || is_about_credentials(&because) => {
            StateError::Fatal(text)
        }
        SdkError::DispatchFailure(_) => StateError::Transient(text),
        SdkError::ServiceError(service) => {
            let passes = service.raw().status().as_u16() >= 500 || error.code().is_some_and(is_passing_code);
            if passes {
                StateError::Transient(text)
            } else {
                StateError::Fatal(with_cure(text, error.code(), table))
            }
        }
        _ => StateError::Fatal(text),
    }
}

/// Whether the table does not exist.
pub(super) fn is_missing_table<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    error.code() == Some("ResourceNotFoundException")
}

/// Codes with status 400 that a later attempt may not meet.
fn is_passing_code(code: &str) -> bool {
    matches!(
        code,
        "ThrottlingException"
            | "Throttling"
            | "ProvisionedThroughputExceededException"
            | "RequestLimitExceeded"
            | "LimitExceededException"
            | "InternalServerError"
            | "ServiceUnavailable"
            | "TransactionConflictException"
            | "TransactionInProgressException"
            | "ReplicatedWriteConflictException"
            | "ResourceInUseException"
            | "RequestTimeout"
            | "RequestTimeoutException"
            | "RequestExpired"
            | "CrcMismatch"
    )
}

/// Missing credentials come as a failed dispatch. A pipeline that waits a quarter of an hour to say so helps nobody.
fn is_about_credentials(text: &str) -> bool {
    text.contains("CredentialsNotLoaded") || text.contains("InvalidConfiguration")
}

fn with_cure(text: String, code: Option<&str>, table: &str) -> String {
    let cure = match code {
        Some("AccessDeniedException") => "; allow the actions that `watershed iam` prints",
        Some("ResourceNotFoundException") => "; was it deleted? The next start creates it again",
        Some("UnrecognizedClientException" | "InvalidSignatureException" | "ExpiredTokenException") => {
            "; renew the AWS credentials"
        }
        Some("ValidationException") => {
            return format!("{text}; is {table} a state table? Its only key is `leaseKey` (string, hash)");
        }
        _ => "",
    };
    text + cure
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_dynamodb::error::ErrorMetadata;
    use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
    use aws_smithy_runtime_api::client::result::ConnectorError;
    use aws_smithy_types::body::SdkBody;

    type Failure = SdkError<UpdateItemError, HttpResponse>;

    fn service(status: u16, code: &str) -> Failure {
        let meta = ErrorMetadata::builder().code(code).message("a text").build();
        let response = HttpResponse::new(status.try_into().unwrap(), SdkBody::empty());
        SdkError::service_error(UpdateItemError::generic(meta), response)
    }

    fn text(error: StateError, transient: bool) -> String {
        match error {
            StateError::Transient(text) if transient => text,
            StateError::Fatal(text) if !transient => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_passes_is_told_from_what_does_not() {
        for error in [
            service(400, "ThrottlingException"),
            service(400, "ProvisionedThroughputExceededException"),
            service(500, "InternalServerError"),
            service(503, "Whatever"),
            SdkError::timeout_error("late"),
            SdkError::dispatch_failure(ConnectorError::io("connection reset".into())),
            SdkError::dispatch_failure(ConnectorError::timeout("late".into())),
        ] {
            text(state_error("write the state table", "t", &error), true);
        }
        let denied = text(
            state_error(
                "write the state table",
                "t",
                &service(400, "AccessDeniedException"),
            ),
            false,
        );
        assert_eq!(
            denied,
            "cannot write the state table t: AccessDeniedException: a text; \
             allow the actions that `watershed iam` prints"
        );
        for error in [
            service(400, "ResourceNotFoundException"),
            service(400, "ValidationException"),
            service(400, "UnrecognizedClientException"),
            service(400, "SomethingNew"),
            SdkError::construction_failure("no region"),
            SdkError::dispatch_failure(ConnectorError::user("a bad address".into())),
        ] {
            text(state_error("write the state table", "t", &error), false);
        }
    }
}
