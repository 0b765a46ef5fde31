//! Strict base64url and strict JSON. Messages name places and members, never values: a value may be secret.
//!
//! Strict where a key is read: no repeated member, one form of an integer. What other programs add
//! to a JWK passes, as RFC 7517, section 4 has it: members that nobody asks for, of any JSON value.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use zeroize::{Zeroize, Zeroizing};

use crate::durable::foreign_encoding;
use crate::integer::{Integer, Order};

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// What was read, or what was found instead.
pub(super) type Parsed<T> = Result<T, String>;

/// Appends a positive integer as base64url of its minimal big-endian bytes, without padding.
pub(super) fn push_integer(text: &mut String, value: &Integer) {
    let bytes = Zeroizing::new(value.to_digits::<u8>(Order::Msf));
    for group in bytes.chunks(3) {
        let bits = group.iter().enumerate().fold(0u32, |bits, (i, &byte)| bits | u32::from(byte) << (16 - 8 * i));
        text.extend((0..=group.len()).map(|i| char::from(ALPHABET[(bits >> (18 - 6 * i) & 63) as usize])));
    }
}

/// The positive integer of a text that [`push_integer`] makes; `None` for every other text.
pub(in super::super) fn parse_integer(text: &str) -> Option<Integer> {
    if text.is_empty() || text.len() % 4 == 1 {
        return None;
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len() / 4 * 3 + 3));
    for group in text.as_bytes().chunks(4) {
        let mut bits = 0u32;
        for (i, letter) in group.iter().enumerate() {
            let digit = ALPHABET.iter().position(|a| a == letter)?;
            bits |= (digit as u32) << (18 - 6 * i);
        }
        let whole = group.len() - 1;
        if bits & (0xff_ffff >> (8 * whole)) != 0 {
            return None;
        }
        bytes.extend((0..whole).map(|i| (bits >> (16 - 8 * i)) as u8));
    }
    (bytes[0] != 0).then(|| Integer::from_digits(&bytes, Order::Msf))
}

/// A text that is wiped when dropped.
pub(super) struct Text(pub(super) String);

impl Drop for Text {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// JSON, as far as key files use it: objects without repeated members, texts and lists.
pub(super) enum Json {
    Text(Text),
    List(Vec<Self>),
    Object(Object),
    /// A number, true, false or null: only in members that are not asked for.
    Other,
}

/// Members of an object in the order of the file.
pub(super) struct Object(Vec<(String, Json)>);

impl Object {
    /// The object that is the whole of `bytes`.
    pub(super) fn parse(bytes: &[u8]) -> Parsed<Self> {
        if bytes.starts_with(b"\xef\xbb\xbf") {
            return Err("a byte order mark before the JSON; save it as UTF-8 without one".into());
        }
        if let Some(encoding) = foreign_encoding(bytes) {
            return Err(encoding.into());
        }
        match serde_json::from_slice(bytes) {
            Ok(Json::Object(object)) => Ok(object),
            Ok(_) => Err("JSON that is no object".into()),
            Err(e) if e.is_eof() => Err(format!("an end too early at line {} column {}", e.line(), e.column())),
            Err(e) if e.is_syntax() => Err(format!("broken JSON at line {} column {}", e.line(), e.column())),
            Err(e) => Err(format!("a repeated member at line {} column {}", e.line(), e.column())),
        }
    }

    fn take(&mut self, name: &str) -> Option<Json> {
        self.0.iter().position(|(n, _)| n == name).map(|at| self.0.remove(at).1)
    }

    /// The text of a member that may be missing.
    pub(super) fn optional_text(&mut self, name: &str) -> Parsed<Option<Text>> {
        match self.take(name) {
            None => Ok(None),
            Some(Json::Text(text)) => Ok(Some(text)),
            Some(_) => Err(format!("`{name}` that is no text")),
        }
    }

    /// Refuses unless member `name` is the text `expected`.
    pub(super) fn expect_text(&mut self, name: &str, expected: &str) -> Parsed<()> {
        match self.optional_text(name)? {
            Some(text) if text.0 == expected => Ok(()),
            Some(_) => Err(format!("another `{name}` than \"{expected}\"")),
            None => Err(format!("no `{name}`")),
        }
    }

    /// Refuses unless member `name` is the list of the one text `expected`.
    pub(super) fn expect_list(&mut self, name: &str, expected: &str) -> Parsed<()> {
        match self.take(name) {
            Some(Json::List(list)) if matches!(&list[..], [Json::Text(text)] if text.0 == expected) => Ok(()),
            Some(_) => Err(format!("another `{name}` than [\"{expected}\"]")),
            None => Err(format!("no `{name}`")),
        }
    }

    /// The positive integer of a member that may be missing.
    pub(super) fn optional_integer(&mut self, name: &str) -> Parsed<Option<Integer>> {
        self.optional_text(name)?.map(|text| integer_of(name, &text)).transpose()
    }

    /// The positive integers of a list, at most `limit`, that may be missing.
    pub(super) fn optional_integers(&mut self, name: &str, limit: usize) -> Parsed<Option<Vec<Integer>>> {
        let of = |item: &Json| match item {
            Json::Text(text) => integer_of(name, text),
            _ => Err(format!("`{name}` that is no list of texts")),
        };
        match self.take(name) {
            None => Ok(None),
            Some(Json::List(list)) if list.len() <= limit => list.iter().map(of).collect::<Parsed<_>>().map(Some),
            Some(Json::List(list)) => Err(format!("`{name}` of {} items, at most {limit} belong there", list.len())),
            Some(_) => Err(format!("`{name}` that is no list")),
        }
    }

    /// Whether there is a member of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(n, _)| n == name)
    }

    /// The positive integer of a member.
    pub(super) fn integer(&mut self, name: &str) -> Parsed<Integer> {
        self.optional_integer(name)?.ok_or_else(|| format!("no `{name}`"))
    }

    /// The object of a member.
    pub(super) fn object(&mut self, name: &str) -> Parsed<Self> {
        match self.take(name) {
            Some(Json::Object(object)) => Ok(object),
            Some(_) => Err(format!("`{name}` that is no object")),
            None => Err(format!("no `{name}`")),
        }
    }
}

fn integer_of(name: &str, text: &Text) -> Parsed<Integer> {
    parse_integer(&text.0).ok_or_else(|| format!("`{name}` that is no positive integer in base64url without padding ({} characters)", text.0.len()))
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Values;
        impl<'de> Visitor<'de> for Values {
            type Value = Json;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }

            fn visit_bool<E>(self, _: bool) -> Result<Json, E> {
                Ok(Json::Other)
            }

            fn visit_i64<E>(self, _: i64) -> Result<Json, E> {
                Ok(Json::Other)
            }

            fn visit_u64<E>(self, _: u64) -> Result<Json, E> {
                Ok(Json::Other)
            }

            fn visit_f64<E>(self, _: f64) -> Result<Json, E> {
                Ok(Json::Other)
            }

            fn visit_unit<E>(self) -> Result<Json, E> {
                Ok(Json::Other)
            }

            fn visit_str<E>(self, text: &str) -> Result<Json, E> {
                Ok(Json::Text(Text(text.into())))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = items.next_element()? {
                    list.push(item);
                }
                Ok(Json::List(list))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json, A::Error> {
                let mut object: Vec<(String, Json)> = Vec::new();
                while let Some((name, value)) = members.next_entry::<String, Json>()? {
                    if object.iter().any(|(n, _)| *n == name) {
                        return Err(A::Error::custom("repeated"));
                    }
                    object.push((name, value));
                }
                Ok(Json::Object(Object(object)))
            }
        }
        deserializer.deserialize_any(Values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_the_one_form_of_an_integer_is_read() {
        for (text, value) in [("AQ", Some(1)), ("_w", Some(255)), ("AQAB", Some(65537)), ("AQA", Some(256))] {
            assert_eq!(parse_integer(text).map(|v| v.to_u32().unwrap()), value, "{text}");
        }
        for bad in ["", "A", "AA", "AR", "AAE", "AQ==", "AQ=", "/w", "+w", " AQ", "AQ ", "A\0", "AQABA", "AQé"] {
            assert!(parse_integer(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn messages_carry_no_values() {
        let discreet = |message: String| assert!(!message.contains("8765") && !message.contains('\n'), "{message}");
        for text in [r#"{"p":"8765","p":"8765"}"#, r#"{"p":true8765}"#, r#"["8765"]"#, r#"8765"#, r#"{"p":"8765"#] {
            discreet(Object::parse(text.as_bytes()).err().unwrap());
        }
        for value in ["8765", "-8765", "8.765e3", "[8765]", r#"["a",8765]"#, r#"{"8765":8765}"#, r#""8765!""#, "null", "true"] {
            let object = || Object::parse(format!(r#"{{"p":{value}}}"#).as_bytes()).unwrap_or_else(|e| panic!("{e}"));
            discreet(object().integer("p").err().unwrap());
            discreet(object().optional_integers("p", 1).err().unwrap());
            discreet(object().expect_text("p", "a").err().unwrap());
            discreet(object().expect_list("p", "a").err().unwrap());
        }
    }

    proptest! {
        #[test]
        fn integers_survive_the_round_trip(bytes in proptest::collection::vec(any::<u8>(), 1..70)) {
            let value = Integer::from_digits(&bytes, Order::Msf) + 1u32;
            let mut text = String::new();
            push_integer(&mut text, &value);
            prop_assert_eq!(parse_integer(&text), Some(value));
        }
    }
}
