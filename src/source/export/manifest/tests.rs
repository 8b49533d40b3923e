//! Holds the reader of manifests to the captured exports, and to everything that can be wrong with one.

use super::*;

const FULL: &[u8] =
    include_bytes!("../../../../tests/fixtures/export_full/AWSDynamoDB/01795168800622-efd1a093/manifest-summary.json");
const FULL_FILES: &[u8] =
    include_bytes!("../../../../tests/fixtures/export_full/AWSDynamoDB/01795168800622-efd1a093/manifest-files.json");
const INCREMENTAL: &[u8] = include_bytes!(
    "../../../../tests/fixtures/export_incremental/AWSDynamoDB/01795172400000-d339e52d/manifest-summary.json"
);
const INCREMENTAL_FILES: &[u8] = include_bytes!(
    "../../../../tests/fixtures/export_incremental/AWSDynamoDB/01795172400000-d339e52d/manifest-files.json"
);

fn changed(summary: &[u8], from: &str, to: &str) -> Vec<u8> {
    let text = String::from_utf8(summary.to_vec()).unwrap();
    assert!(text.contains(from), "{from}");
    text.replace(from, to).into_bytes()
}

#[test]
fn captured_exports_are_understood() {
    let full = read("x", FULL, FULL_FILES).unwrap();
    assert_eq!((full.table.as_str(), full.id.as_str(), full.items), ("ProductCatalog", "01795168800622-efd1a093", 8));
    assert_eq!(full.window, Window::Full(1_795_168_800_622_000));
    // The file of a partition without items is not worth a look.
    assert_eq!(full.files.len(), 1);
    let incremental = read("x", INCREMENTAL, INCREMENTAL_FILES).unwrap();
    let (from, to) = (1_795_168_800_000_000, 1_795_171_500_000_000);
    assert_eq!(incremental.window, Window::Incremental { from, to, with_old: true });
    assert!(!full.partial && !incremental.partial);
}

#[test]
fn what_is_wrong_is_told() {
    let why = |summary: &[u8], files: &[u8]| read("x", summary, files).unwrap_err().to_string();
    assert!(why(b"{", FULL_FILES).starts_with("x/manifest-summary.json is damaged: EOF"));
    assert!(why(&changed(FULL, "DYNAMODB_JSON", "ION"), FULL_FILES).contains("export it as DYNAMODB_JSON"));
    assert!(why(&changed(FULL, "\"exportTime\"", "\"x\""), FULL_FILES).contains("it has no `exportTime`"));
    assert!(why(&changed(FULL, "\"itemCount\":8", "\"itemCount\":9"), FULL_FILES).contains("says 9"));
    assert!(why(FULL, &changed(FULL_FILES, "{\"itemCount\":8", "{itemCount:8")).contains("line 1 does not parse"));
    let outside = changed(FULL_FILES, "01795168800622-efd1a093/data", "../../etc");
    assert!(why(FULL, &outside).contains("outside the export"));
    let twice = [FULL_FILES, FULL_FILES].concat();
    assert!(why(FULL, &twice).contains("the data file of another line"));
    let typed = changed(FULL, "\"outputFormat\"", "\"exportType\":\"NEXT\",\"outputFormat\"");
    assert!(why(&typed, FULL_FILES).contains("of type NEXT"));
    assert!(check("a", b"text", Some(b"AAAA")).unwrap_err().to_string().contains("a is damaged"));
    check("a", b"text", Some(md5_base64(b"text").as_bytes())).unwrap();
    check("a", b"text", None).unwrap();
}

#[test]
fn a_filter_makes_it_partial() {
    let filtered =
        changed(FULL, "\"outputFormat\"", "\"filterSpecification\":{\"FilterExpression\":\"a\"},\"outputFormat\"");
    assert!(read("x", &filtered, FULL_FILES).unwrap().partial);
    let not = changed(FULL, "\"outputFormat\"", "\"filterSpecification\":null,\"outputFormat\"");
    assert!(!read("x", &not, FULL_FILES).unwrap().partial);
}

#[test]
fn windows_follow_each_other() {
    let export = |from: i64, to: i64| Manifest {
        window: Window::Incremental { from, to, with_old: true },
        ..read("x", INCREMENTAL, INCREMENTAL_FILES).unwrap()
    };
    belong_together(&[export(0, 10), export(10, 20), export(15, 30)]).unwrap();
    let hole = belong_together(&[export(0, 10), export(11, 20)]).unwrap_err();
    assert!(hole.to_string().contains("is missing: export that too"), "{hole}");
    let full = read("x", FULL, FULL_FILES).unwrap();
    assert!(belong_together(std::slice::from_ref(&full)).is_ok());
    assert!(belong_together(&[full.clone(), full]).is_err());
}
