//! Tables in a text that people write, kept between two markers.

use crate::error::{Error, Result};

/// Replaces what stands between `<!-- cipherlane:begin NAME -->` and `<!-- cipherlane:end NAME -->` in `text` with `markdown` and, above it, the command
/// that makes it again. The rest of the text is kept to the byte.
///
/// # Errors
/// [`Error::Unknown`] naming the marker when one is missing, stands twice or stands in the wrong order.
pub fn splice(text: &str, name: &str, markdown: &str, command: &str) -> Result<String> {
    let (begin, end) = (format!("<!-- cipherlane:begin {name} -->"), format!("<!-- cipherlane:end {name} -->"));
    let missing = |marker: &str, known: &str| Error::unknown("marker", marker, known);
    for marker in [&begin, &end] {
        match text.matches(marker.as_str()).count() {
            0 => return Err(missing(marker, &known(text))),
            1 => {}
            _ => return Err(missing(marker, "each marker once")),
        }
    }
    let (head, rest) = text.split_once(begin.as_str()).ok_or_else(|| missing(&begin, &known(text)))?;
    let (_, tail) = rest.split_once(end.as_str()).ok_or_else(|| missing(&end, "an end after its begin"))?;
    Ok(format!("{head}{begin}\n\n`{command}`\n\n{}\n\n{end}{tail}", markdown.trim()))
}

/// The markers that the text has.
fn known(text: &str) -> String {
    let found: Vec<&str> = text.match_indices("<!-- cipherlane:").filter_map(|(at, _)| text[at..].split_inclusive("-->").next()).collect();
    if found.is_empty() { "none in this text; write both markers on lines of their own".into() } else { found.join(", ").replace('\n', " ") }
}
