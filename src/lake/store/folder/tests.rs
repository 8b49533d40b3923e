//! What a folder does beyond the conformance suite: durability cannot be tested here, the rest can.

use super::*;
use crate::testing::store::conformance;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

async fn open(root: &Path) -> FolderStore {
    FolderStore::open(root, &Clock::system()).await.unwrap()
}

fn temporary_files(root: &Path) -> usize {
    fs::read_dir(root.join(TEMPORARY)).unwrap().count()
}

fn fatal<T: std::fmt::Debug>(answer: Result<T, StoreError>) -> String {
    match answer {
        Err(StoreError::Fatal(text)) => text,
        other => panic!("not fatal: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_conforms() {
    let root = tempfile::tempdir().unwrap();
    conformance(&open(root.path()).await).await;
    assert_eq!(temporary_files(root.path()), 0);
}

#[tokio::test]
async fn a_lake_stays_when_it_is_opened_again() {
    let root = tempfile::tempdir().unwrap();
    let nested = root.path().join("lake/forum");
    open(&nested).await.create("Reply/day=1/a.parquet", Bytes::from_static(b"rows")).await.unwrap();
    let again = open(&nested).await;
    assert_eq!(again.get("Reply/day=1/a.parquet").await.unwrap().as_deref(), Some(&b"rows"[..]));
    assert_eq!(again.list("", None).await.unwrap().len(), 1, "temporary files are not listed");
    assert_eq!(again.describe(), nested.display().to_string());
}

#[tokio::test]
async fn only_old_temporary_files_are_left_overs() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join(TEMPORARY);
    fs::create_dir_all(&folder).unwrap();
    let now = SystemTime::UNIX_EPOCH + Duration::from_micros(Clock::system().wall_micros() as u64);
    for (name, age) in [("old-0.tmp", DAY * 2), ("new-0.tmp", DAY / 2), ("somebody-elses.txt", DAY * 2)] {
        let file = fs::File::create(folder.join(name)).unwrap();
        file.set_modified(now - age).unwrap();
    }
    let store = open(root.path()).await;
    assert!(!folder.join("old-0.tmp").exists());
    assert_eq!(temporary_files(root.path()), 2);
    assert_eq!(store.get("_watershed/tmp/new-0.tmp").await.unwrap(), None, "they are no objects");
    assert_eq!(store.list("_watershed", None).await.unwrap(), []);
    assert_eq!(store.list("_watershed/tmp", None).await.unwrap(), []);
    fatal(store.create("_watershed/tmp/x", Bytes::new()).await);
}

#[tokio::test]
async fn processes_with_the_same_token_do_not_meet_in_their_temporary_files() {
    let root = tempfile::tempdir().unwrap();
    let (one, two) = (Clock::simulated(7, 0), Clock::simulated(7, 0));
    let (one, two) = (FolderStore::open(root.path(), &one).await, FolderStore::open(root.path(), &two).await);
    let (one, two) = (one.unwrap(), two.unwrap());
    let (_, first) = one.shared.create_temporary().unwrap();
    let (_, second) = two.shared.create_temporary().unwrap();
    assert_ne!(first, second);
}

#[tokio::test]
async fn folders_removed_under_us_are_made_again() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path()).await;
    store.create("a/b/c", Bytes::new()).await.unwrap();
    fs::remove_dir_all(root.path().join("a")).unwrap();
    fs::remove_dir_all(root.path().join("_watershed")).unwrap();
    store.create("a/b/c", Bytes::new()).await.unwrap();
}

#[cfg(unix)]
#[tokio::test]
async fn symbolic_links_are_refused_wherever_they_lead() {
    let root = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), b"secret").unwrap();
    let store = open(root.path()).await;
    store.create("inside/object", Bytes::new()).await.unwrap();
    let link = |to: &Path, name: &str| std::os::unix::fs::symlink(to, root.path().join(name)).unwrap();
    link(outside.path(), "out");
    link(&root.path().join("inside"), "in");
    link(&outside.path().join("secret"), "inside/file");
    link(&root.path().join("nowhere"), "inside/dangling");

    for path in ["out/new", "out/deep/new", "out/secret", "in/new", "inside/file", "inside/dangling"] {
        fatal(store.create(path, Bytes::new()).await);
    }
    for path in ["out/secret", "in/object", "inside/file"] {
        let text = fatal(store.get(path).await);
        assert!(text.contains("symbolic link"), "{text}");
        fatal(store.size(path).await);
    }
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1, "nothing was written outside");
    for folder in ["", "inside"] {
        assert_eq!(store.list(folder, None).await.unwrap().len(), 1, "{folder}: links are not listed");
    }
    for folder in ["out", "in"] {
        fatal(store.list(folder, None).await);
    }
    // The lake's own path may be one: that is the user's choice.
    link(&root.path().join("inside"), "lake");
    open(&root.path().join("lake")).await.create("x", Bytes::new()).await.unwrap();
}

#[tokio::test]
async fn what_a_retry_does_not_mend_says_the_cure() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path()).await;
    store.create("file", Bytes::new()).await.unwrap();
    let text = fatal(store.create("file/below", Bytes::new()).await);
    assert!(text.contains("file"), "{text}");
    assert_eq!(store.get("file/below").await.unwrap(), None);
    store.create("folder/object", Bytes::new()).await.unwrap();
    let text = fatal(store.create("folder", Bytes::new()).await);
    assert!(text.contains("not a file"), "{text}");
    let text = fatal(store.create(&"x".repeat(300), Bytes::new()).await);
    assert!(text.contains("too long"), "{text}");
    fatal(FolderStore::open(root.path().join("file"), &Clock::system()).await);

    for (kind, cure) in [
        (ErrorKind::StorageFull, "full"),
        (ErrorKind::QuotaExceeded, "quota"),
        (ErrorKind::PermissionDenied, "owner or mode"),
        (ErrorKind::ReadOnlyFilesystem, "read-only"),
        (ErrorKind::Other, "disk"),
    ] {
        let text = fatal::<()>(Err(failed("write", Path::new("/lake/x"), &kind.into())));
        assert!(text.contains("/lake/x") && text.contains(cure), "{text}");
    }
    for kind in [ErrorKind::TimedOut, ErrorKind::Interrupted, ErrorKind::StaleNetworkFileHandle] {
        assert!(matches!(failed("write", Path::new("x"), &kind.into()), StoreError::Unsettled(_)));
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_folder_that_may_not_be_written_is_fatal() {
    use std::os::unix::fs::PermissionsExt as _;
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path()).await;
    store.create("locked/first", Bytes::new()).await.unwrap();
    let locked = root.path().join("locked");
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o555)).unwrap();
    let answer = store.create("locked/second", Bytes::new()).await;
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o755)).unwrap();
    // Root may write everywhere.
    if answer.is_err() {
        let text = fatal(answer);
        assert!(text.contains("owner or mode"), "{text}");
    }
    assert_eq!(temporary_files(root.path()), 0);
}

#[tokio::test]
async fn an_upload_whose_temporary_file_was_taken_away_is_gone() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path()).await;
    let upload = store.begin("a/b").await.unwrap();
    upload.part(2, Bytes::from_static(b"c")).await.unwrap();
    let unfinished = fatal(upload.complete().await);
    assert!(unfinished.contains("a/b: its first part was never uploaded"), "{unfinished}");
    upload.part(1, Bytes::from_static(b"ab")).await.unwrap();
    fs::remove_dir_all(root.path().join("_watershed")).unwrap();
    let answer = upload.complete().await;
    assert!(matches!(answer, Err(StoreError::Gone(_))), "{answer:?}");
    assert_eq!(store.get("a/b").await.unwrap(), None);
}
