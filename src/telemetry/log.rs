//! How are logs written? To stderr, one line per event, as text or JSON; nothing that came from outside can forge a
//! line or steer a terminal.
//!
//! `RUST_LOG` has the usual meaning; without it watershed says `info` and everything else `warn`.

use std::fmt::{self, Write};
use std::io::IsTerminal as _;

use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::debug_fn;

const VARIABLE: &str = "RUST_LOG";
const DEFAULT: &str = "warn,watershed=info";
/// What a library's error says may be as long as a response body. The start of it tells enough.
const LONGEST_FIELD: usize = 8 * 1024;

/// How a line looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For programs: one JSON object per line.
    Json,
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The variable cannot be understood.
    #[error("the environment variable {VARIABLE} is wrong: {0}")]
    Filter(String),
    /// Somebody else did it before.
    #[error("logging is set up already")]
    Twice,
}

/// Sets up logging for the process. `verbose` asks for more of what the default leaves out, step by step; what the
/// environment says goes before.
pub fn init(format: LogFormat, verbose: u8) -> Result<(), LogError> {
    let chosen = std::env::var(VARIABLE).unwrap_or_else(|_| louder(verbose).to_owned());
    // Colours are for people, and only for those who did not refuse them (https://no-color.org).
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let subscriber = subscriber(format, filter(&chosen)?, std::io::stderr, colours);
    tracing::subscriber::set_global_default(subscriber).map_err(|_| LogError::Twice)
}

fn louder(verbose: u8) -> &'static str {
    match verbose {
        0 => DEFAULT,
        1 => "warn,watershed=debug",
        2 => "info,watershed=trace",
        _ => "debug,watershed=trace",
    }
}

fn filter(chosen: &str) -> Result<EnvFilter, LogError> {
    let directives = if chosen.trim().is_empty() { DEFAULT } else { chosen };
    EnvFilter::try_new(directives).map_err(|error| LogError::Filter(error.to_string()))
}

fn subscriber<W>(format: LogFormat, filter: EnvFilter, writer: W, colours: bool) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    match format {
        // JSON escapes control characters itself.
        LogFormat::Json => Box::new(lines.json().flatten_event(true).finish()),
        LogFormat::Text => {
            let fields = debug_fn(|line, field, value| {
                if field.name() != "message" {
                    write!(line, "{}=", field.name())?;
                }
                write!(Harmless { line, left: LONGEST_FIELD }, "{value:?}")
            });
            Box::new(lines.with_ansi(colours).fmt_fields(fields.delimited(" ")).finish())
        }
    }
}

/// Writes text so that it stays on its line and prints as itself: control characters (line ends, escape sequences)
/// and those that turn the direction of writing become `\n`, `\u{1b}` and the like.
struct Harmless<'a> {
    line: &'a mut dyn Write,
    left: usize,
}

impl Write for Harmless<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            if self.left == 0 {
                return Ok(());
            }
            self.left -= 1;
            if self.left == 0 {
                self.line.write_str("…")?;
            } else if is_harmful(c) {
                write!(self.line, "{}", c.escape_default())?;
            } else {
                self.line.write_char(c)?;
            }
        }
        Ok(())
    }
}

/// Whether a character would end the line, steer a terminal or turn the direction of writing.
pub(crate) fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{61c}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing::{info, info_span, warn};

    use super::*;

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, chosen: &str, work: impl FnOnce()) -> String {
        let captured = Captured::default();
        let writer = captured.clone();
        let subscriber = subscriber(format, filter(chosen).unwrap(), move || writer.clone(), false);
        tracing::subscriber::with_default(subscriber, work);
        String::from_utf8(captured.0.lock().unwrap().clone()).unwrap()
    }

    const EVIL: &str = "a\nINFO forged\r\u{1b}[31mred\u{7f}\u{9b}2J\u{202e}gnp\u{2028}\u{feff}";

    fn say_evil_things() {
        let error = std::io::Error::other(EVIL);
        let _span = info_span!("shard", id = %EVIL).entered();
        info!(display = %EVIL, debug = ?EVIL, plain = EVIL, %error, boxed = &error as &dyn std::error::Error, n = 3, "{EVIL}");
    }

    #[test]
    fn text_from_outside_stays_on_its_line() {
        let text = logged(LogFormat::Text, "", say_evil_things);
        assert_eq!(text.matches('\n').count(), 1, "{text:?}");
        let line = text.strip_suffix('\n').unwrap();
        assert!(!line.chars().any(is_harmful), "{line:?}");
        let shown = r"display=a\nINFO forged\r\u{1b}[31mred\u{7f}\u{9b}2J\u{202e}gnp\u{2028}\u{feff}";
        assert!(line.contains(shown), "{line}");
        assert!(line.contains(r"shard{id=a\nINFO forged"), "{line}");
        assert!(line.contains(" INFO ") && line.contains("n=3"), "{line}");
    }

    #[test]
    fn json_is_one_object_per_line_with_the_text_unharmed() {
        let text = logged(LogFormat::Json, "", say_evil_things);
        assert_eq!(text.matches('\n').count(), 1, "{text:?}");
        let event: serde_json::Value = serde_json::from_str(&text).unwrap();
        for field in ["message", "display", "plain", "error"] {
            assert_eq!(event[field], EVIL, "{field}");
        }
        assert_eq!((&event["level"], &event["n"]), (&"INFO".into(), &3.into()));
    }

    #[test]
    fn a_very_long_field_is_cut() {
        let text = logged(LogFormat::Text, "", || warn!(body = %"x".repeat(100_000), after = 1, "long"));
        assert!(text.len() < LONGEST_FIELD + 300, "{}", text.len());
        assert!(text.contains("xxx… after=1") && text.contains(" long "), "{}", &text[text.len() - 100..]);
    }

    #[test]
    fn watershed_informs_and_others_warn_unless_rust_log_says_otherwise() {
        let talk = || {
            info!("ours");
            tracing::debug!("our details");
            info!(target: "hyper", "theirs");
            warn!(target: "hyper", "their warning");
        };
        let said = |text: &str| ["ours", "our details", "theirs", "their warning"].map(|words| text.contains(words));
        assert_eq!(said(&logged(LogFormat::Text, "", talk)), [true, false, false, true]);
        assert_eq!(said(&logged(LogFormat::Text, " ", talk)), [true, false, false, true]);
        assert_eq!(said(&logged(LogFormat::Text, "error,watershed=debug", talk)), [true, true, false, false]);
        let wrong = filter("watershed=loud").unwrap_err().to_string();
        assert!(wrong.starts_with("the environment variable RUST_LOG is wrong: "), "{wrong}");
    }
}
