//! HTTP/1.1 messages, as much of them as the tests need: to talk to the servers' control ports, and to stand between the
//! binary and S3.

use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

/// A request or a response.
#[derive(Debug, Clone, Default)]
pub struct Message {
    /// The first line, without its end.
    pub start: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Message {
    pub fn response(status: &str, body: &str) -> Self {
        let headers = vec![("content-type".to_owned(), "application/xml".to_owned())];
        Self { start: format!("HTTP/1.1 {status}"), headers, body: body.into() }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The method and the target of a request.
    pub fn target(&self) -> (&str, &str) {
        let mut words = self.start.split(' ');
        (words.next().unwrap_or_default(), words.next().unwrap_or_default())
    }

    /// The status of a response.
    pub fn status(&self) -> u16 {
        self.start.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default()
    }

    /// Reads a head; `None` if the other side has closed the connection.
    pub fn read_head(from: &mut impl BufRead) -> io::Result<Option<Self>> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if from.read_line(&mut line)? == 0 {
                return if lines.is_empty() { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
            }
            match line.trim_end() {
                "" if lines.is_empty() => {}
                "" => break,
                line => lines.push(line.to_owned()),
            }
        }
        let start = lines.remove(0);
        let header =
            |line: String| line.split_once(':').map(|(name, value)| (name.to_owned(), value.trim().to_owned()));
        Ok(Some(Self { start, headers: lines.into_iter().filter_map(header).collect(), body: Vec::new() }))
    }

    /// Reads the body that the head announces. Without a length, a request has none and a response ends with its
    /// connection.
    pub fn read_body(&mut self, from: &mut impl BufRead, is_response: bool) -> io::Result<()> {
        if self.header("transfer-encoding").is_some_and(|value| value.contains("chunked")) {
            loop {
                let mut size = String::new();
                from.read_line(&mut size)?;
                let digits = size.trim().split(';').next().unwrap_or_default();
                let size = usize::from_str_radix(digits, 16).map_err(io::Error::other)?;
                let mut chunk = vec![0; size + 2];
                from.read_exact(&mut chunk)?;
                if size == 0 {
                    break;
                }
                self.body.extend(&chunk[..size]);
            }
            self.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("transfer-encoding"));
        } else if let Some(length) = self.header("content-length").and_then(|length| length.parse().ok()) {
            self.body.resize(length, 0);
            from.read_exact(&mut self.body)?;
        } else if is_response {
            from.read_to_end(&mut self.body)?;
        }
        Ok(())
    }

    /// The head, for a connection that ends with this message.
    pub fn head(&self, length: usize) -> Vec<u8> {
        let mut head = format!("{}\r\n", self.start);
        for (name, value) in &self.headers {
            if !["content-length", "connection", "expect"].iter().any(|own| name.eq_ignore_ascii_case(own)) {
                head.push_str(&format!("{name}: {value}\r\n"));
            }
        }
        head.push_str(&format!("content-length: {length}\r\nconnection: close\r\n\r\n"));
        head.into_bytes()
    }
}

/// Sends a request to a loopback port and reads the answer.
pub fn exchange(port: u16, request: &Message) -> io::Result<Message> {
    let mut connection = connect(port)?;
    connection.write_all(&request.head(request.body.len()))?;
    connection.write_all(&request.body)?;
    let is_head = request.target().0 == "HEAD";
    read_response(&mut BufReader::new(connection), is_head)
}

pub fn connect(port: u16) -> io::Result<TcpStream> {
    let connection = TcpStream::connect(("127.0.0.1", port))?;
    connection.set_nodelay(true)?;
    connection.set_read_timeout(Some(Duration::from_secs(120)))?;
    Ok(connection)
}

pub fn read_response(from: &mut impl BufRead, to_head: bool) -> io::Result<Message> {
    loop {
        let mut response = Message::read_head(from)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        if response.status() / 100 == 1 {
            continue;
        }
        if !to_head && !matches!(response.status(), 204 | 304) {
            response.read_body(from, true)?;
        }
        return Ok(response);
    }
}

/// A request without headers; the path is encoded already.
pub fn call(port: u16, method: &str, target: &str, body: &[u8]) -> io::Result<Message> {
    let headers = vec![("host".to_owned(), format!("127.0.0.1:{port}"))];
    exchange(port, &Message { start: format!("{method} {target} HTTP/1.1"), headers, body: body.to_vec() })
}

/// A path with everything escaped that is not plain.
pub fn escaped(path: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte);
    path.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
