//! What S3's answers mean for the lake: it exists, nobody knows, or nothing a retry would mend, and then the cure.

use std::error::Error;

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::http::Response;

use crate::lake::store::StoreError;

/// A request, for the text of its errors.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request<'a> {
    /// The operation, as S3 and its permissions name it.
    pub(super) operation: &'static str,
    pub(super) bucket: &'a str,
    /// In the lake: what people look for in the logs.
    pub(super) path: &'a str,
}

/// Whether a read's error says that there is no such object: `code`, not any 404, which may come from something that is
/// no S3. (HeadObject's answers have no body, so its code is the SDK's reading of 404 and says `NotFound` for a missing
/// bucket too; every other operation tells.)
pub(super) fn is_absent<E: ProvideErrorMetadata>(error: &SdkError<E, Response>, code: &str) -> bool {
    matches!(error, SdkError::ServiceError(service) if service.err().code() == Some(code))
}

impl Request<'_> {
    /// What an error means.
    pub(super) fn failed<E>(&self, error: &SdkError<E, Response>) -> StoreError
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let text = causes(error);
        match error {
            SdkError::ServiceError(service) => {
                let status = service.raw().status().as_u16();
                match service.err().code() {
                    // It looked like success, and could not be read.
                    None if status < 300 => self.unsettled(text),
                    code => self.answered(status, code.unwrap_or_default(), service.err().message()),
                }
            }
            // An answer that is not S3's: a proxy's page, or one that broke off.
            SdkError::ResponseError(_) | SdkError::TimeoutError(_) => self.unsettled(text),
            SdkError::DispatchFailure(failure) if failure.is_user() => {
                self.fatal(text, "the endpoint is not a valid address; check AWS_ENDPOINT_URL and AWS_REGION")
            }
            SdkError::DispatchFailure(_) | SdkError::ConstructionFailure(_) if lacks_credentials(error) => self.fatal(
                text,
                "no usable AWS credentials were found; set AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, \
                 or run where a role gives them",
            ),
            SdkError::DispatchFailure(_) => self.unsettled(text),
            _ => self.fatal(text, "the request could not be made; check the AWS configuration and the lake's path"),
        }
    }

    /// What S3's own error answers mean, by code first: a completion may fail under status 200.
    fn answered(&self, status: u16, code: &str, message: Option<&str>) -> StoreError {
        let text = printable(&format!("{status} {code} {}", message.unwrap_or_default()));
        let permission = match self.operation {
            "GetObject" | "HeadObject" => {
                "s3:GetObject and s3:ListBucket (without it S3 hides that an object is absent)"
            }
            "ListObjectsV2" => "s3:ListBucket",
            "AbortMultipartUpload" => "s3:AbortMultipartUpload",
            _ => "s3:PutObject (and, with an encrypted bucket, the use of its KMS key)",
        };
        let cure = match (status, code) {
            (412, _) | (_, "PreconditionFailed") => return StoreError::Exists(self.path.to_owned()),
            (_, "NoSuchBucket") => "there is no such bucket; create it, or correct the lake's path",
            (301 | 307 | 308, _)
            | (_, "PermanentRedirect" | "TemporaryRedirect")
            | (_, "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException") => {
                "the bucket is in another region; set AWS_REGION to the bucket's"
            }
            (_, "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "InvalidToken" | "InvalidSecurity") => {
                "S3 does not know these credentials; check AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            }
            (_, "ExpiredToken" | "TokenRefreshRequired") => "the credentials have expired; renew them",
            (_, "RequestTimeTooSkewed") => "this machine's clock is wrong; set it",
            (_, "KeyTooLongError") => "S3 allows 1,024 bytes per key; shorten the lake's prefix or partition by less",
            (501, _) | (_, "NotImplemented") => {
                "this store does not know a call that the lake needs; S3 conditional writes are needed"
            }
            (507, _) | (_, "QuotaExceeded" | "InsufficientStorage") => "the store is full: make room, then start again",
            // Before "forbidden": these pass, whatever their status.
            (408 | 409 | 425 | 429 | 500.., _)
            | (_, "ConditionalRequestConflict" | "OperationAborted")
            | (_, "InternalError" | "ServiceUnavailable" | "RequestTimeout")
            | (_, "SlowDown" | "Throttling" | "ThrottlingException" | "RequestLimitExceeded")
            // Damaged on its way, and S3 has noticed.
            | (_, "BadDigest" | "XAmzContentChecksumMismatch" | "XAmzContentSHA256Mismatch" | "IncompleteBody")
            // An upload that is gone may have been completed by a request whose answer was lost.
            | (_, "NoSuchUpload") => return self.unsettled(text),
            (401 | 403, _) => {
                return StoreError::Fatal(format!("{}: {text} (allow {permission} on it)", self.named()));
            }
            // No error code, or one that is no error's: something between us and S3 spoke.
            (..=399, _) => return self.unsettled(text),
            (404 | 405, _) => "is the endpoint an S3 service, and is the bucket's name right?",
            _ => "S3 refuses the request as it is, a retry would not help",
        };
        self.fatal(text, cure)
    }

    /// An answer's body that broke off or did not match its checksum.
    pub(super) fn broken(&self, error: &(dyn Error + 'static)) -> StoreError {
        self.unsettled(format!("the body broke off: {}", causes(error)))
    }

    /// An answer that no S3 gives.
    pub(super) fn nonsense(&self, what: &str) -> StoreError {
        self.fatal(format!("the answer has {what}"), "is the endpoint an S3 service?")
    }

    fn named(&self) -> String {
        format!("{} of `{}` in bucket {}", self.operation, self.path, self.bucket)
    }

    fn unsettled(&self, text: impl std::fmt::Display) -> StoreError {
        StoreError::Unsettled(format!("{}: {text}", self.named()))
    }

    fn fatal(&self, text: impl std::fmt::Display, cure: &str) -> StoreError {
        StoreError::Fatal(format!("{}: {text} ({cure})", self.named()))
    }
}

/// An error with all its causes on one line.
fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    printable(&text)
}

/// Answers come from outside; logs and terminals get no control characters, and no pages.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(600).collect::<String>().trim_end().to_owned()
}

/// Whether an error says that nobody could give credentials (not: that asking for them failed just now). The SDK has no
/// public type for it that we could ask, so its words have to do; a test holds them.
fn lacks_credentials(error: &dyn Error) -> bool {
    let causes = causes(error);
    causes.contains("no providers in chain provided credentials")
        || causes.contains("the credential provider was not enabled")
        || causes.contains("the credentials provider was not properly configured")
}
