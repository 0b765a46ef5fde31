//! Numbers in few digits.

/// Three significant digits, the shortest way that keeps them; whole numbers from 100 to 99999.
pub(crate) fn digits3(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return if value == 0.0 { "0".into() } else { "?".into() };
    }
    // The exponent after rounding, so that 9.996 becomes 10.0 and not 10.00.
    let scientific = format!("{value:.2e}");
    match scientific.split_once('e').and_then(|(_, e)| e.parse::<i32>().ok()) {
        Some(e @ -3..=1) => format!("{value:.*}", usize::try_from(2 - e).unwrap_or(0)),
        Some(2..=4) => format!("{value:.0}"),
        _ => scientific,
    }
}

/// A share of a number of images in percent, no finer than the number makes meaningful. 100 is said of the whole only, so a single miss stays visible.
pub(crate) fn percent(share: f64, images: u32) -> String {
    if share >= 1.0 {
        return "100".into();
    }
    let (decimals, most) = if images >= 1000 { (2, 99.99) } else { (1, 99.9) };
    format!("{:.decimals$}", (share * 100.0).min(most))
}
