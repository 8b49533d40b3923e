//! Which failures of the state table pass by themselves, and which need somebody to mend them?

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use crate::checkpoint::StateError;

/// Sorts an SDK error. `what` was to be done with `table`.
pub(super) fn state_error<E>(what: &str, table: &str, error: &SdkError<E, HttpResponse>) -> StateError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let because = match (error.code(), error.message()) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code.to_owned(),
        // Not an answer of the service: the cause is further down the chain.
        _ => chain(error),
    };
    let text = format!("cannot {what} {table}: {because}");
    match error {
        SdkError::TimeoutError(_) | SdkError::ResponseError(_) => StateError::Transient(text),
        SdkError::DispatchFailure(_) if is_about_credentials(error) => {
            StateError::Fatal(format!("{text}; set up AWS credentials: a profile, a role or AWS_ACCESS_KEY_ID"))
        }
        SdkError::DispatchFailure(failure) if failure.is_user() => StateError::Fatal(text),
        SdkError::DispatchFailure(_) => StateError::Transient(text),
        SdkError::ServiceError(service) => {
            let passes = service.raw().status().as_u16() >= 500 || error.code().is_some_and(is_passing_code);
            if passes { StateError::Transient(text) } else { StateError::Fatal(with_cure(text, error.code(), table)) }
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
/// The SDK hides the type, but not its name.
fn is_about_credentials(error: &dyn std::fmt::Debug) -> bool {
    let names = format!("{error:?}");
    names.contains("CredentialsNotLoaded") || names.contains("InvalidConfiguration")
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

/// The error and its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
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
        let denied = text(state_error("write the state table", "t", &service(400, "AccessDeniedException")), false);
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

    #[tokio::test]
    async fn missing_credentials_are_said_at_once() {
        // Looks into the environment only; nothing is sent anywhere.
        if std::env::var_os("AWS_ACCESS_KEY_ID").is_some() {
            return;
        }
        let provider = aws_config::environment::EnvironmentVariableCredentialsProvider::new();
        let config = aws_sdk_dynamodb::Config::builder()
            .behavior_version(aws_sdk_dynamodb::config::BehaviorVersion::latest())
            .region(aws_sdk_dynamodb::config::Region::new("us-east-1"))
            .credentials_provider(provider)
            .endpoint_url("http://127.0.0.1:9")
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .build();
        let client = aws_sdk_dynamodb::Client::from_conf(config);
        let error = client.describe_table().table_name("t").send().await.unwrap_err();
        let text = text(state_error("look at the state table", "t", &error), false);
        assert!(
            text.ends_with(
                "environment variable not set; set up AWS credentials: a profile, a role or AWS_ACCESS_KEY_ID"
            ),
            "{text}"
        );
    }
}
