//! The transfer over HTTPS.
//!
//! It runs on a thread of its own that sends chunks here, so a mirror that hangs delays neither the
//! deadline nor the user's wish to stop. The clock that is read here bounds the waiting; it measures
//! nothing.

use std::io::{ErrorKind, Read, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tempfile::NamedTempFile;

use super::published::{Fetched, Limits, Progress, Published, is_right};
use crate::control::Control;
use crate::dataset::idx;
use crate::durable::{remove_temporary, temporary};
use crate::error::{Error, Result};

/// Folders of public mirrors that hold the four gzip files, in the order they are tried.
const MIRRORS: [&str; 3] = [
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://raw.githubusercontent.com/fgnt/mnist/master/",
];

/// How often a waiting download looks at the deadline and at the user's wish to stop.
const POLL: Duration = Duration::from_millis(50);

/// Files of MNIST from the first mirror that gives them; see [`super::fetch`].
pub(super) fn fetch(dir: &Path, files: &[Published], limits: Limits, progress: &dyn Fn(Progress<'_>), control: &Control) -> Result<Vec<Fetched>> {
    check_clock(SystemTime::now())?;
    let agent = agent(limits).https_only(true).build().new_agent();
    Session { agent, mirrors: &MIRRORS, deadline: Instant::now() + limits.overall, limits, progress, control }.fetch(dir, files)
}

/// Refuses a clock that TLS cannot count by.
fn check_clock(now: SystemTime) -> Result<()> {
    if now >= UNIX_EPOCH {
        return Ok(());
    }
    let problem = "the clock of this machine is set before 1970, so that no certificate is valid; set it".into();
    Err(Error::Download { url: MIRRORS[0].into(), problem })
}

fn agent(limits: Limits) -> ureq::config::ConfigBuilder<ureq::typestate::AgentScope> {
    ureq::Agent::config_builder()
        .timeout_resolve(Some(limits.connect))
        .timeout_connect(Some(limits.connect))
        .timeout_recv_response(Some(limits.stall))
        .timeout_per_read(Some(limits.stall))
        .max_redirects(3)
        .user_agent(concat!("cipherlane/", env!("CARGO_PKG_VERSION")))
}

/// What all mirrors said, in one line; once where they agree, as they do without a network.
fn summary(problems: &[(&str, String)]) -> String {
    match problems {
        [(_, first), _, ..] if problems.iter().all(|(_, p)| p == first) => format!("{first} (all {} mirrors)", problems.len()),
        _ => problems.iter().map(|(mirror, problem)| format!("{mirror}: {problem}")).collect::<Vec<_>>().join("; "),
    }
}

struct Session<'a> {
    agent: ureq::Agent,
    mirrors: &'a [&'a str],
    deadline: Instant,
    limits: Limits,
    progress: &'a dyn Fn(Progress<'_>),
    control: &'a Control,
}

/// What the transferring thread reports.
enum Message {
    /// The header has arrived; the length of the body where it is known.
    Body(Option<u64>),
    Chunk(Vec<u8>),
    End,
    Failed(String),
}

/// Why one mirror did not give the file.
enum Failure {
    /// The next mirror may do better.
    Mirror(String),
    /// No mirror can help.
    Final(Error),
}

impl From<Error> for Failure {
    fn from(e: Error) -> Self {
        Self::Final(e)
    }
}

impl Session<'_> {
    fn fetch(&self, dir: &Path, files: &[Published]) -> Result<Vec<Fetched>> {
        std::fs::create_dir_all(dir).map_err(Error::io("create", dir))?;
        remove_temporary(dir)?;
        files.iter().map(|&file| self.one(dir, file)).collect()
    }

    fn one(&self, dir: &Path, file: Published) -> Result<Fetched> {
        if let Some(path) = idx::candidates(dir, file.name).into_iter().find(|path| is_right(path, file)) {
            return Ok(Fetched { path, downloaded: false });
        }
        let name = format!("{}.gz", file.name);
        let mut problems = Vec::new();
        for mirror in self.mirrors {
            let url = format!("{mirror}{name}");
            match self.download(&url, dir, file) {
                Ok(temporary) => {
                    let path = dir.join(&name);
                    temporary.persist(&path).map_err(|e| Error::io("create", &path)(e.error))?;
                    return Ok(Fetched { path, downloaded: true });
                }
                Err(Failure::Final(e)) => return Err(e),
                Err(Failure::Mirror(problem)) => problems.push((*mirror, problem)),
            }
            if Instant::now() >= self.deadline {
                break;
            }
        }
        Err(Error::Download { url: name, problem: summary(&problems) })
    }

    /// Downloads `url` to a temporary file whose content is right.
    fn download(&self, url: &str, dir: &Path, file: Published) -> std::result::Result<NamedTempFile, Failure> {
        let mut temporary = temporary(dir, false)?;
        let path = temporary.path().to_path_buf();

        // Whatever a mirror sends instead of the file, it does not fill the disk: the gzip form is smaller than its content.
        let most_bytes = file.bytes + 4096;
        let messages = self.transfer(url).map_err(|e| Error::io("start a thread for", &path)(e))?;
        let (mut bytes, mut total_bytes) = (0_u64, None);
        loop {
            match self.next(&messages)? {
                Message::Body(length) => total_bytes = length,
                Message::Chunk(chunk) => {
                    bytes += chunk.len() as u64;
                    if bytes > most_bytes {
                        return Err(Failure::Mirror(format!("more than {most_bytes} bytes")));
                    }
                    temporary.write_all(&chunk).map_err(Error::io("write", &path))?;
                    (self.progress)(Progress { url, bytes, total_bytes });
                }
                Message::End => break,
                Message::Failed(problem) => return Err(Failure::Mirror(problem)),
            }
        }
        temporary.as_file().sync_all().map_err(Error::io("write", &path))?;
        match idx::digest(&path, file.bytes) {
            Ok((sha256, _)) if sha256 == file.sha256 => Ok(temporary),
            Ok((sha256, length)) => {
                Err(Failure::Mirror(format!("wrong content: expected SHA-256 {}, found {sha256} of {length} bytes", file.sha256)))
            }
            Err(Error::File { expected, actual, .. }) => Err(Failure::Mirror(format!("wrong content: expected {expected}, found {actual}"))),
            Err(e) => Err(e.into()),
        }
    }

    /// Waits for the next message; looks at the deadline and at the user's wish meanwhile.
    fn next(&self, messages: &Receiver<Message>) -> std::result::Result<Message, Failure> {
        loop {
            self.control.check()?;
            if Instant::now() >= self.deadline {
                return Err(Failure::Mirror(format!("not done within {} s", self.limits.overall.as_secs_f64())));
            }
            match messages.recv_timeout(POLL) {
                Ok(message) => return Ok(message),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(Failure::Mirror("the transfer ended without a reason".into())),
            }
        }
    }

    /// Starts the transfer of `url` on its own thread, which ends when the receiver is dropped or the stall limit has passed.
    fn transfer(&self, url: &str) -> std::io::Result<Receiver<Message>> {
        let (sender, receiver) = sync_channel(16);
        let (agent, url) = (self.agent.clone(), url.to_string());
        std::thread::Builder::new().name("download".into()).spawn(move || {
            let last = match send_body(&agent, &url, &sender) {
                Ok(()) => Message::End,
                Err(problem) => Message::Failed(problem),
            };
            // A receiver that is gone no longer needs the end.
            let _ = sender.send(last);
        })?;
        Ok(receiver)
    }
}

fn send_body(agent: &ureq::Agent, url: &str, sender: &SyncSender<Message>) -> std::result::Result<(), String> {
    let one_line = |problem: String| problem.replace('\n', " ");
    let body = agent.get(url).call().map_err(|e| one_line(e.to_string()))?.into_body();
    let gone = |_| "cancelled".to_string();
    sender.send(Message::Body(body.content_length())).map_err(gone)?;
    let mut reader = body.into_reader();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => sender.send(Message::Chunk(buffer[..count].to_vec())).map_err(gone)?,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(one_line(e.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::net::TcpListener;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, LazyLock};

    use super::*;

    const CONTENT: &[u8] = b"hello";
    /// A stand-in for a published file: five bytes.
    const FILE: Published =
        Published { name: "t10k-labels-idx1-ubyte", sha256: "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824", bytes: 5 };
    static PACKED: LazyLock<Vec<u8>> = LazyLock::new(|| gzip(CONTENT));

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// What a mirror of the tests does with a request.
    #[derive(Clone)]
    enum Answer {
        /// 200 with this body and this declared length.
        Body(Vec<u8>, usize),
        /// 404.
        Missing,
        /// Accepts and says nothing.
        Silent,
        /// A header, two bytes, then nothing more.
        Stall,
        /// A body without end or length.
        Endless,
    }

    fn right() -> Answer {
        Answer::Body(PACKED.clone(), PACKED.len())
    }

    /// A mirror on this machine: its address and how many requests it has had.
    fn mirror(answer: Answer) -> (String, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let requests = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&requests);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                counter.fetch_add(1, Ordering::SeqCst);
                let mut head = Vec::new();
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n == 1) {
                    head.push(byte[0]);
                }
                // The tester may hang up at any time.
                let _ = match &answer {
                    Answer::Body(body, length) => write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n")
                        .and_then(|()| stream.write_all(body)),
                    Answer::Missing => write!(stream, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
                    Answer::Silent => stream.read(&mut byte).map(|_| ()),
                    Answer::Stall => {
                        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nab").and_then(|()| stream.read(&mut byte).map(|_| ()))
                    }
                    Answer::Endless => {
                        let _ = write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
                        std::iter::repeat_with(|| stream.write_all(&[0x1f; 4096])).find(std::result::Result::is_err).unwrap_or(Ok(()))
                    }
                };
            }
        });
        (url, requests)
    }

    /// Longer than anything takes that is waited for: a mirror is a thread of this process and may have to wait for a processor.
    const LONG: Duration = Duration::from_secs(300);
    /// What is ended early is ended before this.
    const EARLY: Duration = Duration::from_secs(200);
    const LIMITS: Limits = Limits { connect: LONG, stall: LONG, overall: LONG };

    fn fetch_with(dir: &Path, mirrors: &[&str], limits: Limits, control: &Control) -> Result<Vec<Fetched>> {
        let agent = agent(limits).proxy(None).build().new_agent();
        Session { agent, mirrors, deadline: Instant::now() + limits.overall, limits, progress: &|_| {}, control }.fetch(dir, &[FILE])
    }

    fn fetch_from(dir: &Path, mirrors: &[&str]) -> Result<Vec<Fetched>> {
        fetch_with(dir, mirrors, LIMITS, &Control::default())
    }

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// The fetch fails with these words and leaves nothing behind.
    #[track_caller]
    fn fails(answer: Answer, limits: Limits, words: &[&str]) {
        let dir = tempfile::tempdir().unwrap();
        let message = fetch_with(dir.path(), &[&mirror(answer).0], limits, &Control::default()).unwrap_err().to_string();
        for word in words {
            assert!(message.contains(word), "`{word}` is not in: {message}");
        }
        assert!(!message.contains('\n'), "{message}");
        assert_eq!(names(dir.path()), [""; 0]);
    }

    #[test]
    fn a_good_file_is_fetched_once() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("new/folder");
        let (url, requests) = mirror(right());
        let path = folder.join("t10k-labels-idx1-ubyte.gz");
        assert_eq!(fetch_from(&folder, &[&url]).unwrap(), [Fetched { path: path.clone(), downloaded: true }]);
        assert_eq!(std::fs::read(&path).unwrap(), *PACKED);
        assert_eq!(fetch_from(&folder, &[&url]).unwrap(), [Fetched { path, downloaded: false }]);
        assert_eq!(requests.load(Ordering::SeqCst), 1);
        assert_eq!(names(&folder), ["t10k-labels-idx1-ubyte.gz"]);
    }

    #[test]
    fn a_wrong_file_is_replaced_and_a_right_one_in_another_spelling_is_kept() {
        let (url, _) = mirror(right());
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t10k-labels-idx1-ubyte.gz");
        std::fs::write(&path, &PACKED[..PACKED.len() - 1]).unwrap();
        assert!(fetch_from(dir.path(), &[&url]).unwrap()[0].downloaded);
        assert_eq!(std::fs::read(&path).unwrap(), *PACKED);

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t10k-labels.idx1-ubyte");
        std::fs::write(&path, CONTENT).unwrap();
        assert_eq!(fetch_from(dir.path(), &[&url]).unwrap(), [Fetched { path, downloaded: false }]);
    }

    #[test]
    fn bad_bodies_leave_nothing() {
        let other = gzip(b"world");
        fails(Answer::Body(other.clone(), other.len()), LIMITS, &["t10k-labels-idx1-ubyte.gz", "expected SHA-256 2cf24dba", "of 5 bytes"]);
        fails(Answer::Body(PACKED[..10].to_vec(), PACKED.len()), LIMITS, &["http://127.0.0.1"]);
        fails(Answer::Body(PACKED[..10].to_vec(), 10), LIMITS, &["a whole gzip stream"]);
        fails(Answer::Body(b"<html>".to_vec(), 6), LIMITS, &["at most 5 bytes"]);
        fails(Answer::Body(Vec::new(), 0), LIMITS, &["of 0 bytes"]);
        let bomb = gzip(&[0; 1 << 20]);
        fails(Answer::Body(bomb.clone(), bomb.len()), LIMITS, &["at most 5 bytes"]);
        fails(Answer::Endless, LIMITS, &["more than 4101 bytes"]);
        fails(Answer::Missing, LIMITS, &["404"]);
    }

    #[test]
    fn a_hanging_mirror_is_given_up() {
        let start = Instant::now();
        let hasty = Limits { stall: Duration::from_millis(500), ..LIMITS };
        fails(Answer::Silent, hasty, &["timeout"]);
        fails(Answer::Stall, hasty, &["timeout"]);
        assert!(start.elapsed() < EARLY);
    }

    #[test]
    fn the_next_mirror_is_tried() {
        let dir = tempfile::tempdir().unwrap();
        // A port that was free a moment ago refuses the connection.
        let closed = format!("http://{}/", TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
        let mirrors = [closed, mirror(Answer::Missing).0, mirror(Answer::Endless).0, mirror(right()).0];
        let mirrors: Vec<_> = mirrors.iter().map(String::as_str).collect();
        assert!(fetch_from(dir.path(), &mirrors).unwrap()[0].downloaded);
        let message = fetch_from(&dir.path().join("b"), &mirrors[..2]).unwrap_err().to_string();
        assert!(message.contains(mirrors[0]) && message.contains(mirrors[1]) && message.contains("404"), "{message}");
    }

    #[test]
    fn mirrors_that_agree_are_summed_up() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (mirror(Answer::Missing).0, mirror(Answer::Missing).0);
        let message = fetch_from(dir.path(), &[&a, &b]).unwrap_err().to_string();
        assert_eq!(message, "cannot download t10k-labels-idx1-ubyte.gz: http status: 404 (all 2 mirrors)");
    }

    #[test]
    fn the_deadline_and_the_user_end_a_hanging_transfer() {
        let dir = tempfile::tempdir().unwrap();
        let (slow, _) = mirror(Answer::Stall);
        let (good, requests) = mirror(right());
        let patient = Limits { overall: Duration::from_millis(400), ..LIMITS };
        let start = Instant::now();
        let message = fetch_with(dir.path(), &[&slow, &good], patient, &Control::default()).unwrap_err().to_string();
        assert!(message.contains("not done within 0.4 s"), "{message}");

        let stopped = fetch_with(dir.path(), &[&slow, &good], LIMITS, &Control::stopping_at(5));
        assert!(matches!(stopped, Err(Error::Interrupted)));
        assert!(start.elapsed() < EARLY);
        assert_eq!(requests.load(Ordering::SeqCst), 0);
        assert_eq!(names(dir.path()), [""; 0]);
    }

    #[test]
    fn progress_reaches_the_whole() {
        let dir = tempfile::tempdir().unwrap();
        let seen = RefCell::new(Vec::new());
        let note = |p: Progress<'_>| seen.borrow_mut().push((p.bytes, p.total_bytes));
        let agent = agent(LIMITS).proxy(None).build().new_agent();
        let (url, _) = mirror(right());
        let session = Session {
            agent,
            mirrors: &[&url],
            deadline: Instant::now() + LIMITS.overall,
            limits: LIMITS,
            progress: &note,
            control: &Control::default(),
        };
        session.fetch(dir.path(), &[FILE]).unwrap();
        let whole = PACKED.len() as u64;
        assert_eq!(seen.borrow().last(), Some(&(whole, Some(whole))));
    }

    #[test]
    fn a_clock_before_1970_is_an_error_line() {
        assert!(check_clock(UNIX_EPOCH).is_ok());
        let message = check_clock(UNIX_EPOCH - Duration::from_secs(60)).unwrap_err().to_string();
        assert!(message.contains("1970") && !message.contains('\n'), "{message}");
    }

    #[test]
    fn the_public_list_is_https() {
        assert!(MIRRORS.iter().all(|m| m.starts_with("https://") && m.ends_with('/')));
        let agent = agent(LIMITS).proxy(None).https_only(true).build().new_agent();
        assert!(agent.get(mirror(right()).0).call().is_err());
    }
}
