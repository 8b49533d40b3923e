//! The suite that every object store must pass: what the lake takes for granted, tried out.

use std::collections::BTreeSet;
use std::task::Poll;

use bytes::Bytes;

use crate::BoxFuture;
use crate::lake::store::{Listed, ObjectStore, StoreError};

/// More than one page of S3's listing (1,000 objects).
const MANY: usize = 1_500;

/// Above the size from which the S3 store uploads in parts.
const LARGE: usize = (16 << 20) + 12_345;

/// How many requests are under way at once.
const SIDE_BY_SIDE: usize = 32;

/// Names that need care on their way through URLs, XML, listings and file systems.
const ODD_NAMES: [&str; 17] = [
    "with space and  two",
    "percent%2Fescaped",
    "percent%252Ftwice",
    "100%",
    "a+b+c",
    "key=value",
    "tilde~0123456789abcdef",
    "Zoë/日本語/😀",
    "e\u{301} decomposed",
    "not XML \u{ffff} \u{fffe}",
    "&amp;<tag>'\"quotes\"",
    "semi;colon,comma:colon",
    "#hash?query",
    "back\\slash",
    "(round)[square]{curly}^`|",
    "...",
    "@at!bang$dollar*star",
];

/// Tries everything the lake asks of a store. Panics where the store does not conform.
///
/// Wants a store without objects, and leaves some 1,600 of them there (60 MiB): nothing is ever deleted.
pub async fn conformance(store: &dyn ObjectStore) {
    an_object_is_created_once(store).await;
    what_is_not_there_is_none(store).await;
    odd_names_come_back(store).await;
    of_racing_creates_one_wins(store).await;
    a_large_object_is_whole(store).await;
    a_listing_is_sorted_and_complete(store).await;
    paths_stay_in_the_lake(store).await;
    if store.takes_parts() {
        an_upload_is_seen_once_it_is_complete(store).await;
        of_racing_uploads_one_wins(store).await;
        what_was_aborted_is_gone(store).await;
    }
}

/// The smallest part that S3 takes before the last.
const PART: usize = 5 << 20;

async fn an_upload_is_seen_once_it_is_complete(store: &dyn ObjectStore) {
    let path = "upload/one.parquet";
    let whole = patterned(2 * PART + 77, 1);
    let part = |n: usize| whole.slice(n * PART..whole.len().min((n + 1) * PART));
    let upload = store.begin(path).await.expect("begin");
    upload.part(3, part(2)).await.expect("the last part first");
    upload.part(1, patterned(PART, 9)).await.expect("a part");
    upload.part(2, part(1)).await.expect("a part");
    upload.part(1, part(0)).await.expect("a part again");
    assert_eq!(store.get(path).await.expect("get"), None);
    assert_eq!(paths(store, "upload", None).await, [""; 0]);
    upload.complete().await.expect("complete");
    assert!(store.get(path).await.expect("get") == Some(whole.clone()), "not what was uploaded");
    // Some stores say so, others that it is gone; none makes anything of it.
    upload.abort().await;
    assert_eq!(store.size(path).await.expect("size"), Some(whole.len() as u64));
    assert!(matches!(store.create(path, Bytes::new()).await, Err(StoreError::Exists(_))));
}

async fn of_racing_uploads_one_wins(store: &dyn ObjectStore) {
    let path = "upload/race.parquet";
    let bodies: Vec<Bytes> = (0..3u8).map(|racer| patterned(PART + 1, racer)).collect();
    let mut uploads = Vec::new();
    for body in &bodies {
        let upload = store.begin(path).await.expect("begin");
        upload.part(1, body.slice(..PART)).await.expect("a part");
        upload.part(2, body.slice(PART..)).await.expect("a part");
        uploads.push(upload);
    }
    let answers = all(uploads.iter().map(|upload| upload.complete()).collect()).await;
    let winners: Vec<usize> = (0..bodies.len()).filter(|&n| answers[n].is_ok()).collect();
    let [winner] = winners[..] else { panic!("{} of the racing uploads were completed", winners.len()) };
    assert!(store.get(path).await.expect("get").as_ref() == Some(&bodies[winner]));
    for upload in &uploads {
        upload.abort().await;
    }
    assert!(store.get(path).await.expect("get").as_ref() == Some(&bodies[winner]));

    // One that comes when the object is there already.
    let late = store.begin(path).await.expect("begin");
    late.part(1, Bytes::from_static(b"late")).await.expect("a part");
    let answer = late.complete().await;
    assert!(matches!(answer, Err(StoreError::Exists(_))), "{answer:?}");
    late.abort().await;
    assert!(store.get(path).await.expect("get").as_ref() == Some(&bodies[winner]));
}

async fn what_was_aborted_is_gone(store: &dyn ObjectStore) {
    let path = "upload/aborted.parquet";
    let upload = store.begin(path).await.expect("begin");
    upload.part(1, Bytes::from_static(b"part")).await.expect("a part");
    upload.abort().await;
    upload.abort().await;
    let part = upload.part(2, Bytes::from_static(b"part")).await;
    assert!(matches!(part, Err(StoreError::Gone(_))), "{part:?}");
    let completed = upload.complete().await;
    assert!(matches!(completed, Err(StoreError::Gone(_))), "{completed:?}");
    assert_eq!(store.size(path).await.expect("size"), None);
}

async fn an_object_is_created_once(store: &dyn ObjectStore) {
    let path = "once/one.json";
    store.create(path, Bytes::from_static(b"first")).await.expect("the first create");
    for body in [&b"second"[..], b"first", b""] {
        let again = store.create(path, Bytes::copy_from_slice(body)).await;
        assert!(matches!(again, Err(StoreError::Exists(_))), "a second create said {again:?}");
    }
    assert_eq!(store.get(path).await.expect("get").as_deref(), Some(&b"first"[..]));
    assert_eq!(store.size(path).await.expect("size"), Some(5));

    let empty = "once/empty";
    store.create(empty, Bytes::new()).await.expect("an empty object");
    assert!(matches!(store.create(empty, Bytes::new()).await, Err(StoreError::Exists(_))));
    assert_eq!(store.get(empty).await.expect("get"), Some(Bytes::new()));
    assert_eq!(store.size(empty).await.expect("size"), Some(0));
}

async fn what_is_not_there_is_none(store: &dyn ObjectStore) {
    // The folder of an object is not an object.
    for path in ["nothing", "no/such/folder/here", "once/one", "once"] {
        assert_eq!(store.get(path).await.expect("get of nothing"), None, "{path}");
        assert_eq!(store.size(path).await.expect("size of nothing"), None, "{path}");
    }
    assert_eq!(store.list("nothing", None).await.expect("list of nothing"), []);
    assert_eq!(store.list("onc", None).await.expect("list"), [], "a listing's folder is a whole name");
}

async fn odd_names_come_back(store: &dyn ObjectStore) {
    let mut expected = BTreeSet::new();
    for name in ODD_NAMES {
        let path = format!("odd/{name}/{name}.json");
        store.create(&path, Bytes::copy_from_slice(path.as_bytes())).await.expect(name);
        assert!(matches!(store.create(&path, Bytes::new()).await, Err(StoreError::Exists(_))), "{name}");
        assert_eq!(store.get(&path).await.expect(name).as_deref(), Some(path.as_bytes()), "{name}");
        assert_eq!(store.size(&path).await.expect(name), Some(path.len() as u64), "{name}");
        if !is_echoed_raw(name) {
            assert_eq!(paths(store, &format!("odd/{name}"), None).await, std::slice::from_ref(&path));
        }
        expected.insert(path);
    }
    assert_eq!(paths(store, "odd", None).await, Vec::from_iter(expected.clone()));
    for after in expected.iter().filter(|after| !is_echoed_raw(after)) {
        let behind: Vec<_> = expected.iter().filter(|path| *path > after).cloned().collect();
        assert_eq!(paths(store, "odd", Some(after)).await, behind, "after {after}");
    }
}

/// moto encodes the keys of a listing, but not the request that it repeats beside them, so that its XML breaks. A key
/// like this is listed all the same; we only do not ask for it by name.
fn is_echoed_raw(path: &str) -> bool {
    path.contains('\u{ffff}')
}

async fn of_racing_creates_one_wins(store: &dyn ObjectStore) {
    for round in 0..5 {
        let path = format!("race/{round}");
        let bodies: Vec<Bytes> = (0..SIDE_BY_SIDE).map(|n| format!("racer {n}").into()).collect();
        winner(store, &path, &bodies).await;
    }
}

async fn a_large_object_is_whole(store: &dyn ObjectStore) {
    let bodies: Vec<Bytes> = (0..3u8).map(|racer| patterned(LARGE, racer)).collect();
    winner(store, "large/object.parquet", &bodies).await;
    assert_eq!(store.size("large/object.parquet").await.expect("size"), Some(LARGE as u64));
}

/// Creates `path` with every body at once: one gets it, the others are told so or are left in doubt (S3: 409), and a
/// reader finds the winner's bytes.
async fn winner(store: &dyn ObjectStore, path: &str, bodies: &[Bytes]) {
    let answers = all(bodies.iter().map(|body| store.create(path, body.clone())).collect()).await;
    let winners: Vec<usize> = (0..bodies.len()).filter(|&n| answers[n].is_ok()).collect();
    for answer in &answers {
        assert!(matches!(answer, Ok(()) | Err(StoreError::Exists(_) | StoreError::Unsettled(_))), "{answer:?}");
    }
    let [winner] = winners[..] else { panic!("{path}: {} of the racing creates succeeded", winners.len()) };
    let found = store.get(path).await.expect("get").expect("the winner's object");
    // Not assert_eq!, which would print megabytes.
    assert!(found == bodies[winner], "{path}: not the winner's {} bytes, but {}", bodies[winner].len(), found.len());
    assert!(matches!(store.create(path, bodies[0].clone()).await, Err(StoreError::Exists(_))));
}

async fn a_listing_is_sorted_and_complete(store: &dyn ObjectStore) {
    let many: Vec<String> = (0..MANY).map(|n| format!("many/{n:020}.json")).collect();
    // Neighbours in byte order: `-` and `.` sort before `/`, `0` behind it.
    let neighbours = ["many-1/x", "many.x", "many0/x", "man/x", "Many/x"].map(str::to_owned);
    let to_create: Vec<&String> = many.iter().chain(&neighbours).collect();
    for paths in to_create.chunks(SIDE_BY_SIDE) {
        let body = Bytes::from_static(b"{}");
        let answers = all(paths.iter().map(|path| store.create(path, body.clone())).collect()).await;
        for (path, answer) in paths.iter().zip(answers) {
            answer.expect(path);
        }
    }
    assert_eq!(paths(store, "many", None).await, many);
    for skip in [1, 999, 1_000, 1_001, MANY - 1, MANY] {
        assert_eq!(paths(store, "many", Some(&many[skip - 1])).await, many[skip..], "after {skip}");
    }
    assert_eq!(paths(store, "many", Some("many/")).await, many);
    assert_eq!(paths(store, "many", Some("man")).await, many, "`after` need not be there, nor in the folder");
    assert_eq!(paths(store, "many", Some("many0")).await, [""; 0]);
    let sizes = store.list("many", Some(&many[MANY - 2])).await.expect("list");
    assert_eq!(sizes, [Listed { path: many[MANY - 1].clone(), size: 2 }]);

    let mut deep = ["deep/b/c", "deep/b-c", "deep/b0", "deep/a/z/z/z", "deep/b/c-d/e", "deep/b/c.json"];
    for path in deep {
        store.create(path, Bytes::new()).await.expect(path);
    }
    deep.sort_unstable();
    // A file system cannot hold both `b/c` and `b/c/d`; nothing else may differ.
    assert_eq!(paths(store, "deep", None).await, deep);
    for (n, after) in deep.iter().enumerate() {
        assert_eq!(paths(store, "deep", Some(after)).await, deep[n + 1..], "after {after}");
    }
    let whole = paths(store, "", None).await;
    assert!(whole.is_sorted() && whole.len() > MANY && whole.contains(&"once/empty".to_owned()));
}

async fn paths_stay_in_the_lake(store: &dyn ObjectStore) {
    for path in ["", "/", "/etc/passwd", "a/../b", "../a", "..", "./a", "a//b", "a/", "a\0b"] {
        let created = store.create(path, Bytes::new()).await;
        assert!(matches!(created, Err(StoreError::Fatal(_))), "create {path:?} said {created:?}");
        assert!(matches!(store.get(path).await, Err(StoreError::Fatal(_))), "get {path:?}");
        assert!(matches!(store.size(path).await, Err(StoreError::Fatal(_))), "size {path:?}");
        if !path.is_empty() {
            assert!(matches!(store.list(path, None).await, Err(StoreError::Fatal(_))), "list {path:?}");
        }
    }
}

async fn paths(store: &dyn ObjectStore, folder: &str, after: Option<&str>) -> Vec<String> {
    store.list(folder, after).await.expect("list").into_iter().map(|listed| listed.path).collect()
}

/// Bytes that no shift or swap of parts leaves the same.
fn patterned(len: usize, filler: u8) -> Bytes {
    let mut bytes = vec![filler; len];
    for (number, block) in (0u32..).zip(bytes.chunks_exact_mut(256)) {
        block[..4].copy_from_slice(&number.to_le_bytes());
    }
    bytes.into()
}

/// Drives all futures at once, in one task, and collects their answers in order.
async fn all<T>(mut futures: Vec<BoxFuture<'_, T>>) -> Vec<T> {
    let mut answers: Vec<Option<T>> = futures.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, answer) in futures.iter_mut().zip(&mut answers) {
            if answer.is_none()
                && let Poll::Ready(ready) = future.as_mut().poll(context)
            {
                *answer = Some(ready);
            }
        }
        if answers.iter().all(Option::is_some) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    answers.into_iter().flatten().collect()
}
