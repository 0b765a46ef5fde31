//! Frames: the bytes of one message. [`super`] shows the format byte by byte.

use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::text::{hex, named};

/// The version of frames and sessions that this program speaks.
pub(super) const VERSION: u16 = 1;
const MAGIC: [u8; 4] = *b"CLCH";
/// Bytes before the seal.
pub(super) const HEAD_BYTES: usize = 40;
/// Bytes of a frame without its body.
pub(super) const OVERHEAD_BYTES: usize = HEAD_BYTES + 32;
/// Longest body of a frame that is no request and no answer.
pub(super) const CONTROL_BYTES: usize = 1 << 16;

/// SHA-256 over a message and all that came before it.
pub(super) type Seal = [u8; 32];
/// Names a session. Random.
pub(super) type Id = [u8; 16];

/// The transcript of frames that belong to no session yet.
pub(super) const START: Seal = [0; 32];

named! {
    /// The kind of a frame.
    #[repr(u8)]
    pub(super) enum Kind {
        /// P1 names a session and where it is in it. First on every connection.
        Hello = 1 => "hello",
        /// P2 goes on there, or says where it is.
        Welcome = 2 => "welcome",
        /// A request of the scheme.
        Request = 3 => "request",
        /// Its answer.
        Answer = 4 => "answer",
        /// A batch is complete.
        Commit = 5 => "commit",
        /// P2 has noted that.
        Committed = 6 => "committed",
        /// The work is complete.
        Finish = 7 => "finish",
        /// P2 has forgotten the session.
        Finished = 8 => "finished",
        /// P2 ends the connection, with a reason.
        Refusal = 9 => "refusal",
    }
}

impl Kind {
    /// What P2 sends back.
    pub(super) fn answer(self) -> Self {
        match self {
            Self::Hello => Self::Welcome,
            Self::Request => Self::Answer,
            Self::Commit => Self::Committed,
            Self::Finish => Self::Finished,
            Self::Welcome | Self::Answer | Self::Committed | Self::Finished | Self::Refusal => Self::Refusal,
        }
    }

    /// 1 from P1 to P2, 2 back.
    fn direction(self) -> u8 {
        match self {
            Self::Hello | Self::Request | Self::Commit | Self::Finish => 1,
            Self::Welcome | Self::Answer | Self::Committed | Self::Finished | Self::Refusal => 2,
        }
    }
}

/// The first part of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub kind: Kind,
    pub session: Id,
    pub step: u64,
    pub operation: u16,
    pub length: u32,
}

impl Head {
    fn bytes(&self) -> [u8; HEAD_BYTES] {
        let mut bytes = [0; HEAD_BYTES];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4..6].copy_from_slice(&VERSION.to_be_bytes());
        bytes[6] = self.kind as u8;
        bytes[7] = self.kind.direction();
        bytes[8..24].copy_from_slice(&self.session);
        bytes[24..32].copy_from_slice(&self.step.to_be_bytes());
        bytes[32..34].copy_from_slice(&self.operation.to_be_bytes());
        bytes[36..40].copy_from_slice(&self.length.to_be_bytes());
        bytes
    }

    /// Reads a head. `limit` is the longest body that requests and answers may have here.
    ///
    /// # Errors
    /// [`Error::Message`] for another magic, version, kind or direction, for reserved bytes that are not zero, and for a length over the limit.
    pub(super) fn parse(bytes: &[u8; HEAD_BYTES], limit: usize) -> Result<Self> {
        let number = |from: usize, to: usize| bytes[from..to].iter().fold(0u64, |number, &byte| number << 8 | u64::from(byte));
        if bytes[..4] != MAGIC {
            return Err(refused("these bytes are no message of this protocol"));
        }
        if number(4, 6) != u64::from(VERSION) {
            return Err(refused(format!("version {} of the protocol, this program speaks version {VERSION}", number(4, 6))));
        }
        let Some(kind) = Kind::ALL.into_iter().find(|&kind| kind as u8 == bytes[6]) else {
            return Err(refused(format!("kind {} is unknown", bytes[6])));
        };
        if bytes[7] != kind.direction() || number(34, 36) != 0 {
            return Err(refused(format!("a {} with a damaged head", kind.name())));
        }
        let mut session = [0; 16];
        session.copy_from_slice(&bytes[8..24]);
        let head = Self { kind, session, step: number(24, 32), operation: number(32, 34) as u16, length: number(36, 40) as u32 };
        let limit = if matches!(kind, Kind::Request | Kind::Answer) { limit } else { CONTROL_BYTES };
        if head.length as usize > limit {
            return Err(refused(format!("a {} of {} bytes, at most {limit} are allowed", kind.name(), head.length)));
        }
        Ok(head)
    }
}

/// A message as it came: nothing of it may be used before [`Frame::check`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame<'a> {
    pub head: Head,
    pub seal: Seal,
    pub body: &'a [u8],
}

/// The next message of a session.
#[derive(Clone, Copy, Debug)]
pub(super) struct Next {
    pub kind: Kind,
    pub session: Id,
    pub step: u64,
    /// Any, where there is none.
    pub operation: Option<u16>,
    pub transcript: Seal,
}

impl<'a> Frame<'a> {
    /// Takes a whole frame apart.
    ///
    /// # Errors
    /// [`Error::Message`] as [`Head::parse`], and when bytes are missing or left over.
    pub(super) fn parse(bytes: &'a [u8], limit: usize) -> Result<Self> {
        let Some((head, rest)) = bytes.split_first_chunk::<HEAD_BYTES>() else {
            return Err(refused(format!("{} bytes are no message", bytes.len())));
        };
        let head = Head::parse(head, limit)?;
        match rest.split_first_chunk::<32>() {
            Some((seal, body)) if body.len() == head.length as usize => Ok(Self { head, seal: *seal, body }),
            _ => Err(refused(format!("a {} of {} bytes that should have {}", head.kind.name(), bytes.len(), OVERHEAD_BYTES + head.length as usize))),
        }
    }

    /// Accepts the message only as the very next one of its session, with the transcript that this party has.
    ///
    /// # Errors
    /// [`Error::Message`] with what differs first.
    pub(super) fn check(&self, next: &Next) -> Result<()> {
        #[cfg(test)]
        if planted::UNBOUND.get() {
            return if self.head.kind == next.kind { Ok(()) } else { Err(refused("another kind")) };
        }
        let head = &self.head;
        if head.session != next.session {
            return Err(refused(format!("a {} of session {}, expected session {}", head.kind.name(), short(&head.session), short(&next.session))));
        }
        if (head.kind, head.step) != (next.kind, next.step) {
            let (kind, step, expected) = (head.kind.name(), head.step, next.kind.name());
            return Err(refused(format!("{kind} of step {step}, expected {expected} of step {}", next.step)));
        }
        if next.operation.is_some_and(|operation| operation != head.operation) {
            return Err(refused(format!("operation {}, expected {}", head.operation, next.operation.unwrap_or_default())));
        }
        if self.seal != seal(&next.transcript, &head.bytes(), self.body) {
            return Err(refused(format!("the {} of step {} does not continue this session's messages", head.kind.name(), head.step)));
        }
        Ok(())
    }
}

fn seal(transcript: &Seal, head: &[u8; HEAD_BYTES], body: &[u8]) -> Seal {
    Sha256::new().chain_update(b"cipherlane frame v1").chain_update(transcript).chain_update(head).chain_update(body).finalize().into()
}

/// The bytes of a message and the transcript after it.
pub(super) fn write(kind: Kind, session: Id, step: u64, operation: u16, transcript: &Seal, body: &[u8]) -> Result<(Vec<u8>, Seal)> {
    let length = u32::try_from(body.len()).map_err(|_| refused(format!("a {} of {} bytes is too long to send", kind.name(), body.len())))?;
    let head = Head { kind, session, step, operation, length }.bytes();
    let seal = seal(transcript, &head, body);
    let mut bytes = Vec::with_capacity(OVERHEAD_BYTES + body.len());
    bytes.extend_from_slice(&head);
    bytes.extend_from_slice(&seal);
    bytes.extend_from_slice(body);
    Ok((bytes, seal))
}

/// A message that is not taken.
pub(super) fn refused(problem: impl Into<String>) -> Error {
    Error::Message { problem: problem.into() }
}

/// The first digits of a session's name, for people.
pub(super) fn short(id: &Id) -> String {
    hex(&id[..4])
}

/// The fault that the tests of this room must find: messages that are tied to nothing.
#[cfg(test)]
pub(super) mod planted {
    std::thread_local! {
        /// Whether this thread takes any message of the right kind.
        pub static UNBOUND: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEXT: Next = Next { kind: Kind::Request, session: [7; 16], step: 3, operation: Some(9), transcript: [5; 32] };

    fn frame() -> Vec<u8> {
        write(Kind::Request, [7; 16], 3, 9, &[5; 32], b"body").unwrap().0
    }

    fn take(bytes: &[u8], next: &Next) -> Result<()> {
        Frame::parse(bytes, 100)?.check(next)
    }

    #[test]
    fn the_format_is_as_documented() {
        let bytes = frame();
        assert_eq!(bytes[..8], *b"CLCH\0\x01\x03\x01");
        assert_eq!(bytes[8..24], [7; 16]);
        assert_eq!(bytes[24..40], [0, 0, 0, 0, 0, 0, 0, 3, 0, 9, 0, 0, 0, 0, 0, 4]);
        assert_eq!(bytes[72..], *b"body");
        let whole = [b"cipherlane frame v1".as_slice(), &[5; 32], &bytes[..40], b"body"].concat();
        assert_eq!(bytes[40..72], *Sha256::digest(whole));
        take(&bytes, &NEXT).unwrap();
    }

    #[test]
    fn every_changed_bit_and_every_other_length_is_refused() {
        let whole = frame();
        for bit in 0..8 * whole.len() {
            let mut bad = whole.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(take(&bad, &NEXT), Err(Error::Message { .. })), "{bit}");
        }
        for length in 0..whole.len() {
            assert!(matches!(take(&whole[..length], &NEXT), Err(Error::Message { .. })), "{length}");
        }
        assert!(take(&[whole, vec![0]].concat(), &NEXT).is_err());
    }

    #[test]
    fn a_message_counts_in_one_place_only() {
        let others = [
            Next { kind: Kind::Commit, ..NEXT },
            Next { session: [8; 16], ..NEXT },
            Next { step: 2, ..NEXT },
            Next { step: 4, ..NEXT },
            Next { operation: Some(8), ..NEXT },
            Next { transcript: [6; 32], ..NEXT },
        ];
        others.iter().for_each(|next| assert!(take(&frame(), next).is_err(), "{next:?}"));
        take(&frame(), &Next { operation: None, ..NEXT }).unwrap();
    }

    #[test]
    fn lengths_are_refused_before_the_body_is_read() {
        let head = |kind, length| Head { kind, session: [0; 16], step: 0, operation: 0, length }.bytes();
        assert!(Head::parse(&head(Kind::Request, 100), 100).is_ok());
        let error = Head::parse(&head(Kind::Request, 101), 100).unwrap_err().to_string();
        assert!(error.contains("a request of 101 bytes, at most 100 are allowed"), "{error}");
        assert!(Head::parse(&head(Kind::Hello, 1 << 16), 100).is_ok() && Head::parse(&head(Kind::Hello, u32::MAX), usize::MAX).is_err());
    }
}
