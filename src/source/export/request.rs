//! How is an export had that is not there yet? DynamoDB is asked to make one, and watched until it is in S3. This needs
//! point-in-time recovery, and costs the table no read unit.

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{ExportFormat, ExportStatus, PointInTimeRecoveryStatus};
use aws_smithy_types::error::metadata::ProvideErrorMetadata as _;
use sha2::{Digest as _, Sha256};

use super::manifest::ExportError;
use crate::clock::Clock;
use crate::source::wire_error::{Call, stream_error};
use crate::source::{StreamError, TableFacts};

/// How often DynamoDB is asked whether the export is there.
const ASK_EVERY: Duration = Duration::from_secs(5);

/// How an export that is yet to be made is asked for: `new:s3://BUCKET/PREFIX`.
const NEW: &str = "new:";

/// Where in S3 an export is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The bucket.
    pub bucket: String,
    /// What the export's keys begin with; may be empty.
    pub prefix: String,
}

/// How an attempt to have an export ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Made {
    /// It is there: its address. `earlier`: this very request was made before, and had been answered then.
    There {
        /// `s3://…/AWSDynamoDB/<export id>`
        uri: String,
        /// Whether the same request has been made before.
        earlier: bool,
    },
    /// The same request was made before, and had failed.
    FailedEarlier,
}

impl Target {
    /// Whether `uri` asks for an export that is not there yet.
    pub fn is_new(uri: &str) -> bool {
        uri.starts_with(NEW)
    }

    /// `new:s3://BUCKET[/PREFIX]`
    pub fn parse(uri: &str) -> Result<Self, ExportError> {
        let place = uri.strip_prefix(NEW).and_then(|uri| uri.strip_prefix("s3://")).unwrap_or_default();
        let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
        if bucket.is_empty() {
            return Err(ExportError(format!("{uri} names no place for a new export: give new:s3://BUCKET/PREFIX")));
        }
        Ok(Self { bucket: bucket.to_owned(), prefix: prefix.trim_matches('/').to_owned() })
    }

    /// Where an export is, by its ARN.
    fn uri(&self, arn: &str) -> String {
        let id = arn.rsplit('/').next().unwrap_or_default();
        let prefix = if self.prefix.is_empty() { String::new() } else { format!("{}/", self.prefix) };
        format!("s3://{}/{prefix}AWSDynamoDB/{id}", self.bucket)
    }
}

/// Asks DynamoDB for a full export of a table, and waits for it. `purpose` says what it is for: the same request for the same
/// purpose gets the same export, for some hours.
pub async fn make(
    client: &Client,
    table: &TableFacts,
    target: &Target,
    purpose: &str,
    clock: &Clock,
) -> Result<Made, ExportError> {
    let (arn, mut status) = ask(client, table, target, purpose, clock).await?;
    let earlier = status != ExportStatus::InProgress;
    tracing::info!(table = &*table.name, arn, "DynamoDB makes the export");
    loop {
        match status {
            ExportStatus::Completed => return Ok(Made::There { uri: target.uri(&arn), earlier }),
            ExportStatus::Failed if earlier => return Ok(Made::FailedEarlier),
            ExportStatus::Failed => return Err(why_failed(client, &arn, table).await),
            _ => clock.sleep(ASK_EVERY).await,
        }
        status = look(client, &arn).await?.unwrap_or(ExportStatus::InProgress);
    }
}

async fn ask(
    client: &Client,
    table: &TableFacts,
    target: &Target,
    purpose: &str,
    clock: &Clock,
) -> Result<(String, ExportStatus), ExportError> {
    let call = Call { action: "dynamodb:ExportTableToPointInTime", resource: &table.name };
    let token: String = Sha256::digest(purpose).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    loop {
        let request = client.export_table_to_point_in_time().table_arn(&table.arn).s3_bucket(&target.bucket);
        let request = request.set_s3_prefix(Some(target.prefix.clone()).filter(|prefix| !prefix.is_empty()));
        let request = request.export_format(ExportFormat::DynamodbJson).client_token(&token);
        let error = match request.send().await {
            Ok(answer) => {
                let about = answer.export_description.and_then(|about| Some((about.export_arn?, about.export_status?)));
                return about.ok_or_else(|| ExportError(format!("{call}: the answer is empty")));
            }
            Err(error) => error,
        };
        match error.code().unwrap_or_default() {
            "PointInTimeRecoveryUnavailableException" => return Err(no_recovery(&table.name)),
            "LimitExceededException" => {
                return Err(ExportError(format!(
                    "{call}: as many exports are being made as the account may have at once. Start the backfill again later"
                )));
            }
            _ => match stream_error(&error, call) {
                StreamError::Throttled(why) | StreamError::Transient(why) => {
                    tracing::warn!(why, "asking again for the export");
                    clock.sleep(ASK_EVERY).await;
                }
                error => return Err(ExportError(error.to_string())),
            },
        }
    }
}

/// The status of an export; `None` where DynamoDB can't be asked at this moment.
async fn look(client: &Client, arn: &str) -> Result<Option<ExportStatus>, ExportError> {
    let call = Call { action: "dynamodb:DescribeExport", resource: arn };
    match client.describe_export().export_arn(arn).send().await {
        Ok(answer) => Ok(answer.export_description.and_then(|about| about.export_status)),
        Err(error) => match stream_error(&error, call) {
            StreamError::Throttled(_) | StreamError::Transient(_) => Ok(None),
            error => Err(ExportError(error.to_string())),
        },
    }
}

async fn why_failed(client: &Client, arn: &str, table: &TableFacts) -> ExportError {
    let about = client.describe_export().export_arn(arn).send().await.ok().and_then(|answer| answer.export_description);
    let (code, message) = about.map(|about| (about.failure_code, about.failure_message)).unwrap_or_default();
    let (code, message) = (code.unwrap_or_default(), message.unwrap_or_default());
    ExportError(format!(
        "DynamoDB could not export table {}: {code}: {message}. See that the bucket is there and takes s3:PutObject from this \
         role, and start the backfill again",
        table.name
    ))
}

/// Whether a table has point-in-time recovery, so that it can be exported.
pub async fn can_be_made(client: &Client, table: &TableFacts) -> Result<(), ExportError> {
    let call = Call { action: "dynamodb:DescribeContinuousBackups", resource: &table.name };
    let answer = client.describe_continuous_backups().table_name(&*table.name).send().await;
    let answer = answer.map_err(|error| ExportError(stream_error(&error, call).to_string()))?;
    let about = answer.continuous_backups_description.and_then(|about| about.point_in_time_recovery_description);
    match about.and_then(|about| about.point_in_time_recovery_status) {
        Some(PointInTimeRecoveryStatus::Enabled) => Ok(()),
        _ => Err(no_recovery(&table.name)),
    }
}

fn no_recovery(table: &str) -> ExportError {
    ExportError(format!(
        "table {table} has no point-in-time recovery, so that DynamoDB can't export it. Switch it on (`aws dynamodb \
         update-continuous-backups --table-name {table} --point-in-time-recovery-specification \
         PointInTimeRecoveryEnabled=true`), or scan the table: leave --export out"
    ))
}

#[cfg(test)]
mod tests;
