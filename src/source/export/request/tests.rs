//! Is an export asked for as it should be, and what is said if it does not come? Against a server with scripted answers.

use super::*;
use crate::source::wire_tests::{Answer, Server, aws, ok, refusal, serve};

const ARN: &str = "arn:aws:dynamodb:eu-central-1:111122223333:table/Orders/export/01795168800622-efd1a093";

fn orders() -> TableFacts {
    TableFacts {
        name: "Orders".into(),
        arn: "arn:aws:dynamodb:eu-central-1:111122223333:table/Orders".into(),
        keys: Vec::new(),
        stream: None,
        items: 0,
        bytes: 0,
        read_capacity: None,
        view_type: None,
    }
}

fn status(status: &str) -> Answer {
    ok(&format!(
        r#"{{"ExportDescription":{{"ExportArn":"{ARN}","ExportStatus":"{status}","FailureCode":"S3NoSuchBucket",
           "FailureMessage":"The specified bucket does not exist"}}}}"#
    ))
}

async fn made(answers: Vec<Answer>) -> (Result<Made, ExportError>, Server) {
    let server = serve(answers).await;
    let target = Target::parse("new:s3://exports/of/orders").unwrap();
    let made = make(aws(&server.url).dynamodb(), &orders(), &target, "generation 3", &Clock::system()).await;
    (made, server)
}

fn there(earlier: bool) -> Made {
    Made::There { uri: "s3://exports/of/orders/AWSDynamoDB/01795168800622-efd1a093".to_owned(), earlier }
}

#[tokio::test]
async fn an_export_is_asked_for_once_and_waited_for() {
    let answers = vec![status("IN_PROGRESS"), status("COMPLETED")];
    let (made, server) = made(answers).await;
    assert_eq!(made, Ok(there(false)));
    let requests = server.requests.lock().unwrap();
    let operations: Vec<_> = requests.iter().map(|(operation, _)| operation.as_str()).collect();
    assert_eq!(operations, ["exporttabletopointintime", "describeexport"]);
    let asked = &requests[0].1;
    assert_eq!((&asked["S3Bucket"], &asked["S3Prefix"]), (&"exports".into(), &"of/orders".into()));
    assert_eq!((&asked["ExportFormat"], &asked["TableArn"]), (&"DYNAMODB_JSON".into(), &orders().arn.into()));
    assert_eq!(asked["ClientToken"].as_str().map(str::len), Some(32));
    assert_eq!(requests[1].1["ExportArn"], ARN);
}

#[tokio::test]
async fn one_that_was_asked_for_earlier_is_known_again() {
    assert_eq!(made(vec![status("COMPLETED")]).await.0, Ok(there(true)));
    assert_eq!(made(vec![status("FAILED")]).await.0, Ok(Made::FailedEarlier));
}

#[tokio::test]
async fn what_stands_in_the_way_is_told_with_its_cure() {
    let error = async |answers: Vec<Answer>| made(answers).await.0.unwrap_err().0;
    let told = error(vec![refusal(400, "PointInTimeRecoveryUnavailableException")]).await;
    assert!(told.contains("table Orders has no point-in-time recovery") && told.contains("update-continuous-backups"));
    let told = error(vec![refusal(400, "LimitExceededException")]).await;
    assert!(told.contains("Start the backfill again later"), "{told}");
    let told = error(vec![refusal(400, "AccessDeniedException")]).await;
    assert!(told.contains("Allow dynamodb:ExportTableToPointInTime on Orders"), "{told}");
    let told = error(vec![status("IN_PROGRESS"), status("FAILED")]).await;
    assert!(told.contains("S3NoSuchBucket: The specified bucket does not exist"), "{told}");
}

#[tokio::test]
async fn whether_a_table_can_be_exported_is_asked_before_anything_is_begun() {
    let recovery = |status: &str| {
        ok(&format!(
            r#"{{"ContinuousBackupsDescription":{{"ContinuousBackupsStatus":"ENABLED",
               "PointInTimeRecoveryDescription":{{"PointInTimeRecoveryStatus":"{status}"}}}}}}"#
        ))
    };
    let asked = async |answer| {
        let server = serve(vec![answer]).await;
        can_be_made(aws(&server.url).dynamodb(), &orders()).await
    };
    assert_eq!(asked(recovery("ENABLED")).await, Ok(()));
    assert!(asked(recovery("DISABLED")).await.unwrap_err().0.contains("has no point-in-time recovery"));
}

#[test]
fn a_new_export_has_a_place() {
    let target = |bucket: &str, prefix: &str| Target { bucket: bucket.into(), prefix: prefix.into() };
    for (uri, expected, there) in [
        (
            "new:s3://b/some/prefix/",
            target("b", "some/prefix"),
            "s3://b/some/prefix/AWSDynamoDB/01795168800622-efd1a093",
        ),
        ("new:s3://b", target("b", ""), "s3://b/AWSDynamoDB/01795168800622-efd1a093"),
    ] {
        assert!(Target::is_new(uri));
        let parsed = Target::parse(uri).unwrap();
        assert_eq!((parsed.uri(ARN).as_str(), parsed), (there, expected));
    }
    for wrong in ["new:", "new:folder", "new:s3://", "new:s3:///prefix"] {
        assert!(Target::parse(wrong).unwrap_err().0.contains("give new:s3://BUCKET/PREFIX"), "{wrong}");
    }
    assert!(!Target::is_new("s3://b/new:"));
}
