//! How does a pipeline file get from the disk into a [`Pipeline`], and what if it cannot be read?

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use super::nearest::nearest;
use super::problem::Problem;
use super::spec::Pipeline;
use super::text::{Lines, printable};

/// The largest pipeline file, in bytes: 1 MiB. Whatever is larger is another file.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Reads a pipeline file.
pub fn load(path: &Path) -> Result<Pipeline, Vec<Problem>> {
    let text = text_of(path).map_err(|unreadable| vec![unreadable.problem])?;
    super::read(&path.display().to_string(), &text)
}

/// The text of a file that a pipeline file names; else why there is none, as a sentence without a subject.
pub(super) fn text_of_reference(path: &Path) -> Result<String, String> {
    text_of(path).map_err(|unreadable| unreadable.problem.found)
}

/// A file that is no text.
pub(super) struct Unreadable {
    /// Why.
    pub(super) problem: Problem,
    /// As much of it as can be shown.
    pub(super) text: String,
}

/// The text of a file.
pub(super) fn text_of(path: &Path) -> Result<String, Box<Unreadable>> {
    let unreadable = |found: String, cure: &str| {
        let (file, key, cure) = (path.display().to_string(), String::new(), Some(cure.to_owned()));
        let problem = Problem { file, place: None, key, found, expected: None, cure };
        Box::new(Unreadable { problem, text: String::new() })
    };
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes));
    read.map_err(|error| unreadable(format!("cannot be read: {error}"), &cure_of(path, &error)))?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(unreadable(format!("is larger than {MAX_FILE_BYTES} bytes"), "name a pipeline file"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let byte = error.as_bytes().get(valid).copied().unwrap_or_default();
        let mut unreadable = unreadable(format!("is not UTF-8: byte 0x{byte:02X}"), "save the file as UTF-8");
        let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
        unreadable.problem.place = Some(Lines::new(&text).place(valid..valid + 1));
        unreadable.text = text;
        unreadable
    })
}

fn cure_of(path: &Path, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => match neighbour(path) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => "paths are relative to the working directory".to_owned(),
        },
        io::ErrorKind::IsADirectory => "name a file in this folder".to_owned(),
        io::ErrorKind::PermissionDenied => "make it readable for this user".to_owned(),
        _ => "check the path and the disk".to_owned(),
    }
}

/// The file in the same folder whose name is closest.
fn neighbour(path: &Path) -> Option<String> {
    let folder = path.parent()?;
    let wanted = path.file_name()?.to_str()?;
    let listed = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let entries = std::fs::read_dir(listed).ok()?.filter_map(Result::ok);
    let names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    let meant = nearest(wanted, names.iter().map(String::as_str).filter(|name| name.ends_with(".toml")))?;
    Some(printable(&folder.join(meant).display().to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_read_is_a_problem_with_a_cure() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        std::fs::write(file("forum.toml"), "name = \"forum\"").unwrap();
        std::fs::write(file("latin1.toml"), b"# \xc3\xa9\nname = \"caf\xe9\"\n").unwrap();
        std::fs::write(file("huge.toml"), vec![b'#'; MAX_FILE_BYTES as usize + 1]).unwrap();
        let shown = |path: &Path| {
            let problems = load(path).unwrap_err();
            assert_eq!(problems.len(), 1);
            problems[0].to_string().replace(&folder.path().display().to_string(), "DIR")
        };
        let cases = [
            (
                "forumm.toml",
                "DIR/forumm.toml: cannot be read: No such file or directory (os error 2); did you mean `DIR/forum.toml`?",
            ),
            (
                "other.toml",
                "DIR/other.toml: cannot be read: No such file or directory (os error 2); paths are relative to the working directory",
            ),
            ("latin1.toml", "DIR/latin1.toml:2:12: is not UTF-8: byte 0xE9; save the file as UTF-8"),
            ("huge.toml", "DIR/huge.toml: is larger than 1048576 bytes; name a pipeline file"),
        ];
        for (name, expected) in cases {
            assert_eq!(shown(&file(name)), expected);
        }
        assert_eq!(
            shown(folder.path()),
            "DIR: cannot be read: Is a directory (os error 21); name a file in this folder"
        );
    }
}
