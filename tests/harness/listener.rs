//! A port of this machine at which a test answers.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Listens until it is dropped.
pub struct Listener {
    pub port: u16,
    closed: Arc<AtomicBool>,
}

impl Listener {
    /// Serves each connection on a thread of its own. One that breaks is the other side's end, or the very fault that was
    /// wanted.
    pub fn start(serve: impl Fn(TcpStream) -> io::Result<()> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (serve, closed) = (Arc::new(serve), Arc::new(AtomicBool::new(false)));
        let ends = closed.clone();
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                if ends.load(Ordering::Relaxed) {
                    break;
                }
                let serve = serve.clone();
                std::thread::spawn(move || drop(serve(connection)));
            }
        });
        Self { port, closed }
    }

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts, so that the port is given back.
        drop(TcpStream::connect(("127.0.0.1", self.port)));
    }
}
