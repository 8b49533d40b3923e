//! How the AWS SDK is set up, once for every client: configuration, HTTPS, timeouts, retries.
//!
//! Everything a user can configure is the SDK's own: environment, profiles, `AWS_ENDPOINT_URL*`, regions, retry mode.
//! Endpoints may be plain `http` (local servers).

use std::fmt;
use std::sync::OnceLock;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{AppName, BehaviorVersion, SdkConfig};
use aws_sdk_dynamodb::config::ProvideCredentials as _;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::SharedHttpClient;

use super::wire_error::{CREDENTIALS_CURE, chain};

/// How long a connection may take to come about.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long one attempt of a call may take. A full Kinesis page is 14 MB of JSON: 4 Mbit/s are enough for it.
pub const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);
/// How long one attempt of an S3 call may take. A Parquet file of 128 MiB passes 2 Mbit/s in this time.
pub const S3_ATTEMPT_TIMEOUT: Duration = Duration::from_secs(600);

/// The shared configuration, and the clients made from it. A client is made when it is first asked for.
pub struct Aws {
    config: SdkConfig,
    dynamodb: OnceLock<aws_sdk_dynamodb::Client>,
    streams: OnceLock<aws_sdk_dynamodbstreams::Client>,
    kinesis: OnceLock<aws_sdk_kinesis::Client>,
    s3: OnceLock<aws_sdk_s3::Client>,
}

/// The AWS configuration is not complete. The text says the cure.
#[derive(Debug, thiserror::Error)]
pub enum AwsError {
    /// Neither the environment nor a profile nor the machine names a region.
    #[error("no AWS region is configured. Set AWS_REGION, or `region` in the profile (`aws configure`)")]
    NoRegion,
    /// No source of credentials gave any.
    #[error("no AWS credentials were found ({0}). {CREDENTIALS_CURE}")]
    NoCredentials(String),
}

impl Aws {
    /// Reads the configuration where the SDK reads it: environment, profile files, the machine's role.
    ///
    /// It asks for credentials once, so that a missing profile is told at the start and not by the first call.
    pub async fn load() -> Result<Self, AwsError> {
        let loader = aws_config::defaults(BehaviorVersion::v2026_01_12()).http_client(http_client());
        let aws = Self::from_config(&loader.load().await);
        aws.check().await?;
        Ok(aws)
    }

    /// Takes a configuration made elsewhere (tests); timeouts and the like are still set here.
    pub fn from_config(config: &SdkConfig) -> Self {
        let mut config = config.to_builder().timeout_config(timeouts(ATTEMPT_TIMEOUT));
        config.set_app_name(AppName::new("watershed").ok());
        Self {
            config: config.build(),
            dynamodb: OnceLock::new(),
            streams: OnceLock::new(),
            kinesis: OnceLock::new(),
            s3: OnceLock::new(),
        }
    }

    /// The region calls go to, for texts.
    pub fn region(&self) -> &str {
        self.config.region().map_or("(no region)", |region| region.as_ref())
    }

    /// The DynamoDB client.
    pub fn dynamodb(&self) -> &aws_sdk_dynamodb::Client {
        self.dynamodb.get_or_init(|| aws_sdk_dynamodb::Client::new(&self.config))
    }

    /// The DynamoDB Streams client.
    pub fn streams(&self) -> &aws_sdk_dynamodbstreams::Client {
        self.streams.get_or_init(|| aws_sdk_dynamodbstreams::Client::new(&self.config))
    }

    /// The Kinesis client.
    pub fn kinesis(&self) -> &aws_sdk_kinesis::Client {
        self.kinesis.get_or_init(|| aws_sdk_kinesis::Client::new(&self.config))
    }

    /// The S3 client.
    pub fn s3(&self) -> &aws_sdk_s3::Client {
        self.s3.get_or_init(|| {
            // A slow uplink is no fault: the SDK's watch over uploads has ended healthy ones (aws-sdk-rust#1141,
            // #1146, #1202); the attempt's timeout is the limit.
            let stalled = StalledStreamProtectionConfig::enabled().upload_enabled(false);
            let config = aws_sdk_s3::config::Builder::from(&self.config)
                .timeout_config(timeouts(S3_ATTEMPT_TIMEOUT))
                // Slows down as a whole when S3 says SlowDown; what is left is `lake::settle`'s.
                .retry_config(RetryConfig::adaptive())
                .stalled_stream_protection(stalled.grace_period(Duration::from_secs(20)).build())
                // Servers that are not AWS's know a bucket by the path; `bucket.localhost` does not resolve.
                .force_path_style(self.has_own_s3_endpoint());
            aws_sdk_s3::Client::from_conf(config.build())
        })
    }

    /// The configuration for clients of other services: how long an attempt of a call may take, and how many there are.
    pub fn config(&self, attempt: Duration, attempts: u32) -> SdkConfig {
        let config = self.config.to_builder().timeout_config(timeouts(attempt));
        config.retry_config(RetryConfig::standard().with_max_attempts(attempts)).build()
    }

    fn has_own_s3_endpoint(&self) -> bool {
        self.config.endpoint_url().is_some() || std::env::var_os("AWS_ENDPOINT_URL_S3").is_some()
    }

    async fn check(&self) -> Result<(), AwsError> {
        if self.config.region().is_none() {
            return Err(AwsError::NoRegion);
        }
        let Some(provider) = self.config.credentials_provider() else {
            return Err(AwsError::NoCredentials("no provider".into()));
        };
        match provider.provide_credentials().await {
            Ok(_) => Ok(()),
            Err(error) => Err(AwsError::NoCredentials(chain(&error))),
        }
    }
}

impl fmt::Debug for Aws {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Aws").field("region", &self.region()).finish_non_exhaustive()
    }
}

/// Speaks `https`, and plain `http` where an endpoint says so.
pub(super) fn http_client() -> SharedHttpClient {
    aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https()
}

/// Retries of the calls a shard reader makes. One more attempt mends a connection that had died idle and a clock that
/// went wrong; every other back-off is the reader's, who knows the shard's budget.
pub(super) fn reader_retries() -> RetryConfig {
    RetryConfig::standard().with_max_attempts(2)
}

fn timeouts(attempt: Duration) -> TimeoutConfig {
    TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).operation_attempt_timeout(attempt).build()
}
