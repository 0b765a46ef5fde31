//! Texts that many rooms need alike: enums with a name for each variant, hexadecimal.

use crate::error::{Error, Result};

/// Declares an enum of which each variant has a name on the command line, in files and in records.
///
/// ```text
/// named! {
///     /// Documentation; attributes too.
///     pub enum Colour: "colour" {
///         /// Of every variant too.
///         Red => "red": "a line of summary",
///         Blue => "blue": "another",
///     }
/// }
/// ```
///
/// makes the enum `Copy` and ordered as written, with `Colour::ALL`, `name()`, `summary()` and
/// `Display` (the name). The word after the colon says what the name is of, and brings `FromStr`:
/// a text that names no variant is [`Error::Unknown`] with that word and all names. Without the
/// word there is no `FromStr`, without summaries no `summary()`. A variant may have a number:
/// `Red = 1 => "red"`.
macro_rules! named {
    ($(#[$attribute:meta])* $visible:vis enum $type:ident $(: $what:literal)? {
        $($(#[$inner:meta])* $variant:ident $(= $number:literal)? => $name:literal: $summary:literal,)+
    }) => {
        named! { $(#[$attribute])* $visible enum $type $(: $what)? { $($(#[$inner])* $variant $(= $number)? => $name,)+ } }

        impl $type {
            /// One line on what it is.
            #[must_use]
            $visible const fn summary(self) -> &'static str {
                match self { $(Self::$variant => $summary,)+ }
            }
        }
    };
    ($(#[$attribute:meta])* $visible:vis enum $type:ident $(: $what:literal)? {
        $($(#[$inner:meta])* $variant:ident $(= $number:literal)? => $name:literal,)+
    }) => {
        $(#[$attribute])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        $visible enum $type { $($(#[$inner])* $variant $(= $number)?,)+ }

        #[allow(dead_code, reason = "not every enum is listed or printed")]
        impl $type {
            /// All variants as declared.
            $visible const ALL: [Self; [$($name),+].len()] = [$(Self::$variant),+];

            /// The name on the command line, in files and in records.
            #[must_use]
            $visible const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }

        $(
            impl std::str::FromStr for $type {
                type Err = $crate::error::Error;

                fn from_str(text: &str) -> $crate::error::Result<Self> {
                    $crate::text::one_of($what, text, &Self::ALL, Self::name)
                }
            }
        )?
    };
}
pub(crate) use named;

/// The one of `all` that has the name `text`.
///
/// # Errors
/// [`Error::Unknown`] with all names.
pub(crate) fn one_of<T: Copy>(what: &'static str, text: &str, all: &[T], name: impl Fn(T) -> &'static str) -> Result<T> {
    let found = all.iter().copied().find(|&one| name(one) == text);
    found.ok_or_else(|| Error::unknown(what, text, all.iter().map(|&one| name(one)).collect::<Vec<_>>().join(", ")))
}

/// The digits of bytes in lower-case hexadecimal, written once: no copy of a secret is left behind.
pub(crate) fn hex(bytes: impl AsRef<[u8]>) -> String {
    let bytes = bytes.as_ref();
    let mut text = String::with_capacity(2 * bytes.len());
    text.extend(bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).filter_map(|digit| char::from_digit(digit.into(), 16)));
    text
}

/// The bytes of hexadecimal text in lower case; none for any other text.
pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |c: u8| match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    };
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| if let [a, b] = pair { Some(digit(*a)? << 4 | digit(*b)?) } else { None }).collect()
}

/// As [`unhex`], for as many bytes as are wanted.
pub(crate) fn unhex_array<const N: usize>(text: &str) -> Option<[u8; N]> {
    unhex(text)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    named! {
        /// As written.
        #[derive(Default)]
        enum Colour: "colour" {
            /// First.
            Red = 3 => "red": "long waves",
            #[default]
            Blue = 7 => "dark-blue": "short waves",
        }
    }

    #[test]
    fn hexadecimal_both_ways() {
        assert_eq!(hex([0, 0xff, 0x1a]), "00ff1a");
        assert_eq!(unhex_array::<3>("00ff1a"), Some([0, 0xff, 0x1a]));
        for bad in ["0", "0g", "AA", "00112", "001122334"] {
            assert_eq!(unhex_array::<2>(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_named_enum_lists_prints_and_reads_its_variants() {
        assert_eq!(Colour::ALL, [Colour::Red, Colour::Blue]);
        assert_eq!(Colour::ALL.map(|colour| colour.to_string()), ["red", "dark-blue"]);
        assert_eq!(Colour::ALL.map(Colour::summary), ["long waves", "short waves"]);
        assert_eq!((Colour::Red as u8, Colour::default() as u8), (3, 7));
        for colour in Colour::ALL {
            assert_eq!(colour.name().parse::<Colour>().unwrap(), colour);
        }
        for text in ["", "Red", "red ", "blue"] {
            let error = text.parse::<Colour>().unwrap_err();
            assert!(matches!(&error, Error::Unknown { what: "colour", value, known } if value == text && known == "red, dark-blue"), "{error}");
        }
    }
}
