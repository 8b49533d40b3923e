//! How many changes a second does `watershed run` deliver to a webhook on this machine, beside the lake?
//!
//! ```text
//! cargo bench --bench deliver [-- CHANGES...]     10000 50000 unless said otherwise
//! ```
//!
//! Every call is one signed change. The endpoint is in this process and answers at once; its CPU time is not counted.

mod daemon;
mod measure;
mod workload;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use workload::Workload;

/// Calls at a time.
const LANES: [usize; 2] = [1, 10];

fn main() {
    let sizes: Vec<usize> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let sizes = if sizes.is_empty() { vec![10_000, 50_000] } else { sizes };
    println!("  changes  lanes  user s   sys s  wall s  calls/s core  calls/s wall  peak MB");
    for changes in sizes {
        for lanes in LANES {
            one(changes, lanes);
        }
    }
}

fn one(changes: usize, lanes: usize) {
    let work = tempfile::tempdir().expect("a folder");
    fs::create_dir(work.path().join("recorded")).expect("a folder");
    daemon::record(&work.path().join("recorded/0.ndjson"), Workload::Reply.changes(1), changes);
    fs::write(work.path().join("secret"), "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD\n").expect("written");
    let (port, calls) = endpoint();
    let pipeline = work.path().join("pipeline.toml");
    fs::write(&pipeline, described(work.path(), port, lanes)).expect("written");
    let took = daemon::run(&pipeline, &[]);
    assert_eq!(calls.load(Ordering::Relaxed), changes as u64, "each change once");
    let (user, system, wall) = (took.user.as_secs_f64(), took.system.as_secs_f64(), took.wall.as_secs_f64());
    println!(
        "{changes:>9}  {lanes:>5}  {user:>6.2}  {system:>6.2}  {wall:>6.2}  {:>12.0}  {:>12.0}  {:>7.0}",
        changes as f64 / (user + system),
        changes as f64 / wall,
        took.peak as f64 / 1e6,
    );
}

fn described(work: &Path, port: u16, lanes: usize) -> String {
    let work = work.display();
    format!(
        "name = \"bench\"\nstate = \"folder:{work}/state\"\n[source]\ntype = \"file\"\npath = \"{work}/recorded\"\n\
         [lake]\npath = \"{work}/lake\"\n[lake.tables.Reply]\nkeys = [\"Id\", \"ReplyDateTime\"]\n\
         [[handlers]]\nname = \"hook\"\ntype = \"webhook\"\nurl = \"http://127.0.0.1:{port}/\"\n\
         secret = \"file:{work}/secret\"\nallow_private = true\nparallelization_factor = {lanes}\n"
    )
}

/// Takes every call; its port, and how many calls it has taken.
fn endpoint() -> (u16, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let (port, calls) = (listener.local_addr().expect("a port").port(), Arc::new(AtomicU64::new(0)));
    let taken = calls.clone();
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let taken = taken.clone();
            std::thread::spawn(move || serve(connection, &taken));
        }
    });
    (port, calls)
}

fn serve(mut connection: TcpStream, taken: &AtomicU64) -> Option<()> {
    connection.set_nodelay(true).ok()?;
    let mut reader = BufReader::new(connection.try_clone().ok()?);
    let mut line = String::new();
    loop {
        let mut length = 0;
        loop {
            line.clear();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            match line.trim_end().split_once(": ") {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.parse().ok()?,
                Some(_) => {}
                None if line.trim().is_empty() => break,
                None => {}
            }
        }
        std::io::copy(&mut reader.by_ref().take(length), &mut std::io::sink()).ok()?;
        taken.fetch_add(1, Ordering::Relaxed);
        connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").ok()?;
    }
}
