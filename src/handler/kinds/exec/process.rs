//! How does a child process live and die, and what becomes of what it says?

use std::io;
use std::process::Stdio;

use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};

use crate::handler::kinds::payloads::said;

/// The longest verdict, in bytes.
const MAX_LINE: usize = 64 << 10;
/// How much of a line of stderr is kept, in bytes.
const MAX_SAID: usize = 4 << 10;

/// A running program. Dropped while it is idle, its stdin closes, and it ends by itself; dropped in a call, it is killed.
pub(super) struct Process {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    busy: bool,
}

/// Why there is no verdict.
#[derive(Debug)]
pub(super) enum Broken {
    /// The program's stdout has ended.
    Ended,
    /// It says what no program should.
    Words(String),
}

/// Where changes go in.
pub(super) struct Input<'a>(&'a mut ChildStdin);

/// Where verdicts come out. Dropped with everything answered, the process is idle again.
pub(super) struct Output<'a> {
    from: &'a mut BufReader<ChildStdout>,
}

impl Process {
    /// Starts the program. What it writes to stderr goes into the log of `handler`.
    pub(super) fn start(command: &[String], handler: &str) -> io::Result<Self> {
        let Some((program, arguments)) = command.split_first() else {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        };
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // A Ctrl-C on the terminal is for us: what is on its way is still to be answered.
        #[cfg(unix)]
        command.process_group(0);
        let mut child = command.spawn()?;
        let missing = || io::Error::from(io::ErrorKind::BrokenPipe);
        let input = child.stdin.take().ok_or_else(missing)?;
        let output = BufReader::new(child.stdout.take().ok_or_else(missing)?);
        if let Some(stderr) = child.stderr.take() {
            tokio::spawn(tell(stderr, handler.to_owned()));
        }
        Ok(Self { child, input, output, busy: false })
    }

    /// Whether it has not ended.
    pub(super) fn lives(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Its two ends, for one call. From here on it is busy, until [`Self::rest`].
    pub(super) fn ends(&mut self) -> (Input<'_>, Output<'_>) {
        self.busy = true;
        (Input(&mut self.input), Output { from: &mut self.output })
    }

    /// The call has ended well.
    pub(super) fn rest(&mut self) {
        self.busy = false;
    }

    /// Ends it.
    pub(super) async fn kill(mut self) {
        // It fails only if the program has ended already.
        _ = self.child.kill().await;
        self.busy = false;
    }

    /// How it ended, once its stdout has. A program that closes its stdout and lives on is killed.
    pub(super) async fn obituary(&mut self) -> String {
        _ = self.child.start_kill();
        match self.child.wait().await {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.busy {
            _ = self.child.start_kill();
        }
    }
}

impl Input<'_> {
    pub(super) async fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        self.0.write_all(lines).await?;
        self.0.flush().await
    }
}

impl Output<'_> {
    /// The next line that is not empty.
    pub(super) async fn line(&mut self) -> Result<Vec<u8>, Broken> {
        loop {
            let (line, whole) =
                line(self.from, MAX_LINE, false).await.map_err(|_| Broken::Ended)?.ok_or(Broken::Ended)?;
            if !whole {
                return Err(Broken::Words(format!("a line of the program's stdout has more than {MAX_LINE} bytes")));
            }
            if !line.trim_ascii().is_empty() {
                return Ok(line);
            }
        }
    }
}

/// Puts what a program says on stderr into the log.
async fn tell(stderr: ChildStderr, handler: String) {
    let mut from = BufReader::new(stderr);
    while let Ok(Some((line, _))) = line(&mut from, MAX_SAID, true).await {
        let text = String::from_utf8_lossy(&line);
        if !text.trim().is_empty() {
            tracing::info!(handler, "the program says: {}", said(text.trim_end()));
        }
    }
}

/// The next line without its end, of at most `most` bytes, and whether that is all of it; `None` at the end. The rest of
/// what is longer is left out if the `next` line is wanted, and not waited for otherwise.
async fn line(from: &mut (impl AsyncBufRead + Unpin), most: usize, next: bool) -> io::Result<Option<(Vec<u8>, bool)>> {
    let (mut kept, mut whole, mut any) = (Vec::new(), true, false);
    loop {
        let buffer = from.fill_buf().await?;
        if buffer.is_empty() {
            return Ok(any.then_some((kept, whole)));
        }
        any = true;
        let end = memchr::memchr(b'\n', buffer);
        let piece = &buffer[..end.unwrap_or(buffer.len())];
        let room = most.saturating_sub(kept.len()).min(piece.len());
        whole &= room == piece.len();
        kept.extend_from_slice(&piece[..room]);
        let used = piece.len() + usize::from(end.is_some());
        from.consume(used);
        if end.is_some() || !(whole || next) {
            return Ok(Some((kept, whole)));
        }
    }
}
